"""wrk: its command line, the script it is given, its output read.

Law: text in, text out; it is ``measure`` that runs it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess

from bench.command import BenchError
from bench.loads import Errors, Generator, Load
from bench.pace import Percentiles
from bench.workloads import Workload

COUNT = re.compile(r"^\s*(\d+) requests in ", re.MULTILINE)
RATE = re.compile(r"^Requests/sec:\s+([\d.]+)", re.MULTILINE)
SOCKET_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
BAD_STATUS = re.compile(r"Non-2xx or 3xx responses: (\d+)")
#: What our script makes wrk print, in microseconds.
TIMES = re.compile(r"^times ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+)$", re.MULTILINE)
#: wrk prints few percentiles and rounds them. A script with no function for requests or responses costs nothing.
TELL_TIMES = """\
done = function(summary, latency, requests)
  io.write(string.format("times %.1f %.1f %.1f %.1f %.1f\\n", latency.mean,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
"""


def find_wrk(connections: int, cpu: int | None) -> Generator:
    """The installed wrk, or an error that names the package."""
    program = shutil.which("wrk")
    if program is None:
        raise BenchError("wrk is not installed; on Debian: apt-get install wrk")
    # wrk prints its version with a usage text and a failing status, also when all is well.
    banner = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout
    version = " ".join(banner.partition("\n")[0].split()[:2])
    return Generator(program, version, connections, cpu)


def script(workload: Workload) -> str:
    """What tells wrk to print times, and to send a body, for which it has no option. JSON quotes as Lua does."""
    content = workload.case.content.decode("ascii")
    body = (
        f"wrk.method = {json.dumps(workload.method)}\nwrk.body = {json.dumps(content)}\n" if content else ""
    )
    return body + TELL_TIMES


def command_of(
    generator: Generator,
    workload: Workload,
    port: int,
    seconds: float,
    file: str,
    path: str,
    connections: int,
) -> list[str]:
    """One thread, because it has one CPU."""
    command = [generator.program, "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", file]
    for name, value in workload.headers.items():
        command += ["-H", f"{name}: {value}"]
    return [*command, f"http://127.0.0.1:{port}{path}"]


def parse(output: str) -> Load:
    """Read the text wrk prints; raise :exc:`BenchError` when it is not that."""
    count, rate, times = (pattern.search(output) for pattern in (COUNT, RATE, TIMES))
    if count is None or rate is None or times is None:
        raise BenchError(f"wrk's output was not understood: {' '.join(output.split())[:200]!r}")
    sockets, statuses = SOCKET_ERRORS.search(output), BAD_STATUS.search(output)
    counts = [int(number) for number in sockets.groups()] if sockets else [0, 0, 0, 0]
    counts.append(int(statuses[1]) if statuses else 0)
    mean, p50, p99, p999, worst = (float(number) / 1e6 for number in times.groups())
    return Load(
        requests=int(count[1]),
        per_second=float(rate[1]),
        mean_latency=mean,
        errors=Errors(*counts),
        fast=Percentiles(int(count[1]), mean, p50, p99, p999, worst),
    )
