"""Which request keeps killing workers. Pure.

Law: values go in and new values come out; time is a parameter. Counted are deaths by a fault. Where it is not known
which of several requests was to blame, the suspects are those that ran at every recent such death: what is left when a
poisonous request has run among different others a few times.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

#: Seconds in which deaths count.
PERIOD_SECONDS = 60.0
#: Seconds for which a method and path is kept from the application: long enough to end a storm, short enough that a
#: mended application serves it again soon.
SENTENCE_SECONDS = 300.0
#: Deaths by one method and path that are worth a log line.
ALERT_DEATHS = 2


class Kill(NamedTuple):
    """One death.

    :ivar names: the methods and paths that may have caused it; one, where it is known.
    """

    at: float
    names: frozenset[str]


class Quarantine(NamedTuple):
    """Recent deaths, and the requests in quarantine.

    :ivar kills: oldest first, never more than count.
    :ivar until: methods and paths that are kept from the application, and until when.
    """

    kills: tuple[Kill, ...] = ()
    until: tuple[tuple[str, float], ...] = ()

    def add_deaths(self, now: float, names: Iterable[str], after: int) -> tuple[Quarantine, dict[str, int]]:
        """A worker died of one of these.

        :param after: deaths that bring quarantine; 0: none.
        :return: the new record, and the offenders to log, with their deaths.
        """
        kills = (*(kill for kill in self.kills if now - kill.at <= PERIOD_SECONDS), Kill(now, frozenset(names)))
        # A death says nothing about requests that had no part in it.
        counts = {name: count for name, count in _offenders(kills).items() if name in kills[-1].names}
        until = {name: end for name, end in self.until if end > now}
        until.update((name, now + SENTENCE_SECONDS) for name, count in counts.items() if 0 < after <= count)
        enough = after or ALERT_DEATHS
        told = {name: count for name, count in counts.items() if count >= enough or count == ALERT_DEATHS}
        return Quarantine(kills, tuple(until.items())), told

    def suspects(self, names: Collection[str], now: float) -> frozenset[str]:
        """Those of some requests that ran at every recent death, or killed a worker before."""
        known = _offenders(tuple(kill for kill in self.kills if now - kill.at <= PERIOD_SECONDS))
        return frozenset(name for name in names if name in known)

    def quarantined(self, now: float) -> dict[str, float]:
        """Methods and paths in quarantine, and how many seconds each has left."""
        return {name: end - now for name, end in self.until if end > now}


def _offenders(kills: tuple[Kill, ...]) -> dict[str, int]:
    """The requests that caused the deaths, with the number of each; none where that is not clear."""
    counts: dict[str, int] = {}
    for kill in kills:
        if len(kill.names) == 1:
            (name,) = kill.names
            counts[name] = counts.get(name, 0) + 1
    unclear = [kill.names for kill in kills if len(kill.names) > 1]
    # A known offender explains a death in which it took part.
    unclear = [names for names in unclear if not names & counts.keys()]
    if len(unclear) > 1:
        common = frozenset.intersection(*unclear)
        if len(common) == 1:
            counts[next(iter(common))] = len(unclear)
    return counts
