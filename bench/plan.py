"""What one run of a command needs, settled before anything is measured.

Law: everything that can be wrong beforehand is found here; nothing under test is started.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import cores, homes, peers
from bench.command import BenchError
from bench.loads import Generator
from bench.servers import Home, Place, Server, command_line
from bench.workloads import Workload
from bench.wrk import find_wrk

APPS = Path(__file__).with_name("apps")
DEFAULT_VENV = Path(__file__).parent.parent / ".bench-venv"


@dataclass(frozen=True)
class Stage:
    """The servers, what they run, and where all of it runs."""

    servers: Sequence[Server]
    workloads: Sequence[Workload]
    rounds: int
    workers: int
    pins: cores.Pins
    installations: dict[Home, homes.Installation]

    def unavailable(self, server: Server, workload: Workload) -> str | None:
        """The reason a server cannot be measured under a workload at all."""
        if self.workers > 1 and not server.processes:
            return "it has one process and no more"
        installation = self.installations[server.home]
        needed = [server.distribution, *server.needs, *([workload.case.needs] if workload.case.needs else [])]
        reasons = (installation.why_missing(name) for name in needed)
        return next((reason for reason in reasons if reason is not None), None)

    def command(self, server: Server, workload: Workload, port: int | str) -> list[str]:
        """How a server of this stage is started."""
        return command_line(server, workload, Place(self.python(server), APPS, port, self.workers))

    def python(self, server: Server) -> Path:
        """The interpreter in whose environment a server is."""
        return self.installations[server.home].python

    def version(self, server: Server) -> str | None:
        """The installed version of a server."""
        return self.installations[server.home].version(server.distribution)


@dataclass(frozen=True)
class Plan(Stage):
    """A stage, and the load on it."""

    duration: int
    warm_up: int
    generator: Generator


def find_installations(
    servers: Sequence[Server], venv: Path, say: Callable[[str], None]
) -> dict[Home, homes.Installation]:
    """The interpreters these servers need, the peers' made if it has to be."""
    wanted = {server.home for server in servers}
    found: dict[Home, homes.Installation] = {}
    if Home.OWN in wanted:
        found[Home.OWN] = homes.own_installation(APPS)
    if Home.PEERS in wanted:
        found[Home.PEERS] = peers.prepare(venv, APPS, say)
    return found


def check_writable(option: str, file: Path | None) -> None:
    """What is to be written at the end is known to be writable before the beginning."""
    if file is not None and not os.access(file.absolute().parent, os.W_OK):
        raise BenchError(f"{option}: cannot write to {file.absolute().parent}")


def make_stage(
    options: argparse.Namespace,
    workloads: Sequence[Workload],
    workers: int,
    pins: cores.Pins,
    say: Callable[[str], None],
) -> Stage:
    """The stage which a command's options ask for."""
    check_writable("--json", options.json)
    check_writable("--svg", options.svg)
    return Stage(
        servers=options.servers,
        workloads=workloads,
        rounds=options.rounds,
        workers=workers,
        pins=pins,
        installations=find_installations(options.servers, options.venv, say),
    )


def make_plan(options: argparse.Namespace, say: Callable[[str], None]) -> Plan:
    """The plan which the command's options ask for."""
    pins = cores.NO_PINS if options.no_pins else cores.choose_here(options.server_workers)
    # First what costs nothing to find out: the stage may have to make the peers' environment.
    generator = find_wrk(options.connections, pins.load)
    stage = make_stage(options, options.workloads, options.server_workers, pins, say)
    return Plan(**vars(stage), duration=options.duration, warm_up=options.warm_up, generator=generator)
