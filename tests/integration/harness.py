"""The real program as a subprocess, watched by its output: what it logs and when nobody holds its streams any more.

Law: waits for events with a deadline, never for a time. A program ends with its test, and what it leaves behind
(a process, a socket file, an internal error in its log) is a failure of the test.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.integration.client import Address, Client
from twistcorn.wire.control import NAME

#: For whatever has to happen; generous, because only a failing test waits that long.
TIMEOUT = 20.0

_TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile="]
#: The ways to start the server; the arguments of twistcorn follow.
FRONTS: dict[str, list[str]] = {
    "run": [sys.executable, "-m", "twistcorn.cli", "run", "--log-format", "text"],
    "twist": [sys.executable, "-m", "twisted", "--log-format=text", "twistcorn"],
    "twistd": [*_TWISTD, "--logfile=-", "twistcorn"],
    "tac": [*_TWISTD, "--logfile=-", "--python=mysite.tac"],
    "twistd to a file": [*_TWISTD, "--logfile=log", "twistcorn"],
}  # fmt: skip

#: What of the environment would change the program's settings or its application.
_LEFT_OUT = re.compile(
    r"TWISTCORN_.*|LISTEN_.*|WEB_CONCURRENCY|PORT|SCRIPT_NAME|FORWARDED_ALLOW_IPS|DJANGO_.*|PYTHON.*"
)
#: These pass: which code is tested.
_LET_IN = ("PYTHONPATH",)
#: Never to be seen in any log.
_INTERNAL = re.compile(r"internal error|[Uu]nhandled|Exception ignored|ResourceWarning|never retrieved")


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program, without what the tests' own one would bring in."""
    kept = {k: v for k, v in os.environ.items() if k in _LET_IN or not _LEFT_OUT.fullmatch(k)}
    # A source file that is replaced within a second, by one of the same size, would not be compiled again.
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **extra}


def wait_until(condition: Callable[[], bool], what: str, timeout: float = TIMEOUT) -> None:
    """Poll for a state that causes no event."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.01)


def group(number: int) -> list[int]:
    """The processes of a process group, without those that are dead and only not reaped."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name of the program, in parentheses, may hold anything.
                state, _, its_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(its_group) == number and state not in "ZX":
                found.append(int(entry.name))
    return found


class Program:
    """A running program, leader of its own process group.

    :ivar lines: everything it and its children wrote so far, line by line; `errors`: what went to standard error.
    :ivar times: when each line came, by the monotonic clock.
    :ivar tracebacks: whether there may be some in its log.
    :ivar socket_file: what must be gone after an orderly end.
    :ivar runtime: its XDG_RUNTIME_DIR, where its control socket is.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        log: Path,
        env: Mapping[str, str] | None = None,
        tracebacks: bool = False,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.times: list[float] = []
        self.tracebacks = tracebacks
        self.socket_file: Path | None = None
        self._log = log
        # For its control socket alone; the path of a UNIX socket has no room for the name of a test.
        self.runtime = Path(tempfile.mkdtemp(prefix="tc-"))
        self._open = 2
        self._news = threading.Condition()
        # PWD would name the directory of the tests.
        environment = clean_environment({"PWD": str(cwd), "XDG_RUNTIME_DIR": str(self.runtime), **(env or {})})
        self.process = subprocess.Popen(
            argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="backslashreplace", start_new_session=True, pass_fds=pass_fds,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, None), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The process id, and the number of its group."""
        return self.process.pid

    @property
    def control(self) -> Path:
        """Its control socket."""
        return self.runtime / NAME

    @property
    def log(self) -> str:
        """Everything written so far."""
        return "\n".join(self.lines)

    def _read(self, stream: IO[str], also: list[str] | None) -> None:
        with stream, self._log.open("a", buffering=1) as file:
            for line in stream:
                file.write(line)
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self.times.append(time.monotonic())
                    if also is not None:
                        also.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._open -= 1
            self._news.notify_all()

    # What it says

    def mark(self) -> int:
        """A place in the log: what comes after it is new."""
        return len(self.lines)

    def seen(self, pattern: str, since: int = 0) -> list[re.Match[str]]:
        """The lines with a pattern so far."""
        return [found for line in self.lines[since:] if (found := re.search(pattern, line))]

    def wait_for(
        self, pattern: str, *, since: int = 0, count: int = 1, timeout: float = TIMEOUT
    ) -> list[re.Match[str]]:
        """The lines with a pattern, as soon as there are `count` of them."""
        with self._news:
            self._news.wait_for(lambda: len(self.seen(pattern, since)) >= count or not self._open, timeout)
        found = self.seen(pattern, since)
        assert len(found) >= count, f"{len(found)} of {count} lines with {pattern!r} in:\n{self.log}"
        return found

    # How it ends

    def send(self, number: int) -> None:
        """Send a signal to the program itself."""
        self.process.send_signal(number)

    def exit_code(self, timeout: float = TIMEOUT) -> int:
        """The exit code (of a signal: its negative number) once it, and everybody who has its output, is gone."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout:g} s:\n{self.log}") from None
        assert self.all_gone(timeout), f"left behind {group(self.pid)}:\n{self.log}"
        return code

    def all_gone(self, timeout: float = TIMEOUT) -> bool:
        """Whether no process of it is left; waits for the last one to close its output."""
        deadline = time.monotonic() + timeout
        for reader in self._readers:
            reader.join(max(0.0, deadline - time.monotonic()))
        return not any(reader.is_alive() for reader in self._readers) and not group(self.pid)

    def end(self) -> Iterator[str]:
        """Stop it if it runs; yields what is wrong with it."""
        try:
            if self.process.poll() is None:
                # A stopped worker hears nothing.
                self._signal_group(signal.SIGCONT)
                self.send(signal.SIGINT)
                try:
                    self.process.wait(TIMEOUT)
                except subprocess.TimeoutExpired:
                    yield "SIGINT did not end it"
            if self.process.poll() is not None and not self.all_gone():
                yield f"it left processes behind: {group(self.pid)}"
        finally:
            self._signal_group(signal.SIGKILL)
            self.process.wait()
            self.all_gone()
        if self.process.returncode != -signal.SIGKILL:
            left = [self.socket_file] if self.socket_file is not None and self.socket_file.exists() else []
            yield from (f"it left behind: {path}" for path in (*left, *self.runtime.iterdir()))
        shutil.rmtree(self.runtime)
        yield from (line for line in self.lines if _INTERNAL.search(line))
        if not self.tracebacks:
            yield from (line for line in self.lines if "Traceback" in line)

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


class Server(Program):
    """A twistcorn that serves.

    :ivar address: where, once `ready`.
    """

    address: Address

    def __init__(self, argv: Sequence[str], **more: Any) -> None:
        super().__init__(argv, **more)
        self._clients: list[Client] = []

    def end(self) -> Iterator[str]:
        """As of any program; then nobody is connected any more."""
        yield from super().end()
        for client in self._clients:
            client.close()

    def ready(self, workers: int = 1) -> Server:
        """Wait until it accepts connections and this number of workers is ready."""
        found = self.wait_for(r"serving on (?:http://\[?([^]]+?)\]?:(\d+)|unix:(.*))$")[0]
        self.address = found[3] if found[3] else (found[1], int(found[2]))
        if isinstance(self.address, str):
            self.socket_file = Path(self.address)
        self.wait_for(READY, count=workers)
        return self

    def ready_at(self, place: tuple[str, str]) -> None:
        """Where it serves, for one whose log is elsewhere."""
        self.address = (place[0], int(place[1]))

    def connect(self) -> Client:
        """A new connection; it ends with the server, unless it is closed before."""
        client = Client(self.address)
        self._clients.append(client)
        return client

    def admin(self) -> Client:
        """A new connection to the admin endpoint, which is bound before anything is ready."""
        found = self.wait_for(r"admin endpoint on (?:http://(.*):(\d+)|unix:(.*))$")[0]
        client = Client(found[3] if found[3] else (found[1], int(found[2])))
        self._clients.append(client)
        return client

    def get(self, target: str = "/pid") -> str:
        """The body of an answer on a new connection; its status must be 200.

        The server ends the connection, and it does so after the request is no longer counted as one that runs.
        """
        with self.connect() as client:
            answer = client.get(target, "Connection: close\r\n")
            assert client.ended()
        assert answer.status == 200, (answer.status, answer.body[:500])
        return answer.body.decode()

    @property
    def worker_pids(self) -> list[int]:
        """The workers that got ready and are not reported gone, in this order."""
        gone = {int(found["pid"]) for found in self.seen(GONE)}
        return [pid for found in self.seen(READY) if (pid := int(found["pid"])) not in gone]


#: A worker serves; a worker is no more, for whatever reason.
READY = r"worker (?P<ident>\d+) \(pid (?P<pid>\d+)\) is ready"
GONE = r"worker (?P<ident>\d+) \(pid (?P<pid>\d+)\) (?P<how>exited|died|ended|was killed|failed to boot)"
