"""The ``disruption`` command: each scenario with each server in turn, and what the clients saw.

Law: orders the runs and hands on; the parts in ``disrupt`` play, tell and draw.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from bench import homes, peers
from bench.command import EXIT_INCOMPLETE, EXIT_INTERRUPTED, BenchError, Command
from bench.cores import Pins, choose_here
from bench.disrupt import plot, report
from bench.disrupt.contestants import CONTESTANTS, Contestant, command_line
from bench.disrupt.outcomes import Absent, Result
from bench.disrupt.play import Setting, play
from bench.disrupt.scenarios import SCENARIOS, Scenario
from bench.disrupt.stage import Pace
from bench.plan import APPS, DEFAULT_VENV
from bench.servers import Home, Place

FORMAT = 1
Named = TypeVar("Named", Contestant, Scenario)


def say(line: str) -> None:
    """Progress goes to standard error; standard output is for the report."""
    print(line, file=sys.stderr, flush=True)


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
    servers, scenarios = (", ".join(item.name for item in items) for items in (CONTESTANTS, SCENARIOS))
    add = parser.add_argument
    add("--servers", type=pick(CONTESTANTS), default=CONTESTANTS, metavar="A,B", help=f"of: {servers}")
    add("--scenarios", type=pick(SCENARIOS), default=SCENARIOS, metavar="A,B", help=f"of: {scenarios}")
    add("--seconds", type=float, default=60.0, metavar="N", help="of each disruption; default: %(default)s")
    add("--boot", type=float, default=1.0, metavar="N", help="seconds of import; default: %(default)s")
    add("--clients", type=int, default=64, metavar="N", help="default: %(default)s")
    add("--venv", type=Path, default=DEFAULT_VENV, metavar="PATH", help="the peers'; default: %(default)s")
    add("--json", type=Path, metavar="FILE", help="write every result and every command line there")
    add("--svg", type=Path, metavar="FILE", help="draw the picture there")
    add(
        "--without",
        type=lambda text: tuple(f"--{name.strip()}" for name in text.split(",")),
        default=(),
        metavar="A,B",
        help="options to leave off twistcorn's command line, for a version that does not know them",
    )


def find_homes(contestants: Sequence[Contestant], venv: Path) -> dict[Home, homes.Installation]:
    """The interpreters these servers need, the peers' made if it has to be."""
    wanted = {contestant.home for contestant in contestants}
    found: dict[Home, homes.Installation] = {}
    if Home.OWN in wanted:
        found[Home.OWN] = homes.own_installation(APPS)
    if Home.PEERS in wanted:
        found[Home.PEERS] = peers.prepare(venv, APPS, say)
    return found


def keep_off(pins: Pins) -> None:
    """Leave the clients' CPU to them: the servers, our children, may use all others."""
    if pins.load is not None:
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {pins.load})


def play_all(
    scenarios: Sequence[Scenario], contestants: Sequence[Contestant], setting: Setting
) -> Iterator[Result]:
    """All servers under one scenario, then all under the next."""
    for scenario in scenarios:
        for contestant in contestants:
            yield play(scenario, contestant, setting)


def describe(result: Result) -> str:
    """One line of progress."""
    head = f"{result.scenario:18} {result.server:18}"
    if isinstance(result, Absent):
        return f"{head} {result.reason}"
    return f"{head} {result.disrupted.failed:6} failed {result.disrupted.dropped:6} dropped"


def collect(options: argparse.Namespace, setting: Setting) -> tuple[list[Result], bool]:
    """All results, and whether someone interrupted before the last."""
    results: list[Result] = []
    try:
        for result in play_all(options.scenarios, options.servers, setting):
            say(describe(result))
            results.append(result)
    except KeyboardInterrupt:
        say("interrupted; what was seen until then:")
        return results, True
    return results, False


def head(options: argparse.Namespace, setting: Setting, pins: Pins) -> str:
    """What the figures belong to."""
    versions = [
        f"{c.name} {setting.installations[c.home].version(c.distribution) or 'not installed'}"
        for c in options.servers
    ]
    left_out = f"twistcorn without {', '.join(setting.left_out)}\n" if setting.left_out else ""
    where = "all share one CPU" if pins.load is None else f"clients on CPU {pins.load}, server on all others"
    return (
        f"4 workers of 8 threads, {setting.pace.clients} keep-alive clients, {setting.pace.seconds:g} s of disruption, "
        f"import {setting.pace.boot:g} s\n{'; '.join(versions)}\n{left_out}{where}; Linux {platform.release()}, "
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs"
    )


def document(
    options: argparse.Namespace, setting: Setting, results: Sequence[Result], started: datetime
) -> dict[str, object]:
    """Everything, for ``--json``."""
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    return {
        "format": FORMAT,
        "started": started.isoformat(timespec="seconds"),
        "settings": {**asdict(setting.pace), "left_out": setting.left_out},
        "host": {"kernel": platform.release(), "cpus": os.cpu_count(), "python": platform.python_version()},
        "commands": {
            scenario.name: {c.name: words(c, scenario, setting) for c in options.servers}
            for scenario in options.scenarios
        },
        "must": {scenario.name: scenario.must for scenario in options.scenarios},
        "results": [{**asdict(r), "unmet": report.unmet(r, by_name[r.scenario])} for r in results],
    }


def words(contestant: Contestant, scenario: Scenario, setting: Setting) -> list[str]:
    """A command line as it was run, but for where."""
    place = Place(setting.installations[contestant.home].python, Path("APPS"), "PORT")
    return command_line(contestant, scenario.feature, place, setting.left_out)


def run(options: argparse.Namespace) -> int:
    """Play, print, write; the status tells whether a result is missing or twistcorn broke a promise."""
    for path in filter(None, (options.json, options.svg)):
        if not os.access(path.absolute().parent, os.W_OK):
            raise BenchError(f"cannot write to {path.absolute().parent}")
    pins = choose_here()
    started = datetime.now(timezone.utc)
    pace = Pace(options.seconds, options.boot, options.clients)
    setting = Setting(pace, find_homes(options.servers, options.venv), pins.load, options.without)
    keep_off(pins)
    results, interrupted = collect(options, setting)
    print(f"{head(options, setting, pins)}\n{report.text(options.scenarios, results)}")
    if options.json is not None:
        options.json.write_text(json.dumps(document(options, setting, results, started), indent=2) + "\n")
    if options.svg is not None:
        options.svg.write_text(plot.svg(options.scenarios, [c.name for c in options.servers], results))
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_INCOMPLETE if any(wanting(result, options.scenarios) for result in results) else 0


def wanting(result: Result, scenarios: Sequence[Scenario]) -> bool:
    """Whether twistcorn broke a promise, or a figure is missing that could be there."""
    if isinstance(result, Absent):
        return not result.by_nature
    scenario = next(scenario for scenario in scenarios if scenario.name == result.scenario)
    return bool(report.unmet(result, scenario))


COMMAND = Command(
    "disruption", "what clients see of reloads, crashes, stuck requests and too much work", add_arguments, run
)
