"""The ``throughput`` command: every server in turn under each workload, round by round.

Law: orders the steps; starting is ``running``'s, load ``measure``'s, arithmetic ``report``'s.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from bench import present
from bench.command import EXIT_INCOMPLETE, EXIT_INTERRUPTED, BenchError, Command
from bench.measure import run_wrk
from bench.plan import APPS, DEFAULT_VENV, Plan, make_plan
from bench.proctree import cpu_seconds
from bench.records import Failure, Outcome, Sample
from bench.running import Running, free_port, running, wait_ready
from bench.servers import SERVERS, Server, command_line
from bench.workloads import WORKLOADS, Workload

# What starting and ending a server takes, roughly; only the announced time depends on it.
START_SECONDS = 1.5

Named = TypeVar("Named", Server, Workload)


def say(line: str) -> None:
    """Progress goes to standard error; standard output is for the report."""
    print(line, file=sys.stderr, flush=True)


def at_least(minimum: int) -> Callable[[str], int]:
    """An argument type: a whole number with a lower bound."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {minimum}")
        return int(text)

    return parse


def pick(available: Sequence[Named]) -> Callable[[str], Sequence[Named]]:
    """An argument type: names, separated by commas, of what is available."""
    by_name = {item.name: item for item in available}

    def parse(text: str) -> Sequence[Named]:
        wanted = [name.strip() for name in text.split(",")]
        unknown = [name for name in wanted if name not in by_name]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(by_name)}")
        return [by_name[name] for name in dict.fromkeys(wanted)]

    return parse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    servers, workloads = (", ".join(item.name for item in items) for items in (SERVERS, WORKLOADS))
    add = parser.add_argument
    add("--servers", type=pick(SERVERS), default=SERVERS, metavar="A,B", help=f"of: {servers}")
    add("--workloads", type=pick(WORKLOADS), default=WORKLOADS, metavar="A,B", help=f"of: {workloads}")
    add("--rounds", type=at_least(1), default=3, metavar="N", help="default: %(default)s")
    add("--duration", type=at_least(1), default=4, metavar="SECONDS", help="of one run; default: %(default)s")
    add("--warm-up", type=at_least(0), default=1, metavar="SECONDS", help="before it; default: %(default)s")
    add("--connections", type=at_least(1), default=32, metavar="N", help="default: %(default)s")
    add("--venv", type=Path, default=DEFAULT_VENV, metavar="PATH", help="the peers'; default: %(default)s")
    add("--json", type=Path, metavar="FILE", help="write every run and every command line there")


def run_once(plan: Plan, server: Server, workload: Workload, turn: int) -> Outcome:
    """Start the server, see that it is right, warm it up, measure it, end it."""
    port = free_port()
    command = command_line(server, workload, plan.place(server, port))
    try:
        with running(command, APPS, port, plan.pins.server) as process:
            sample = measure_running(plan, process, server, workload, turn)
    except BenchError as error:
        return Failure(server.name, workload.name, turn, str(error))
    return replace(sample, killed=process.killed)


def measure_running(plan: Plan, process: Running, server: Server, workload: Workload, turn: int) -> Sample:
    """Wait until the server answers rightly, warm it up, measure it, see that it is still there."""
    stays_open = wait_ready(process, workload)
    if plan.warm_up:
        run_wrk(plan.generator, process.url, workload.headers, plan.warm_up)
    before = cpu_seconds(process.pid)
    timed = run_wrk(plan.generator, process.url, workload.headers, plan.duration)
    spent = cpu_seconds(process.pid) - before
    process.check_alive()
    return Sample(
        server=server.name,
        workload=workload.name,
        round=turn,
        requests=timed.load.requests,
        per_second=timed.load.per_second,
        mean_latency=timed.load.mean_latency,
        errors=timed.load.errors,
        wall_seconds=timed.wall_seconds,
        server_cpu_seconds=spent,
        wrk_cpu_seconds=timed.cpu_seconds,
        stays_open=stays_open,
    )


def measure_all(plan: Plan) -> Iterator[Outcome]:
    """First what cannot be run and why; then A B C, A B C: every server once in each round."""
    possible: list[tuple[Workload, Server]] = []
    for workload in plan.workloads:
        for server in plan.servers:
            reason = plan.unavailable(server, workload)
            if reason is None:
                possible.append((workload, server))
            else:
                yield Failure(server.name, workload.name, 0, reason)
    runs = plan.rounds * len(possible)
    say(f"{runs} runs, about {runs * (plan.duration + plan.warm_up + START_SECONDS) / 60:.1f} min")
    for turn in range(1, plan.rounds + 1):
        for workload, server in possible:
            yield run_once(plan, server, workload, turn)


def describe(outcome: Outcome, rounds: int) -> str:
    """One line of progress."""
    head = f"{outcome.round}/{rounds} {outcome.workload:16} {outcome.server:16}"
    if isinstance(outcome, Failure):
        return f"{head} {outcome.reason}"
    return f"{head} {outcome.per_second:9.0f} req/s {outcome.cpu_micros or 0:8.1f} us/req"


def collect(plan: Plan) -> tuple[list[Outcome], bool]:
    """All outcomes, and whether someone interrupted before the last."""
    outcomes: list[Outcome] = []
    try:
        for outcome in measure_all(plan):
            say(describe(outcome, plan.rounds))
            outcomes.append(outcome)
    except KeyboardInterrupt:
        say("interrupted; what was measured until then:")
        return outcomes, True
    return outcomes, False


def carry_out(plan: Plan) -> present.Finished:
    """Measure everything, and note how busy the machine was around it."""
    started, load_before = datetime.now(timezone.utc), os.getloadavg()[0]
    outcomes, interrupted = collect(plan)
    return present.Finished(plan, outcomes, started, load_before, os.getloadavg()[0], interrupted)


def run(options: argparse.Namespace) -> int:
    """Measure, print, write; tell by the status whether a figure is missing."""
    finished = carry_out(make_plan(options, say))
    print(present.text(finished))
    if options.json is not None:
        options.json.write_text(json.dumps(present.document(finished), indent=2) + "\n")
    if finished.interrupted:
        return EXIT_INTERRUPTED
    missing = any(isinstance(outcome, Failure) for outcome in finished.outcomes)
    return EXIT_INCOMPLETE if missing else 0


COMMAND = Command("throughput", "requests per second and CPU time per request", add_arguments, run)
