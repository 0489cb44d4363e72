"""Options that several commands have, and the types of their arguments.

Law: says what may be given; does nothing with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from bench.plan import DEFAULT_VENV
from bench.servers import SERVERS, VARIANTS, Server
from bench.workloads import WORKLOADS, Workload

Named = TypeVar("Named", Server, Workload)


def at_least(minimum: int) -> Callable[[str], int]:
    """An argument type: a whole number with a lower bound."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {minimum}")
        return int(text)

    return parse


def pick(groups: Mapping[str, Sequence[Named]]) -> Callable[[str], Sequence[Named]]:
    """An argument type: names, separated by commas, each of one thing or of several."""

    def parse(text: str) -> Sequence[Named]:
        wanted = [name.strip() for name in text.split(",")]
        unknown = [name for name in wanted if name not in groups]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(groups)}")
        return list({item.name: item for name in wanted for item in groups[name]}.values())

    return parse


def server_groups() -> dict[str, Sequence[Server]]:
    """Each server under its name."""
    return {server.name: [server] for server in (*SERVERS, *VARIANTS)}


def workload_groups() -> dict[str, Sequence[Workload]]:
    """Each workload under its name, both of a case under the case's, all of a kind under `keepalive` or `close`."""
    groups: dict[str, list[Workload]] = {workload.name: [workload] for workload in WORKLOADS}
    for workload in WORKLOADS:
        groups.setdefault(workload.case.name, []).append(workload)
        groups.setdefault(workload.name.rpartition("-")[2], []).append(workload)
    return dict(groups)


def add_servers(parser: argparse.ArgumentParser, default: Sequence[Server] = SERVERS) -> None:
    """Which servers, and where the peers are."""
    groups = server_groups()
    add = parser.add_argument
    add("--servers", type=pick(groups), default=default, metavar="A,B", help=f"of: {', '.join(groups)}")
    add("--venv", type=Path, default=DEFAULT_VENV, metavar="PATH", help="the peers'; default: %(default)s")


def add_workloads(parser: argparse.ArgumentParser, default: Sequence[Workload]) -> None:
    """Which workloads."""
    groups = workload_groups()
    what = f"of: {', '.join(groups)}"
    parser.add_argument("--workloads", type=pick(groups), default=default, metavar="A,B", help=what)


def add_rounds(parser: argparse.ArgumentParser) -> None:
    """How often each is measured."""
    parser.add_argument("--rounds", type=at_least(1), default=3, metavar="N", help="default: %(default)s")


def add_load(parser: argparse.ArgumentParser) -> None:
    """How the load is made."""
    add = parser.add_argument
    add("--duration", type=at_least(1), default=4, metavar="SECONDS", help="of one run; default: %(default)s")
    add("--warm-up", type=at_least(0), default=1, metavar="SECONDS", help="before it; default: %(default)s")
    add("--connections", type=at_least(1), default=32, metavar="N", help="default: %(default)s")


def add_pins(parser: argparse.ArgumentParser) -> None:
    """Whether server and load generator have CPUs of their own."""
    what = "let the kernel place server and load generator"
    parser.add_argument("--no-pins", action="store_true", help=what)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """How many worker processes each server has."""
    what = "worker processes of each server; default: %(default)s"
    parser.add_argument("--server-workers", type=at_least(1), default=1, metavar="N", help=what)


def add_targets(parser: argparse.ArgumentParser) -> None:
    """Whether the figures are judged."""
    what = "tell which of the targets in bench/targets.py were reached, of those that were measured"
    parser.add_argument("--targets", action="store_true", help=what)


def add_output(parser: argparse.ArgumentParser) -> None:
    """Where the figures go besides standard output."""
    add = parser.add_argument
    add("--json", type=Path, metavar="FILE", help="write every figure and every command line there")
    add("--svg", type=Path, metavar="FILE", help="draw the figures there")
