"""The server's log, what the application prints, and slow requests, of the real program."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.client import Client
from tests.integration.conftest import Start, put_probe
from tests.integration.gate import Gate
from tests.integration.harness import wait_until

#: What the probe prints when it is imported: a line on either stream, and one in pieces.
PRINTS = 'import sys; print("to out"); print("to err", file=sys.stderr); print("in", end=""); print(" pieces")'
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


class TestServerLog:
    def test_text(self, start: Start) -> None:
        """Time, level, text; a worker's own lines have its number."""
        server = start("app:app", tracebacks=True).ready()
        with server.connect() as client:
            client.get("/raise")
        server.wait_for(rf"^{STAMP} info  serving on http://127.0.0.1:\d+$")
        server.wait_for(rf"^{STAMP} critical \[worker 1\] GET /raise \[\S+\]: the application raised$")

    def test_first_lines(self, start: Start) -> None:
        """Version, pid, app, workers and threads, control socket, address; nothing of Twisted's."""
        server = start("app:app", "--workers", "1", "--threads", "4", "--control", "control.sock").ready()
        said = [line.split("info  ")[-1] for line in server.lines]

        assert re.fullmatch(rf"twistcorn \S+, Python [\d.]+, pid {server.pid}", said[0])
        assert said[1] == "app app:app: 1 worker x 4 threads"
        assert re.fullmatch(r"control socket: .*/control\.sock", said[2])
        assert re.fullmatch(r"worker 1 \(pid \d+\) is ready after [\d.]+ s: app:app", said[3])
        assert re.fullmatch(r"serving on http://127\.0\.0\.1:\d+", said[4])

    @pytest.mark.parametrize("form", ["json", "auto"])
    def test_json_where_nobody_looks(self, start: Start, folder: Path, form: str) -> None:
        """Every line of both streams is an object, of master, worker and application; auto means that for a pipe."""
        put_probe(folder, end=PRINTS)
        server = start("app:app", "--log-format", form)
        (found,) = server.wait_for(r"serving on http://(127.0.0.1):(\d+)")
        server.ready_at((found[1], found[2]))
        with server.connect() as client:
            client.get("/raise")
        server.wait_for(r"the application raised")
        server.send(signal.SIGTERM)
        server.exit_code()

        said = [json.loads(line) for line in server.lines]
        assert all(re.fullmatch(STAMP, line["time"]) and line["level"] and line["event"] for line in said)
        output = [(line["worker"], line["stream"], line["text"]) for line in said if line["event"] == "app.output"]
        assert sorted(output) == [(1, "stderr", "to err"), (1, "stdout", "in pieces"), (1, "stdout", "to out")]
        (raised,) = [line for line in said if "traceback" in line]
        assert raised["worker"] == 1
        assert "LookupError: the probe raises this on purpose" in raised["traceback"]
        (ready,) = [line for line in said if "is ready" in line["text"]]
        assert (ready["worker"], ready["app"]) == (1, "app:app")
        server.lines.clear()

    def test_level(self, start: Start, folder: Path) -> None:
        """What is less important is not there, in master and worker."""
        server = start(
            "app:app", "--log-level", "critical", listen=("--listen", f"unix:{folder}/socket"), tracebacks=True
        )
        wait_until(lambda: _answers(str(folder / "socket")), "an answer")
        with Client(str(folder / "socket")) as client:
            client.send(b"nonsense\r\n\r\n")
            client.response()
        with Client(str(folder / "socket")) as client:
            client.get("/raise")
        server.wait_for("the application raised")

        assert {found[1] for found in server.seen(rf"^{STAMP} (\w+)")} == {"critical"}


    @pytest.mark.parametrize(("redirected", "closed"), [(">&-", [1]), ("2>&-", [2]), ("<&- >&- 2>&-", [1, 2])])
    def test_closed_streams(self, start: Start, folder: Path, redirected: str, closed: list[int]) -> None:
        """What is printed goes nowhere, and into no other file that has got the number."""
        links = "'\\n'.join(os.readlink(f'/proc/self/fd/{n}') for n in (0, 1, 2))"
        notes = f"; import os; open('links', 'w').write({links})"
        put_probe(folder, end=PRINTS + notes)
        server = start(
            "app:app", "--access-log", "-", listen=("--listen", f"unix:{folder}/socket"),
            before=("bash", "-c", f'exec "$@" {redirected}', "-"),
        )  # fmt: skip
        wait_until(lambda: _answers(str(folder / "socket")), "an answer")
        server.send(signal.SIGTERM)

        assert server.exit_code() == 0
        found = (folder / "links").read_text().split()
        assert [found[number] for number in closed] == ["/dev/null"] * len(closed)


def _answers(path: str) -> bool:
    try:
        with Client(path) as client:
            return client.get("/version").status == 200
    except OSError:
        return False


class TestOutput:
    @pytest.mark.parametrize("front", ["run", "twist"])
    def test_lines_have_the_number_of_their_worker(self, start: Start, folder: Path, front: str) -> None:
        """Each, on the stream on which it was printed."""
        put_probe(folder, end=PRINTS)
        server = start("--app", "app:app", "--workers", "2", front=front).ready(2)

        for worker in (1, 2):
            server.wait_for(rf"^\[worker {worker}\] to out$")
            server.wait_for(rf"^\[worker {worker}\] in pieces$")
            server.wait_for(rf"^\[worker {worker}\] to err$")
        assert len([line for line in server.errors if line.endswith("to err")]) == 2

    def test_plain(self, start: Start, folder: Path) -> None:
        """As it was printed, where that is wanted."""
        put_probe(folder, end=PRINTS)
        server = start("app:app", "--app-output", "plain").ready()

        server.wait_for(r"^to out$")
        server.wait_for(r"^to err$")

    def test_line_without_an_end_comes_at_the_end(self, start: Start, folder: Path) -> None:
        """And what a child process writes passes as it is."""
        put_probe(folder, end='import os; print("unfinished", end=""); os.system("echo child")')
        server = start("app:app").ready()
        server.wait_for(r"^child$")
        server.send(signal.SIGTERM)
        server.exit_code()

        assert "[worker 1] unfinished" in server.lines

    def test_crash_in_a_thread(self, start: Start, folder: Path) -> None:
        """Each line of its traceback has the number."""
        put_probe(folder, end="threading.Thread(target=lambda: 1 / 0).start()")
        server = start("app:app", tracebacks=True).ready()

        server.wait_for(r"^\[worker 1\] ZeroDivisionError: division by zero$")
        server.wait_for(r"^\[worker 1\] Traceback \(most recent call last\):$")


class TestBlockedReader:
    @pytest.fixture
    def full(self) -> Iterator[tuple[int, int]]:
        """A pipe of one page, full, which nobody reads."""
        ends = os.pipe()
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(ends[1], False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(ends[1], b"x")
        os.set_blocking(ends[1], True)
        yield ends
        for end in ends:
            os.close(end)

    def test_nobody_waits(self, start: Start, folder: Path, full: tuple[int, int]) -> None:
        """With standard error full, the master boots workers, scales, and stops; workers refuse, log and answer."""
        place = str(folder / "socket")
        pipe = f"/proc/self/fd/{full[1]}"
        redirect = ("sh", "-c", f'exec "$@" 2>{pipe} >{pipe}', "sh")
        server = start(
            "app:app", "--access-log", "-", before=redirect, pass_fds=(full[1],), listen=("--listen", f"unix:{place}")
        )
        wait_until(lambda: _answers(place), "an answer")
        with Client(place) as client:
            for _ in range(500):
                assert client.get("/raise").status == 500
        server.send(signal.SIGTTIN)
        first = _pid(place)
        wait_until(lambda: _pid(place) != first, "another worker answers")
        server.send(signal.SIGTERM)

        assert server.exit_code() == 0
        assert os.read(full[0], 1 << 16).strip(b"x") == b"", "the pipe was full all the while"


def _pid(place: str) -> bytes:
    with Client(place) as client:
        return client.get("/pid").body


class TestSlow:
    def test_slow_request_is_told_while_it_runs(self, start: Start, gate: Gate) -> None:
        """Once, with its id and with where it is; a quick one is not."""
        server = start("app:app", "--slow", "200ms").ready()
        with server.connect() as client:
            client.get("/version")
            client.ask("/wait", headers="X-Request-ID: shop-1\r\n")
            visitor = gate.visitor("request")
            server.wait_for(r"^\S+ warn  \[worker 1\] slow: GET /wait \[shop-1\] running for 0\.[2-9] s, at:$")
            server.wait_for(r'^ +File ".*app\.py", line \d+, in wait$')
            visitor.release()
            assert client.response().status == 200
            client.get("/version")

        assert len(server.seen("slow:")) == 1
        assert not server.seen(r"twistcorn/worker")
