"""Every server in turn, round by round: A B C, A B C.

Law: orders the runs and keeps what they gave; what a run is, the command says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Generic, TypeVar

from bench.command import EXIT_INCOMPLETE, EXIT_INTERRUPTED, BenchError
from bench.host import Snapshot, snapshot
from bench.plan import Stage
from bench.records import Failure
from bench.servers import Server
from bench.workloads import Workload

Result = TypeVar("Result")
RunOnce = Callable[[Server, Workload, int], Result]


@dataclass(frozen=True)
class Taken(Generic[Result]):
    """What all rounds gave, or as many as there were, and the machine around them."""

    outcomes: list[Result | Failure]
    started: datetime
    before: Snapshot
    after: Snapshot
    interrupted: bool

    @property
    def status(self) -> int:
        """The exit status of the command: whether a figure is missing, or somebody interrupted."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        return EXIT_INCOMPLETE if any(isinstance(outcome, Failure) for outcome in self.outcomes) else 0


def say(line: str) -> None:
    """Progress goes to standard error; standard output is for the report."""
    print(line, file=sys.stderr, flush=True)


def in_turn(stage: Stage, run_once: RunOnce[Result], run_seconds: float) -> Iterator[Result | Failure]:
    """First what cannot be run and why; then every server once in each round. A run lasts so long, roughly."""
    possible: list[tuple[Workload, Server]] = []
    for workload in stage.workloads:
        for server in stage.servers:
            reason = stage.unavailable(server, workload)
            if reason is None:
                possible.append((workload, server))
            else:
                yield Failure(server.name, workload.name, 0, reason)
    runs = stage.rounds * len(possible)
    say(f"{runs} runs, about {runs * run_seconds / 60:.1f} min")
    for turn in range(1, stage.rounds + 1):
        for workload, server in possible:
            try:
                yield run_once(server, workload, turn)
            except BenchError as error:
                yield Failure(server.name, workload.name, turn, str(error))


def take(
    outcomes: Iterator[Result | Failure], rounds: int, describe: Callable[[Result], str]
) -> Taken[Result]:
    """All outcomes, or those until someone interrupts, told one by one as they come."""
    started, before = datetime.now(timezone.utc), snapshot()
    kept: list[Result | Failure] = []
    interrupted = False
    try:
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                head = f"{outcome.round}/{rounds} {outcome.workload:18} {outcome.server:16}"
                say(f"{head} {outcome.reason}")
            else:
                say(describe(outcome))
            kept.append(outcome)
    except KeyboardInterrupt:
        say("interrupted; what was measured until then:")
        interrupted = True
    return Taken(kept, started, before, snapshot(), interrupted)
