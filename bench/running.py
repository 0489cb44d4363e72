"""The life of one server process: started, found ready and right, ended with all its children.

Law: whatever it starts is gone when the ``with`` block ends, however that ends. Measures nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.command import BenchError
from bench.cores import pinning
from bench.proctree import ZOMBIE, Stat, family, family_of, read_stats
from bench.workloads import Workload

READY_DEADLINE = 20.0
POLL = 0.02
ANSWER_TIMEOUT = 2.0
STOP_PATIENCE = 3.0
GONE_PATIENCE = 5.0
LAST_WORDS = 65536

# Each of these can change how a server runs behind the command line's back.
FOREIGN_PREFIXES = ("PYTHON", "GUNICORN", "GRANIAN", "UWSGI", "TWISTCORN", "FLASK", "WEB_CONCURRENCY")


class NotServing(BenchError):
    """The server did not start, did not answer, or answered something else."""


@dataclass
class Running:
    """A server that was started, and how it ended once it has."""

    process: subprocess.Popen[bytes]
    port: int
    log: IO[bytes]
    killed: bool = False

    @property
    def pid(self) -> int:
        """The root of its process tree."""
        return self.process.pid

    def last_words(self) -> str:
        """The last line it printed that is not blank."""
        # Not seek and read: the offset is the server's too.
        size = os.fstat(self.log.fileno()).st_size
        text = os.pread(self.log.fileno(), LAST_WORDS, max(0, size - LAST_WORDS))
        lines = text.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no output")

    def check_alive(self) -> None:
        """Raise :exc:`NotServing` when the process has ended."""
        status = self.process.poll()
        if status is not None:
            raise NotServing(f"exited with status {status}: {self.last_words()}")


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment(apps: Path) -> dict[str, str]:
    """Our environment without what could configure a server, and with the applications importable."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    return {**kept, "PYTHONPATH": str(apps)}


@contextlib.contextmanager
def running(command: Sequence[str], apps: Path, port: int, cpus: Sequence[int]) -> Iterator[Running]:
    """Start a server in a session of its own, with a temporary directory of its own; end it and all it made."""
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        try:
            process = subprocess.Popen(
                command,
                cwd=apps,
                env={**clean_environment(apps), "TMPDIR": scratch},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=pinning(*cpus),
            )
        except OSError as error:
            raise NotServing(f"cannot be started: {error}") from None
        server = Running(process, port, log)
        try:
            yield server
        finally:
            server.killed = stop(process)


def stop(process: subprocess.Popen[bytes]) -> bool:
    """End a server by its pid: TERM, wait, KILL; tell whether anything had to be killed."""
    members = family_of({process.pid})
    try:
        process.terminate()
        end = time.monotonic() + STOP_PATIENCE
        while time.monotonic() < end and (process.poll() is None or _survivors(process.pid, members)):
            time.sleep(POLL)
    finally:
        killed = _kill_all(process.pid, members)
        process.wait(GONE_PATIENCE)
    return killed


def _survivors(root: int, members: Sequence[Stat]) -> list[Stat]:
    """Who is left of the family as it was and of what it made since."""
    now = list(read_stats())
    born = {stat.pid: stat.started for stat in members}
    # A pid used anew by a stranger has another start time.
    same = {stat.pid for stat in now if born.get(stat.pid) == stat.started}
    return [stat for stat in family({root} | same, now) if stat.state != ZOMBIE]


def _kill_all(root: int, members: Sequence[Stat]) -> bool:
    """Kill what is left until nothing is; tell whether anything was."""
    killed = False
    end = time.monotonic() + GONE_PATIENCE
    while left := _survivors(root, members):
        killed = True
        for stat in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(stat.pid, signal.SIGKILL)
        if time.monotonic() > end:
            raise BenchError(f"these processes cannot be killed: {sorted(stat.pid for stat in left)}")
        time.sleep(POLL)
    return killed


def _answer(connection: http.client.HTTPConnection, workload: Workload) -> bool:
    """One request and its right answer; tell whether the connection stays open."""
    content = workload.case.content or None
    connection.request(workload.method, workload.case.path, content, workload.headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != http.client.OK or body != workload.case.body:
        raise NotServing(f"wrong answer: status {response.status}, body {body[:80]!r}")
    return not response.will_close


def probe(port: int, workload: Workload) -> bool:
    """Ask twice on one connection if it lets us; tell whether the connection outlived an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT)
    # Without this the client would quietly connect again and hide a closed connection.
    connection.auto_open = 0
    with contextlib.closing(connection):
        connection.connect()
        if not _answer(connection, workload):
            return False
        try:
            _answer(connection, workload)
        except (http.client.HTTPException, OSError):
            return False
        return True


def wait_ready(server: Running, workload: Workload, deadline: float = READY_DEADLINE) -> bool:
    """Poll until the right answer comes; tell whether the connection stays open after it."""
    end = time.monotonic() + deadline
    while True:
        server.check_alive()
        try:
            return probe(server.port, workload)
        except (OSError, http.client.HTTPException, NotServing) as error:
            if time.monotonic() > end:
                raise NotServing(f"not ready within {deadline:.0f} s: {error}") from None
        time.sleep(POLL)
