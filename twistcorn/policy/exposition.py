"""Metrics as text: Prometheus text format 0.0.4 and OpenMetrics 1.0.

Law: pure; families of samples go in, text comes out. A sample's name is that of its family and a suffix, which its kind
allows; the builder of a family keeps to that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

#: Names and values of labels, in order.
Labels = tuple[tuple[str, str], ...]

#: What the older format calls a kind that it does not have.
_OLDER = {"unknown": "untyped", "info": "gauge", "stateset": "gauge", "gaugehistogram": "untyped"}
#: Kinds whose samples all have one suffix; there the older format takes that for a part of the family's name.
_SUFFIXES = {"counter": "_total", "info": "_info"}


class MetricSample(NamedTuple):
    """One value.

    :ivar suffix: what follows the family's name: `_total` for a counter, `_bucket`, `_sum` and so on; may be empty.
    """

    suffix: str
    labels: Labels
    value: float


@dataclass
class Family:
    """A metric with its samples.

    :ivar name: without a suffix.
    :ivar kind: `counter`, `gauge`, `histogram`, `summary`, `info`, `stateset`, `gaugehistogram` or `unknown`.
    """

    name: str
    kind: str
    help: str
    samples: list[MetricSample] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Its samples as text, alike in both formats."""
        name = self.name
        return [
            f"{name}{suffix}{{{_labels(labels)}}} {number(value)}" if labels else f"{name}{suffix} {number(value)}"
            for suffix, labels, value in self.samples
        ]


class Written(Protocol):
    """What can be written: a `Family`, or `merging.Told`."""

    name: str
    kind: str
    help: str

    def lines(self) -> list[str]:
        """Its samples as text."""


def counter(name: str, help: str, values: Mapping[Labels, float]) -> Family:
    """A counter; the name ends in `_total`, which its samples have and its family has not."""
    samples = [MetricSample("_total", labels, value) for labels, value in values.items()]
    return Family(name.removesuffix("_total"), "counter", help, samples)


def gauge(name: str, help: str, values: Mapping[Labels, float]) -> Family:
    """A value that goes up and down."""
    return Family(name, "gauge", help, [MetricSample("", labels, value) for labels, value in values.items()])


def histogram(name: str, help: str, bounds: Sequence[float], counts: Sequence[int], total: float) -> Family:
    """A histogram without labels.

    :param bounds: upper bounds of all buckets but the last.
    :param counts: what is in each bucket, not added up; `total`: the sum of all that was observed.
    """
    samples, below = [], 0
    for bound, count in zip([*bounds, math.inf], counts, strict=True):
        below += count
        samples.append(MetricSample("_bucket", (("le", number(bound)),), below))
    samples += [MetricSample("_count", (), below), MetricSample("_sum", (), total)]
    return Family(name, "histogram", help, samples)


def number(value: float) -> str:
    """A value as both formats write it."""
    if isinstance(value, int):
        return str(value)
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)


def prometheus(families: Iterable[Written]) -> str:
    """The text of format 0.0.4."""
    lines: list[str] = []
    for family in families:
        name = family.name + _SUFFIXES.get(family.kind, "")
        lines.append(f"# HELP {name} {_escape_older_help(family.help)}")
        lines.append(f"# TYPE {name} {_OLDER.get(family.kind, family.kind)}")
        lines += family.lines()
    return "\n".join([*lines, ""])


def openmetrics(families: Iterable[Written]) -> str:
    """The text of OpenMetrics 1.0."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escape(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        lines += family.lines()
    return "\n".join([*lines, "# EOF", ""])


def negotiate(accept: str) -> tuple[str, Callable[[Iterable[Written]], str]]:
    """The content type and the format for an Accept header: OpenMetrics only when asked for by name."""
    for item in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        if kind == "application/openmetrics-text" and "q=0" not in parameters:
            return OPENMETRICS_TYPE, openmetrics
    return PROMETHEUS_TYPE, prometheus


def _labels(labels: Labels) -> str:
    return ",".join([f'{name}="{_escape(value)}"' for name, value in labels])


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escape_older_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
