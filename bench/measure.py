"""One run of the load generator that fits the workload, and its own CPU time.

Law: knows the load generators and no server. wrk makes the load wherever it can. Which of the requests are slow ones
it cannot choose by lot and then tell apart, nor keep a rate: that is `steady`'s.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench import wrk
from bench.command import BenchError
from bench.cores import pinning
from bench.loads import Errors, Generator, Load, Timed, together
from bench.pace import Percentiles
from bench.steady import Account, Task
from bench.workloads import SLOW_SHARE, Slow, Workload

CHECKOUT = Path(__file__).parent.parent
GRACE = 30.0


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _start(command: Sequence[str], cpu: int | None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        preexec_fn=pinning(cpu),
    )


def _result(process: subprocess.Popen[str], words: str, patience: float) -> str:
    try:
        output, errors = process.communicate(words, timeout=patience)
    except subprocess.TimeoutExpired:
        raise BenchError(f"the load generator did not end within {GRACE:.0f} s of its time") from None
    if process.returncode != 0:
        said = (errors or output).strip().rpartition("\n")[2]
        raise BenchError(f"the load generator exited with status {process.returncode}: {said}")
    return output


def run_together(
    commands: Sequence[Sequence[str]], seconds: float, cpu: int | None, words: str = ""
) -> tuple[list[str], float, float]:
    """Run load generators at the same time; their outputs, the wall time, their CPU time."""
    cpu_before, started = _children_cpu(), time.monotonic()
    processes: list[subprocess.Popen[str]] = []
    try:
        for command in commands:
            processes.append(_start(command, cpu))
        outputs = [_result(process, words, seconds + GRACE) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
    return outputs, time.monotonic() - started, _children_cpu() - cpu_before


def split(connections: int) -> tuple[int, int]:
    """How many connections ask fast requests and how many slow ones, at least one each."""
    slow = max(1, round(connections * SLOW_SHARE))
    return max(1, connections - slow), slow


def run_wrk(generator: Generator, workload: Workload, port: int, seconds: float) -> Timed:
    """Load the server for so many seconds with wrk; with two of them where some connections ask slow requests."""
    paths = workload.paths
    shares = split(generator.connections) if len(paths) > 1 else (generator.connections,)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(wrk.script(workload))
        file.flush()
        commands = [
            wrk.command_of(generator, workload, port, seconds, file.name, path, connections)
            for path, connections in zip(paths, shares, strict=True)
        ]
        outputs, wall, cpu = run_together(commands, seconds, generator.cpu)
    return Timed(together([wrk.parse(output) for output in outputs]), wall, cpu)


def read_account(output: str) -> Account:
    """What `steady` wrote."""
    said = json.loads(output)
    times = tuple(Percentiles(**entry) if entry else None for entry in said.pop("times"))
    return Account(**said, times=times)


def load_of(account: Account, seconds: float) -> Load:
    """The same in the words that wrk's output is read into."""
    known = [times for times in account.times if times is not None]
    count = sum(times.count for times in known)
    return Load(
        requests=account.answered,
        per_second=account.in_time / seconds,
        mean_latency=sum(times.count * times.mean for times in known) / count if count else 0.0,
        errors=Errors(account.connect, account.read, 0, 0, account.bad_status, account.unanswered),
        fast=account.times[0],
    )


def run_steady(
    generator: Generator, workload: Workload, port: int, seconds: float, rate: float | None = None
) -> Timed:
    """Load the server for so many seconds with our own client, at a rate or as fast as it answers."""
    task = Task(
        port=port,
        requests=tuple(workload.request(path).decode("ascii") for path in workload.paths),
        slow_share=SLOW_SHARE if workload.case.slow else 0.0,
        connections=generator.connections,
        seconds=seconds,
        rate=rate,
    )
    command = [sys.executable, "-m", "bench.steady"]
    outputs, wall, cpu = run_together([command], seconds, generator.cpu, json.dumps(asdict(task)))
    return Timed(load_of(read_account(outputs[0]), seconds), wall, cpu)


def run_load(generator: Generator, workload: Workload, port: int, seconds: float) -> Timed:
    """Load the server as fast as it answers, with the generator that fits the workload."""
    run = run_steady if workload.case.slow is Slow.REQUESTS else run_wrk
    return run(generator, workload, port, seconds)
