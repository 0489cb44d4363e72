"""What one scenario did to one server, or why there is nothing to tell.

Law: frozen values; nothing is computed here but what one outcome alone tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.disrupt.asides import Aside
from bench.disrupt.tally import Phase

CALM = "calm"
DISRUPTED = "disrupted"
#: The clients look around ten times a second at least; beyond this they were kept from it, in seconds.
STALL = 0.3


@dataclass(frozen=True)
class Outcome:
    """One server under one scenario.

    :ivar phases: as the scenario went through them; `calm` and `disrupted` are always there.
    :ivar ended: how the server ended while it should have served; ``None`` when it did not.
    :ivar run_twice: how many POST requests the application ran more than once.
    :ivar figures: what the scenario measured besides, by name.
    :ivar remarks: what a reader has to know beside the figures.
    """

    server: str
    scenario: str
    phases: tuple[Phase, ...]
    ended: str | None = None
    run_twice: int = 0
    asides: tuple[Aside, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def phase(self, name: str) -> Phase:
        """The phase of this name; the server was there in each, or its absence was counted."""
        return next(phase for phase in self.phases if phase.name == name)

    @property
    def calm(self) -> Phase:
        """Before anything was done."""
        return self.phase(CALM)

    @property
    def disrupted(self) -> Phase:
        """While it was done."""
        return self.phase(DISRUPTED)

    @property
    def stalled(self) -> float | None:
        """How long the clients themselves stood still, if that spoils the figures."""
        worst = max(phase.stalled for phase in self.phases)
        return worst if worst > STALL else None

    @property
    def largest_over_smallest(self) -> float | None:
        """The answers of the busiest worker over those of the idlest; ``None`` when one had none."""
        counts = self.disrupted.by_worker.values()
        if not counts or len(counts) < self.figures.get("workers", 0):
            return None
        return max(counts) / min(counts)


@dataclass(frozen=True)
class Absent:
    """A scenario without an outcome.

    :ivar by_nature: the server lacks what the scenario is about; otherwise something went wrong.
    """

    server: str
    scenario: str
    reason: str
    by_nature: bool = False


Result = Outcome | Absent
