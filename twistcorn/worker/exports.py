"""The application's own prometheus_client metrics, for the master to merge.

Law: never imports prometheus_client: an application that uses it has. A separate thread asks the registry, one at a
time, because a collector is foreign code that may be slow, raise anything or never return: the other collectors still
count. Metrics beyond the size limit are left out, with a warning.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from ..pristine import threading
from ..wire.amp_commands import MAX_TEXT

#: Most bytes of all families together: some three thousand samples, which the master reads and merges in some three
#: milliseconds.
MAX_BYTES = 240_000

#: Prefix of the server's own metrics.
OUR_PREFIX = "twistcorn_"
#: Valid names and labels, in both formats.
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
#: Renames a label that the server uses, as Prometheus itself does.
_OTHER = {"worker": "exported_worker"}


class Exports:
    """The metrics registry of this process.

    :param registry: returns the registry, or None.
    """

    log = Logger()

    def __init__(self, reactor: Any, registry: Callable[[], Any] | None = None) -> None:
        self._reactor = reactor
        self._registry = registry or _registry
        self._data = b""
        self._warned = ""
        self._collecting = False

    def piece(self, offset: int) -> Deferred[dict[str, object]]:
        """A piece of the metrics, as the answer to `amp_commands.Export`; offset 0 collects them anew."""
        whole = self.whole() if offset == 0 else succeed(self._data)
        return whole.addCallback(lambda data: {"data": data[offset : offset + MAX_TEXT], "size": len(data)})

    def whole(self) -> Deferred[bytes]:
        """All families, as `policy.merging` reads them; empty if the application has none."""
        try:
            registry = self._registry()
        except BaseException as error:
            self._warn(f"cannot collect the application's metrics: {_shown(error)}")
            return succeed(self._data)
        if registry is None:
            return succeed(b"")
        if self._collecting:
            # One more thread per scrape would fill the process.
            self._warn("an application metrics collector takes longer than a scrape: serving the previous metrics")
            return succeed(self._data)
        counted: Deferred[bytes] = Deferred()

        def collect() -> None:
            data = self._data
            try:
                data = self._collect(registry)
            except BaseException as error:
                self._warn(f"cannot collect the application's metrics: {_shown(error)}")
            finally:
                self._reactor.callFromThread(self._counted, counted, data)

        self._collecting = True
        try:
            threading.Thread(target=collect, name="exports", daemon=True).start()
        except (RuntimeError, MemoryError) as problem:
            self._collecting = False
            self._warn(f"cannot collect the application's metrics, serving the previous ones: {problem}")
            return succeed(self._data)
        return counted

    def _counted(self, counted: Deferred[bytes], data: bytes) -> None:
        self._data = data
        self._collecting = False
        counted.callback(data)

    def _collect(self, registry: Any) -> bytes:
        texts, size, over = [], 2, 0
        for text in self._lines(registry):
            if size + len(text) + 2 > MAX_BYTES:
                over += 1
            else:
                size += len(text) + 2
                texts.append(text)
        if over:
            self._warn(f"{over} application metrics left out: together they exceed {MAX_BYTES} bytes")
        return f"[{', '.join(texts)}]".encode()

    def _lines(self, registry: Any) -> Iterator[str]:
        """Yield all available families in JSON, whichever collector raises."""
        # An attribute of prometheus_client's own registry; without it, the first collector that raises ends the loop.
        for collector in list(getattr(registry, "_collector_to_names", None) or [registry]):
            try:
                for metric in collector.collect():
                    yield from _families([metric])
            except BaseException as error:
                self._warn(
                    f"application metrics collector raised, its metrics are missing ({type(collector).__name__}):"
                    f" {_shown(error)}"
                )

    def _warn(self, text: str) -> None:
        """Log a warning, unless it repeats the last one."""
        if text != self._warned:
            self._warned = text
            self.log.warn("{text}", text=text)


def _shown(error: BaseException) -> str:
    try:
        return repr(error)
    except BaseException:
        return f"{type(error).__name__} (its repr() failed)"


def _registry() -> Any:
    """prometheus_client's default registry, if the application has imported it."""
    return getattr(sys.modules.get("prometheus_client"), "REGISTRY", None)


def _families(metrics: Iterable[Any]) -> Iterable[str]:
    """Yield families in JSON, ASCII; without `_created`, which is meaningless for a sum of counters."""
    for metric in metrics:
        if metric.name.startswith(OUR_PREFIX) or not _NAME.fullmatch(metric.name):
            continue
        groups: dict[str, dict[str, float]] = {}
        for sample in metric.samples:
            if not sample.name.endswith("_created") and all(map(_LABEL.fullmatch, sample.labels)):
                group = _written({name: value for name, value in sample.labels.items() if name != "le"})
                key = f"{sample.name}{_written(sample.labels)}"
                groups.setdefault(group, {})[key] = float(sample.value)
        # Quantiles cannot be added.
        if metric.type == "summary":
            groups = {group: values for group, values in groups.items() if 'quantile="' not in group}
        yield json.dumps((metric.name, metric.type, metric.documentation, groups))


def _written(labels: dict[str, str]) -> str:
    """Labels as text; the master adds the worker's own label."""
    if not labels:
        return ""
    pairs = [f'{_OTHER.get(name, name)}="{_escape(value)}"' for name, value in labels.items()]
    return f"{{{','.join(pairs)}}}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
