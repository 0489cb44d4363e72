"""The ``startup`` command: from start to the first answer, and from ``kill -9`` of a worker to its successor's.

Law: asks again and again, on a new connection each time; what counts is when an answer came, not when it was asked.
"""

from __future__ import annotations

import argparse
import functools
import http.client
import os
import signal
import time
from collections.abc import Callable

from bench import options as our_options
from bench import outputs
from bench.accounts import Finished
from bench.command import Command
from bench.cores import NO_PINS
from bench.plan import APPS, Stage, make_stage
from bench.proctree import family_of
from bench.readings import Column, Reading, describe
from bench.rounds import in_turn, say, take
from bench.running import NotServing, Running, free_port, running
from bench.servers import Server
from bench.workloads import CASES, Case, Persistence, Workload

#: How long is asked, how long one question waits, and how long it is before the next one.
PATIENCE = 30.0
ANSWER_TIMEOUT = 1.0
PAUSE = 0.002
#: A worker has been up for this long when it is killed.
SETTLED = 1.0
#: What one run takes, roughly; only the announced time depends on it.
RUN_SECONDS = 5.0
COLUMNS = (
    Column("first", "ms to the first answer", 1000, ".0f", compared=True),
    Column("replaced", "ms from kill -9 to the next worker's answer", 1000, ".0f", compared=True),
)
#: Its answer is the number of the process that gives it.
PID = Workload(Case("plain", "pid", b""), Persistence.CLOSE)
DJANGO = Workload(next(case for case in CASES if case.name == "django"), Persistence.CLOSE)
WORKLOADS = (PID, DJANGO)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    our_options.add_servers(parser)
    our_options.add_rounds(parser)
    our_options.add_workers(parser)
    our_options.add_output(parser)


def ask(port: int, timeout: float = ANSWER_TIMEOUT) -> bytes | None:
    """The body of a good answer, if there is one now."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", "/", headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return body if response.status == http.client.OK else None


def ask_until(server: Running, right: Callable[[bytes], bool]) -> bytes:
    """Ask until the right answer comes."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        server.check_alive()
        body = ask(server.port)
        if body is not None and right(body):
            return body
        time.sleep(PAUSE)
    raise NotServing(f"not the right answer within {PATIENCE:.0f} s")


def replace_worker(server: Running) -> float:
    """Kill the worker that answers; the seconds until one answers that was not there."""
    time.sleep(SETTLED)
    known = {stat.pid for stat in family_of({server.pid})}
    worker = int(ask_until(server, lambda body: int(body) in known and int(body) != server.pid))
    killed = time.monotonic()
    os.kill(worker, signal.SIGKILL)
    ask_until(server, lambda body: int(body) not in known)
    return time.monotonic() - killed


def run_once(stage: Stage, server: Server, workload: Workload, turn: int) -> Reading:
    """Start it, kill its worker if it has a master that replaces one."""
    port = free_port()
    command = stage.command(server, workload, port)
    started = time.monotonic()
    with running(command, APPS, port, stage.pins.server) as process:
        expected = workload.case.body
        ask_until(process, lambda body: body == expected or workload is PID)
        values = {"first": time.monotonic() - started}
        if workload is PID and server.processes:
            values["replaced"] = replace_worker(process)
    notes = () if server.processes else ("it has no master",)
    return Reading(server.name, workload.name, turn, values, notes)


def carry_out(stage: Stage) -> Finished:
    """All rounds."""
    outcomes = in_turn(stage, functools.partial(run_once, stage), RUN_SECONDS)
    taken = take(outcomes, stage.rounds, lambda reading: describe(reading, stage.rounds, COLUMNS))
    title = "From start, and from a worker's death, to an answer"
    return Finished(stage, taken, COLUMNS, title, f"start and restart, {stage.rounds} rounds", "", {})


def run(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    # Not pinned: a start is not what a CPU of its own makes of it, and there is no load.
    finished = carry_out(make_stage(options, WORKLOADS, options.server_workers, NO_PINS, say))
    print(finished.text())
    outputs.write(options, finished.document, finished.figure)
    return finished.taken.status


COMMAND = Command(
    "startup", "start to first answer, kill -9 of a worker to its successor", add_arguments, run
)
