"""One run of wrk: its command line, its output read, its own CPU time.

Law: knows the load generator and no server.
"""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

from bench.command import BenchError
from bench.cores import pinning

GRACE = 30.0
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

COUNT = re.compile(r"^\s*(\d+) requests in ", re.MULTILINE)
RATE = re.compile(r"^Requests/sec:\s+([\d.]+)", re.MULTILINE)
LATENCY = re.compile(r"^\s*Latency\s+([\d.]+)(us|ms|s|m|h)\b", re.MULTILINE)
SOCKET_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
BAD_STATUS = re.compile(r"Non-2xx or 3xx responses: (\d+)")


@dataclass(frozen=True)
class Errors:
    """What wrk counted as gone wrong."""

    connect: int = 0
    read: int = 0
    write: int = 0
    timeout: int = 0
    bad_status: int = 0


@dataclass(frozen=True)
class Load:
    """What wrk said of one run."""

    requests: int
    per_second: float
    mean_latency: float
    errors: Errors


@dataclass(frozen=True)
class Generator:
    """wrk as every run of one benchmark uses it."""

    program: str
    version: str
    connections: int
    cpu: int | None


@dataclass(frozen=True)
class Timed:
    """One run of wrk and what it cost: wall time, and the load generator's own CPU time."""

    load: Load
    wall_seconds: float
    cpu_seconds: float


def parse_wrk(output: str) -> Load:
    """Read the text wrk prints; raise :exc:`BenchError` when it is not that."""
    count, rate, latency = (pattern.search(output) for pattern in (COUNT, RATE, LATENCY))
    if count is None or rate is None or latency is None:
        raise BenchError(f"wrk's output was not understood: {' '.join(output.split())[:200]!r}")
    sockets, statuses = SOCKET_ERRORS.search(output), BAD_STATUS.search(output)
    counts = [int(number) for number in sockets.groups()] if sockets else [0, 0, 0, 0]
    counts.append(int(statuses[1]) if statuses else 0)
    return Load(
        requests=int(count[1]),
        per_second=float(rate[1]),
        mean_latency=float(latency[1]) * UNITS[latency[2]],
        errors=Errors(*counts),
    )


def find_wrk(connections: int, cpu: int | None) -> Generator:
    """The installed wrk, or an error that names the package."""
    program = shutil.which("wrk")
    if program is None:
        raise BenchError("wrk is not installed; on Debian: apt-get install wrk")
    # wrk prints its version with a usage text and a failing status, also when all is well.
    banner = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout
    version = " ".join(banner.partition("\n")[0].split()[:2])
    return Generator(program, version, connections, cpu)


def wrk_command(generator: Generator, url: str, headers: Mapping[str, str], seconds: int) -> list[str]:
    """One thread, because it has one CPU."""
    command = [generator.program, "-t1", f"-c{generator.connections}", f"-d{seconds}s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    return [*command, url]


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_wrk(generator: Generator, url: str, headers: Mapping[str, str], seconds: int) -> Timed:
    """Load the address for so many seconds."""
    command = wrk_command(generator, url, headers, seconds)
    cpu_before, started = _children_cpu(), time.monotonic()
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=seconds + GRACE,
            preexec_fn=pinning(generator.cpu),
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"wrk did not end within {GRACE:.0f} s of its time") from None
    wall, cpu = time.monotonic() - started, _children_cpu() - cpu_before
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().partition("\n")[0]
        raise BenchError(f"wrk exited with status {done.returncode}: {said}")
    return Timed(parse_wrk(done.stdout), wall, cpu)
