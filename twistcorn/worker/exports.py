"""What the application counts of its own, with prometheus_client, for the master to merge.

Law: imports nothing for it: what the process has not imported it does not use. The registry is asked in a thread of its
own, one at a time, because a collector may be anybody's code, take its time, raise anything, or never come back: the
others are told all the same. What is too much is left out, with a warning.
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

#: Most bytes of all families together: some three thousand samples. Reading and merging them costs the master
#: some three milliseconds.
MAX_BYTES = 240_000

#: Names that begin so are the server's.
OUR_PREFIX = "twistcorn_"
#: What a name and a label may be, in both formats.
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
#: As Prometheus itself does it where a label is taken.
_OTHER = {"worker": "exported_worker"}


class Exports:
    """The registry of this process.

    :param registry: the registry, None where there is none.
    """

    log = Logger()

    def __init__(self, reactor: Any, registry: Callable[[], Any] | None = None) -> None:
        self._reactor = reactor
        self._registry = registry or _registry
        self._data = b""
        self._warned = ""
        self._collecting = False

    def piece(self, offset: int) -> Deferred[dict[str, object]]:
        """A piece of what is counted, as the answer to `commands.Export`; with the offset 0 it is counted anew."""
        whole = self.whole() if offset == 0 else succeed(self._data)
        return whole.addCallback(lambda data: {"data": data[offset : offset + MAX_TEXT], "size": len(data)})

    def whole(self) -> Deferred[bytes]:
        """All families, as `policy.merging` reads them; empty where the application has none."""
        try:
            registry = self._registry()
        except BaseException as error:
            self._warn(f"cannot collect the application's metrics: {_shown(error)}")
            return succeed(self._data)
        if registry is None:
            return succeed(b"")
        if self._collecting:
            # A thread more for each scrape would fill the process.
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
        for text in self._told(registry):
            if size + len(text) + 2 > MAX_BYTES:
                over += 1
            else:
                size += len(text) + 2
                texts.append(text)
        if over:
            self._warn(f"{over} application metrics left out: together they exceed {MAX_BYTES} bytes")
        return f"[{', '.join(texts)}]".encode()

    def _told(self, registry: Any) -> Iterator[str]:
        """Families in JSON: all that can be had, whichever collector raises."""
        # What prometheus_client's own registry has; without that the first one that raises is the last.
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
        """Say something, unless it was the last that was said."""
        if text != self._warned:
            self._warned = text
            self.log.warn("{text}", text=text)


def _shown(error: BaseException) -> str:
    try:
        return repr(error)
    except BaseException:
        return f"{type(error).__name__} (its repr() failed)"


def _registry() -> Any:
    """prometheus_client's own registry, if the application has imported that."""
    return getattr(sys.modules.get("prometheus_client"), "REGISTRY", None)


def _families(metrics: Iterable[Any]) -> Iterable[str]:
    """Families in JSON, ASCII. When a counter began says nothing of the sum of several, so that is left out."""
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
    """Labels as they will stand in the text; that of the worker is the master's to write."""
    if not labels:
        return ""
    pairs = [f'{_OTHER.get(name, name)}="{_escape(value)}"' for name, value in labels.items()]
    return f"{{{','.join(pairs)}}}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
