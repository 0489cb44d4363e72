"""``python -m bench soak``: how a well-behaved client fares while a thousand others are not.

Law: starts twistcorn, besieges it, measures latency and memory, prints; the bounds are its exit status.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from bench.command import EXIT_INCOMPLETE, Command
from bench.cores import choose_here
from bench.homes import own_installation
from bench.proctree import tree_memory
from bench.running import free_port, running, wait_ready
from bench.servers import SERVERS, Place, command_line
from bench.siege import Latencies, ask_steadily, besieged
from bench.workloads import GREETING, Case, Persistence, Workload

APPS = Path(__file__).parent / "apps"
WORKLOAD = Workload(Case("soak", "soak", GREETING), Persistence.KEEP_ALIVE)
#: Bounds: hello's 99th percentile, and what the whole tree may grow by.
WORST_P99 = 0.025
WORST_GROWTH = 150 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--dribblers", type=int, default=1000, help="clients that send a byte a second")
    parser.add_argument("--readers", type=int, default=200, help="clients that ask for much and never read")
    parser.add_argument("--duration", type=float, default=30.0, help="seconds of siege")
    parser.add_argument(
        "--rate", type=float, default=100.0, help="requests of the well-behaved client a second"
    )


def report(calm: Latencies, siege: Latencies, before: int, during: int, begun_again: int) -> str:
    """What was measured, as a table."""
    rows = [f"{'':12} {'p50':>9} {'p99':>9} {'p99.9':>9} {'worst':>9}   (milliseconds)"]
    for name, latencies in (("calm", calm), ("besieged", siege)):
        figures = [latencies.at(share) * 1000 for share in (0.5, 0.99, 0.999, 1.0)]
        rows.append(f"{name:12} " + " ".join(f"{figure:9.2f}" for figure in figures))
    rows.append(f"memory of the tree: {before >> 20} MiB before, {during >> 20} MiB at its end")
    rows.append(f"slow senders that were thrown out and came back: {begun_again}")
    return "\n".join(rows)


def run(options: argparse.Namespace) -> int:
    """Besiege twistcorn and tell how the well-behaved client fared."""
    pins = choose_here()
    if pins.load is not None:
        os.sched_setaffinity(0, {pins.load})
    port = free_port()
    place = Place(own_installation(APPS).python, APPS, port)
    with running(command_line(SERVERS[0], WORKLOAD, place), APPS, port, pins.server) as server:
        wait_ready(server, WORKLOAD)
        calm = ask_steadily(port, options.rate, 5.0)
        before = tree_memory(server.pid)
        with besieged(port, options.dribblers, options.readers) as siege:
            latencies = ask_steadily(port, options.rate, options.duration)
            during = tree_memory(server.pid)
        print(pins.describe())
        print(report(calm, latencies, before, during, siege.begun_again))
    kept = latencies.at(0.99) <= WORST_P99 and during - before <= WORST_GROWTH
    print("both bounds kept" if kept else "A BOUND WAS MISSED: p99 25 ms, growth 150 MiB")
    return 0 if kept else EXIT_INCOMPLETE


COMMAND = Command(
    "soak", "latency and memory while a thousand clients dribble and others never read", add_arguments, run
)
