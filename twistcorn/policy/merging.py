"""The application's metrics, merged over several workers.

Law: pure. Counters, histograms and summaries are summed over the workers, also over those that are gone, so that they
never go down; everything else gets the number of its worker as a label. Lines come as they will be written, and are
not parsed: with thousands of samples from each worker that would block the master for a tenth of a second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .exposition import number

#: Kinds that are summed.
SUMMED = ("counter", "histogram", "summary")
_KINDS = (*SUMMED, "gauge", "info", "stateset", "gaugehistogram", "unknown")
_BOUND = re.compile(r'le="([^"]*)"\}$')

#: What a line begins with, up to its value: name and labels.
Values = dict[str, float]


@dataclass
class Told:
    """A family of an application.

    :ivar kind: as of `exposition.Family`.
    :ivar groups: the samples with the same labels but for a bucket's bound, which must stand together.
    """

    name: str
    kind: str
    help: str
    groups: dict[str, Values] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Its samples as text."""
        return [f"{key} {number(value)}" for values in self.groups.values() for key, value in values.items()]

    def add_groups(self, groups: Mapping[str, Values]) -> None:
        """Sum up."""
        for group, values in groups.items():
            sums = self.groups.get(group)
            if sums is None:
                self.groups[group] = dict(values)
                continue
            before = len(sums)
            for key, value in values.items():
                sums[key] = sums.get(key, 0) + value
            if len(sums) > before:
                # Other code has other buckets.
                self.groups[group] = dict(sorted(sums.items(), key=lambda item: _order(item[0])))


def _order(key: str) -> tuple[bool, float]:
    """Buckets by their bounds, then all others."""
    found = _BOUND.search(key)
    return (found is None, float(found[1]) if found is not None else 0.0)


def parse(data: bytes, worker: int) -> list[Told]:
    """The families that a worker reports: JSON lists of name, kind, help, and the groups of samples.

    :param worker: its number, the label of what is not summed.
    :raises ValueError: it is something else.
    """
    try:
        return [_read_family(worker, *entry) for entry in json.loads(data)]
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"no families: {error}") from None


def _read_family(worker: int, name: str, kind: str, help: str, groups: dict[str, Values]) -> Told:
    for values in groups.values():
        if not {type(value) for value in values.values()} <= {int, float}:
            raise TypeError(f"{name} has a value that is no number")
    if kind not in SUMMED:
        label = f'worker="{worker}"'
        groups = {
            f"{label} {group}": {_labelled(key, label): value for key, value in values.items()}
            for group, values in groups.items()
        }
    return Told(str(name), kind if kind in _KINDS else "unknown", str(help), groups)


def _labelled(key: str, label: str) -> str:
    name, brace, rest = key.partition("{")
    return f"{name}{{{label},{rest}" if brace else f"{name}{{{label}}}"


def total(reports: Iterable[list[Told]], kinds: Iterable[str] = SUMMED) -> list[Told]:
    """The families of these kinds of several reports as one. Of two kinds by the same name the first one counts."""
    found: dict[str, Told] = {}
    for families in reports:
        for family in families:
            if family.kind in kinds:
                first = found.setdefault(family.name, Told(family.name, family.kind, family.help))
                if first.kind == family.kind:
                    first.add_groups(family.groups)
    return list(found.values())


def merge(gone: list[Told], living: Iterable[list[Told]]) -> list[Told]:
    """The families of all workers, and of those that are gone."""
    return total([gone, *living], _KINDS)


def trim(gone: list[Told], most: int, living: Iterable[list[Told]]) -> None:
    """Drop groups that no live worker reports, the oldest first, until `most` are left."""
    over = sum(len(family.groups) for family in gone) - most
    if over <= 0:
        return
    told = {(family.name, group) for families in living for family in families for group in family.groups}
    for family in gone:
        for group in [group for group in family.groups if (family.name, group) not in told][:over]:
            del family.groups[group]
            over -= 1
