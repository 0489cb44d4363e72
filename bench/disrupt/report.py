"""From the results to what is read: a table for each scenario, and what twistcorn had to reach there.

Law: pure; the same results give the same text. No failure is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.disrupt.contestants import TWISTCORN
from bench.disrupt.outcomes import Absent, Outcome, Result
from bench.disrupt.scenarios import Scenario
from bench.disrupt.tally import Latency, Phase
from bench.report import NOTHING, table

HEADINGS = (
    *("server", "answered", "failed", "dropped", "planned", "p50", "p99", "p99.9", "worst"),
    *("calm p99.9", "calm worst", "must", "notes"),
)
LEGEND = """\
answered, failed: requests; dropped: connections closed unannounced; planned: closed as the server had announced
p50 to worst: milliseconds from when a request was due to its right answer, connecting again included;
calm: the same clients of the same server before anything was done to it"""
REACHED = "reached"
MISSED = "NOT reached"


def unmet(result: Result, scenario: Scenario) -> list[str] | None:
    """What twistcorn promised and did not keep; ``None`` for a server that promised nothing."""
    if result.server != TWISTCORN:
        return None
    return [result.reason] if isinstance(result, Absent) else list(scenario.judge(result))


def text(scenarios: Sequence[Scenario], results: Sequence[Result]) -> str:
    """All tables."""
    parts = [LEGEND]
    for scenario in scenarios:
        here = [result for result in results if result.scenario == scenario.name]
        if here:
            parts.append(f"\n{scenario.name}: {scenario.summary}\nmust: {scenario.must}")
            parts.append(table(HEADINGS, [cells(result, scenario) for result in here]))
            parts += [line for result in here for line in verdict(result, scenario)]
    return "\n".join(parts)


def verdict(result: Result, scenario: Scenario) -> Iterator[str]:
    """What was not reached, in words."""
    missing = unmet(result, scenario)
    if missing:
        yield f"{result.server}: {MISSED}: {'; '.join(missing)}"


def must_cell(result: Result, scenario: Scenario) -> str:
    """Whether what had to be reached was."""
    missing = unmet(result, scenario)
    if missing is None:
        return NOTHING
    return MISSED if missing else REACHED


def cells(result: Result, scenario: Scenario) -> tuple[str, ...]:
    """One row as text."""
    must = must_cell(result, scenario)
    if isinstance(result, Absent):
        return (result.server, *[NOTHING] * 10, must, f"NOT RUN: {result.reason}")
    now = result.disrupted
    return (
        result.server,
        *map(str, (now.answered, now.failed, now.dropped, now.planned)),
        *latencies(now.latency),
        *latencies(result.calm.latency)[2:],
        must,
        "; ".join(notes(result)),
    )


def latencies(latency: Latency | None) -> tuple[str, str, str, str]:
    """The quantiles in milliseconds."""
    if latency is None:
        return (NOTHING, NOTHING, NOTHING, NOTHING)
    median, p99, p999, worst = latency.median, latency.p99, latency.p999, latency.worst
    return (f"{median * 1000:.0f}", f"{p99 * 1000:.0f}", f"{p999 * 1000:.0f}", f"{worst * 1000:.0f}")


def kinds(phase: Phase) -> str:
    """The failures of a phase by kind, the most frequent first."""
    ordered = sorted(phase.failures.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {kind}" for kind, count in ordered)


def notes(outcome: Outcome) -> Iterator[str]:
    """All that a reader has to know beside the figures."""
    if outcome.ended is not None:
        yield f"THE SERVER ENDED ({outcome.ended})"
    if outcome.disrupted.failed:
        yield kinds(outcome.disrupted)
    if outcome.run_twice:
        yield f"{outcome.run_twice} RAN TWICE"
    for phase in outcome.phases:
        if phase.name != "disrupted" and (phase.failed or phase.dropped):
            yield f"{phase.name}: {kinds(phase) or 'none failed'}, {phase.dropped} dropped"
    yield from aside_notes(outcome)
    yield from figure_notes(outcome)
    yield from outcome.remarks


def aside_notes(outcome: Outcome) -> Iterator[str]:
    """What became of the requests that made the trouble."""
    ends: dict[str, list[float]] = {}
    for aside in outcome.asides:
        ends.setdefault("no answer" if aside.status is None else str(aside.status), []).append(aside.seconds)
    for end, seconds in sorted(ends.items()):
        yield f"the request: {len(seconds)} times {end}, after {max(seconds):.1f} s at most"


def figure_notes(outcome: Outcome) -> Iterator[str]:
    """What the scenario measured besides."""
    for name, value in sorted(outcome.figures.items()):
        yield f"{name} {value:.3g}" if name != "grown" else f"memory grew by {value / (1 << 20):.0f} MiB"
    if "workers" in outcome.figures:
        ratio = outcome.largest_over_smallest
        counts = sorted(outcome.disrupted.by_worker.values())
        listed = "/".join(map(str, counts))
        yield f"requests by worker {listed}" + (f", {ratio:.1f} times" if ratio else ", one without any")
