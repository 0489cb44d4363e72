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
from bench.measure import Generator, find_wrk
from bench.servers import Home, Place, Server
from bench.workloads import Workload

APPS = Path(__file__).with_name("apps")
DEFAULT_VENV = Path(__file__).parent.parent / ".bench-venv"


@dataclass(frozen=True)
class Plan:
    """The servers, the workloads, the load, and where all of it runs."""

    servers: Sequence[Server]
    workloads: Sequence[Workload]
    rounds: int
    duration: int
    warm_up: int
    generator: Generator
    pins: cores.Pins
    installations: dict[Home, homes.Installation]

    def unavailable(self, server: Server, workload: Workload) -> str | None:
        """The reason a server cannot be measured under a workload at all."""
        installation = self.installations[server.home]
        needed = [server.distribution, *([workload.needs] if workload.needs else [])]
        reasons = (installation.why_missing(name) for name in needed)
        return next((reason for reason in reasons if reason is not None), None)

    def place(self, server: Server, port: int | str) -> Place:
        """Where a server of this plan runs."""
        return Place(self.installations[server.home].python, APPS, port)

    def version(self, server: Server) -> str | None:
        """The installed version of a server."""
        return self.installations[server.home].version(server.distribution)


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


def make_plan(options: argparse.Namespace, say: Callable[[str], None]) -> Plan:
    """The plan which the command's options ask for."""
    if options.json is not None and not os.access(options.json.absolute().parent, os.W_OK):
        raise BenchError(f"--json: cannot write to {options.json.absolute().parent}")
    pins = cores.choose_here()
    return Plan(
        servers=options.servers,
        workloads=options.workloads,
        rounds=options.rounds,
        duration=options.duration,
        warm_up=options.warm_up,
        generator=find_wrk(options.connections, pins.load),
        pins=pins,
        installations=find_installations(options.servers, options.venv, say),
    )
