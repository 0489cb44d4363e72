"""The metrics that applications count of their own, of several workers made one.

Law: pure. Counters, histograms and summaries are summed over the workers, also over those that are gone, so that they
never go down; everything else gets the number of its worker as a label. What cannot be written is left out: names that
are ours, and names that the formats do not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .exposition import Family, Labels, Sample

#: Kinds that are summed.
SUMMED = ("counter", "histogram", "summary")
#: Of the others, those that are known; the rest is `unknown`.
_OTHERS = ("gauge", "info", "stateset", "gaugehistogram")
#: Names that begin so are the server's.
OURS = "twistcorn_"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def parse(data: bytes) -> list[Family]:
    """The families that a worker tells: JSON lists of name, kind, help, and samples of suffix, labels and value.

    :raises ValueError: it is something else.
    """
    try:
        return [family for entry in json.loads(data) if (family := _family(*entry)) is not None]
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"no families: {error}") from None


def _family(name: str, kind: str, help: str, samples: list[Any]) -> Family | None:
    if name.startswith(OURS) or not _NAME.fullmatch(name):
        return None
    kind = kind if kind in SUMMED or kind in _OTHERS else "unknown"
    found = [Sample(str(suffix), tuple((str(k), str(v)) for k, v in labels), _number(value))
             for suffix, labels, value in samples]  # fmt: skip
    return Family(name, kind, str(help), [each for each in found if all(_LABEL.fullmatch(k) for k, _ in each.labels)])


def _number(value: object) -> float:
    if isinstance(value, int | float):
        return value
    raise TypeError(f"no number: {value!r}")


def total(reports: Iterable[list[Family]]) -> list[Family]:
    """What can be summed, summed. Where two reports mean different kinds by a name, the first counts."""
    found: dict[str, tuple[Family, dict[tuple[str, Labels], float]]] = {}
    for families in reports:
        for family in families:
            if family.kind not in SUMMED:
                continue
            first, values = found.setdefault(family.name, (family, {}))
            if first.kind == family.kind:
                for suffix, labels, value in family.samples:
                    # Quantiles cannot be added.
                    if suffix:
                        values[suffix, labels] = values.get((suffix, labels), 0) + value
    return [Family(first.name, first.kind, first.help, _ordered(values)) for first, values in found.values()]


def _ordered(values: Mapping[tuple[str, Labels], float]) -> list[Sample]:
    """The samples of each set of labels together, buckets first and by their bounds, as OpenMetrics wants them."""
    groups: dict[Labels, list[tuple[float, Sample]]] = {}
    for (suffix, labels), value in values.items():
        bound = next((float(value) for name, value in labels if name == "le"), float("inf"))
        key = tuple(pair for pair in labels if pair[0] != "le")
        groups.setdefault(key, []).append((bound, Sample(suffix, labels, value)))
    return [
        sample
        for group in groups.values()
        for _, sample in sorted(group, key=lambda each: (each[1].suffix != "_bucket", each[0]))
    ]


def merge(gone: list[Family], living: Mapping[int, list[Family]]) -> list[Family]:
    """The families of all workers, by their numbers, and of those that are gone."""
    sums = total([gone, *living.values()])
    taken = {family.name for family in sums}
    others: dict[str, Family] = {}
    for worker, families in living.items():
        for family in families:
            if family.kind in SUMMED or family.name in taken:
                continue
            first = others.setdefault(family.name, Family(family.name, family.kind, family.help))
            if first.kind == family.kind:
                first.samples += [
                    Sample(suffix, _labelled(labels, worker), value) for suffix, labels, value in family.samples
                ]
    return [*sums, *others.values()]


def _labelled(labels: Labels, worker: int) -> Labels:
    """With the worker's number; a label of the application that is called so already gets another name."""
    return (("worker", str(worker)), *((f"exported_{k}" if k == "worker" else k, v) for k, v in labels))
