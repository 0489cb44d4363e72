"""What must hold in each scenario: from an outcome to what was not reached.

Law: pure. The bounds are those that twistcorn promises; the peers promised nothing and are not judged.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.disrupt.outcomes import Outcome
from bench.disrupt.tally import Phase

#: Bounds in seconds, as the issue that this benchmark comes from sets them.
WORST = 0.3
STUCK_TIMEOUT = 3.0
STUCK_SLACK = 2.0
HEARTBEAT = 5.0
HEARTBEAT_SLACK = 1.0
QUEUE_TIMEOUT = 1.0
#: What an answer may take beyond its time in the queue: its work and the machine's noise.
QUEUE_SLACK = 0.5
TAIL = 2.0
SKEW = 1.3
#: Memory is flat when it grows by no more than this, in bytes: 64 KiB for each of 640 connections.
FLAT = 40 << 20

BAD_GATEWAY = "status 502"
SHED = "status 503"


def unharmed(phase: Phase) -> Iterator[str]:
    """Nothing failed, nothing dropped."""
    if phase.failed:
        yield f"{phase.failed} failed"
    if phase.dropped:
        yield f"{phase.dropped} dropped"
    if not phase.answered:
        yield "nothing was answered"


def survived(outcome: Outcome) -> Iterator[str]:
    """The server is still there."""
    if outcome.ended is not None:
        yield f"the server ended ({outcome.ended})"


def once(outcome: Outcome) -> Iterator[str]:
    """No POST request ran twice."""
    if outcome.run_twice:
        yield f"{outcome.run_twice} ran twice"


def quick(outcome: Outcome) -> Iterator[str]:
    """The tail is near to what is usual, and nobody waited for long."""
    usual, now = outcome.calm.latency, outcome.disrupted.latency
    if usual is None or now is None:
        yield "no latency is known"
        return
    if now.p999 > TAIL * usual.p999:
        yield f"99.9th percentile {now.p999 / usual.p999:.1f} times the steady one"
    yield from at_most("worst", now.worst, WORST)


def at_most(what: str, seconds: float | None, bound: float) -> Iterator[str]:
    """A time is known and within its bound."""
    if seconds is None:
        yield f"{what}: never"
    elif seconds > bound:
        yield f"{what} {seconds:.2f} s"


def reload(outcome: Outcome) -> Iterator[str]:
    """0 failed, 0 dropped, no close announced, the tail bounded, nothing run twice, new code served."""
    yield from survived(outcome)
    yield from unharmed(outcome.disrupted)
    if outcome.disrupted.planned:
        yield f"{outcome.disrupted.planned} connections were asked to close"
    yield from once(outcome)
    yield from quick(outcome)
    if len(outcome.disrupted.by_version) < 2:
        yield "the new code never served"


def bad_deploy(outcome: Outcome) -> Iterator[str]:
    """0 failed, the log tells, the old code serves, the next good reload works."""
    yield from survived(outcome)
    yield from unharmed(outcome.disrupted)
    if set(outcome.disrupted.by_version) != {"1"}:
        yield "not the old code alone served"
    if not outcome.figures.get("log tells"):
        yield "the log does not tell"
    if set(outcome.phase("mended").by_version) != {"3"}:
        yield "the next good reload did not work"


def storm_get(outcome: Outcome) -> Iterator[str]:
    """0 failed, 0 dropped."""
    yield from survived(outcome)
    yield from unharmed(outcome.disrupted)
    if not outcome.figures.get("killed"):
        yield "no worker was killed"


def storm_post(outcome: Outcome) -> Iterator[str]:
    """Each failure is a 502, and no request ran twice."""
    yield from survived(outcome)
    other = outcome.disrupted.failed_but(BAD_GATEWAY)
    if other:
        yield f"{other} failed otherwise than by 502"
    yield from once(outcome)
    if not outcome.figures.get("killed"):
        yield "no worker was killed"


def stuck(outcome: Outcome) -> Iterator[str]:
    """504 in time, the stack logged, nobody else fails."""
    yield from survived(outcome)
    [aside] = outcome.asides
    if aside.status != 504:
        yield f"the stuck client got {aside.status or 'no answer'}"
    yield from at_most(
        "the stuck client", aside.seconds, STUCK_TIMEOUT + outcome.figures["boot"] + STUCK_SLACK
    )
    if not outcome.figures.get("stack logged"):
        yield "no stack in the log"
    yield from unharmed(outcome.disrupted)


def poison(outcome: Outcome) -> Iterator[str]:
    """Each answer a 502, no innocent failure, the URL in every report."""
    yield from survived(outcome)
    others = [aside for aside in outcome.asides if aside.status != 502]
    if others:
        yield f"{len(others)} of {len(outcome.asides)} had no 502"
    yield from unharmed(outcome.disrupted)
    if outcome.figures["reports"] < len(outcome.asides):
        yield f"{outcome.figures['reports']:.0f} reports name the URL"


def recycle(outcome: Outcome) -> Iterator[str]:
    """0 failed, 0 dropped, nobody waits for a boot; and it did recycle."""
    yield from survived(outcome)
    yield from unharmed(outcome.disrupted)
    worst = outcome.disrupted.latency.worst if outcome.disrupted.latency else None
    yield from at_most("worst", worst, WORST)
    if not outcome.figures.get("recycled"):
        yield "no worker was recycled"


def skew(outcome: Outcome) -> Iterator[str]:
    """The busiest worker at most 1.3 times the idlest."""
    yield from survived(outcome)
    yield from unharmed(outcome.disrupted)
    ratio = outcome.largest_over_smallest
    if ratio is None:
        yield "a worker without a request"
    elif ratio > SKEW:
        yield f"largest {ratio:.2f} times the smallest"


def stopped(outcome: Outcome) -> Iterator[str]:
    """Replaced in time, its clients served."""
    yield from survived(outcome)
    yield from unharmed(outcome.disrupted)
    yield from at_most("replaced after", outcome.figures.get("replaced after"), HEARTBEAT + HEARTBEAT_SLACK)


def overload(outcome: Outcome) -> Iterator[str]:
    """What is accepted is in time, the rest gets 503, memory is flat, all is well soon."""
    yield from survived(outcome)
    for phase in (outcome.disrupted, outcome.phase("flood")):
        other = phase.failed_but(SHED)
        if other:
            yield f"{phase.name}: {other} failed otherwise than by 503"
        worst = phase.latency.worst if phase.latency else None
        yield from at_most(f"{phase.name}: worst", worst, QUEUE_TIMEOUT + QUEUE_SLACK)
    if not outcome.phase("flood").failures.get(SHED):
        yield "nothing was shed"
    if outcome.figures["grown"] > FLAT:
        yield f"memory grew by {outcome.figures['grown'] / (1 << 20):.0f} MiB"
    recovered = outcome.phase("recovered")
    yield from unharmed(recovered)
    usual = outcome.calm.latency.worst if outcome.calm.latency else 0.0
    worst = recovered.latency.worst if recovered.latency else None
    yield from at_most("recovered: worst", worst, usual + WORST)


def term(outcome: Outcome) -> Iterator[str]:
    """Every started request answered, exit 0, no process left."""
    for phase in outcome.phases:
        if phase.failed:
            yield f"{phase.failed} failed"
    if outcome.figures["exit"] != 0:
        yield f"exit {outcome.figures['exit']:.0f}"
    if outcome.figures["left"]:
        yield f"{outcome.figures['left']:.0f} processes left"
