"""The access log of the real program: each request has exactly one line, and nobody can forge one."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.integration.client import Client
from tests.integration.conftest import Start
from tests.integration.gate import Gate
from tests.integration.harness import READY, Server, wait_until
from tests.integration.load import several

COMBINED = re.compile(r'127\.0\.0\.1 - - \[[^]]+\] "([^"]*)" (\d{3}) (\d+|-) "([^"]*)" "([^"]*)"')


def lines(path: Path) -> list[str]:
    """What is in a file; nothing while there is none."""
    return path.read_text().splitlines() if path.exists() else []


def ask(client: Client, ident: str, target: str = "/version") -> None:
    """A request with this id, which must go well."""
    assert client.get(target, f"X-Request-ID: {ident}\r\n").status == 200


def end(server: Server) -> None:
    """An orderly end, in which everything is written."""
    server.send(signal.SIGTERM)
    assert server.exit_code() == 0


def test_combined_is_written_as_requests_end(start: Start, folder: Path) -> None:
    """A moment after the answer, without an orderly end; HEAD has no bytes."""
    server = start("app:app", "--access-log", "access").ready()
    with server.connect() as client:
        client.get("/version?a=b", "User-Agent: curl\r\nReferer: /from\r\n")
        client.ask("/version", "HEAD")
        client.response("HEAD")
    wait_until(lambda: len(lines(folder / "access")) == 2, "two lines")

    first, second = (COMBINED.fullmatch(line) for line in lines(folder / "access"))
    assert first is not None
    assert second is not None
    assert first.groups() == ("GET /version?a=b HTTP/1.1", "200", "3", "/from", "curl")
    assert second.groups() == ("HEAD /version HTTP/1.1", "200", "-", "-", "-")


def test_json_on_standard_output(start: Start) -> None:
    """Each line is an object; the server's log is on standard error."""
    server = start("app:app", "--access-log", "-", "--access-log-format", "json", "--workers", "2").ready(2)
    with server.connect() as client:
        for number in range(20):
            ask(client, f"id-{number}")
    end(server)

    access = [json.loads(line) for line in server.lines if line not in server.errors]
    assert [line["request_id"] for line in access] == [f"id-{number}" for number in range(20)]
    assert {line["path"] for line in access} == {"/version"}
    assert {line["worker"] for line in access} <= {1, 2}


def test_whatever_is_answered_has_its_line(start: Start, folder: Path, gate: Gate) -> None:
    """What is refused, what fails, what takes too long, and what its client did not wait for."""
    server = start(
        "app:app", "--access-log", "access", "--access-log-format", "%(m)s %(U)s %(s)s %(X)s",
        "--request-timeout", "500ms", "--header-timeout", "300ms", tracebacks=True,
    ).ready()  # fmt: skip
    with server.connect() as client:
        assert client.get("/raise").status == 500
        assert client.get("/spin").status == 504
    for refused in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", b"GET"):
        with server.connect() as client:
            client.send(refused)
            assert client.response().status in (400, 408, 431)
    with server.connect() as client:
        client.ask("/flood")
        client.read_to(b"\r\n\r\n")
    wait_until(lambda: len(lines(folder / "access")) == 6, "six lines")

    assert sorted(lines(folder / "access")) == [
        "- - 400 -", "- - 408 -", "- - 431 -", "GET /flood 200 X", "GET /raise 500 +", "GET /spin 504 +",
    ]  # fmt: skip


def test_what_the_master_answers_has_its_line_too(start: Start, folder: Path, gate: Gate) -> None:
    """A request whose worker died, one that waited too long for a thread, and one too many, each once, in its file."""
    old, new = folder / "access.1", folder / "access"
    server = start(
        "app:app", "--access-log", "access", "--access-log-format", '"%(r)s" %(s)s %(worker)s "%(a)s"',
        "--threads", "1", "--queue-size", "1", "--queue-timeout", "300ms",
    ).ready()  # fmt: skip
    with server.connect() as busy, server.connect() as first, server.connect() as second:
        busy.ask("/wait?a", "POST", b"x", "User-Agent: busy\r\n")
        visitor = gate.visitor("request")
        first.ask("/pid?b", headers="User-Agent: patient\r\n")
        second.ask("/pid?b", headers="User-Agent: patient\r\n")
        assert [client.response().status for client in (first, second)] == [503, 503]
        wait_until(lambda: len(lines(new)) == 2, "their lines")
        new.rename(old)
        server.send(signal.SIGUSR1)
        wait_until(new.exists, "the file is there anew")
        os.kill(visitor.pid, signal.SIGKILL)
        assert busy.response().status == 502
    server.wait_for(READY, count=2)
    with server.connect() as client:
        assert client.get("/version").status == 200
    end(server)

    assert lines(old) == ['"GET /pid?b HTTP/1.1" 503 0 "patient"'] * 2
    assert sorted(lines(new)) == ['"GET /version HTTP/1.1" 200 2 "-"', '"POST /wait?a HTTP/1.1" 502 0 "busy"']


def test_rotation_under_load_loses_and_repeats_nothing(start: Start, folder: Path) -> None:
    """USR1 after each time that the file is moved away: every request is in exactly one line of exactly one file."""
    server = start("app:app", "--access-log", "access", "--access-log-format", "%(id)s", "--workers", "2").ready(2)
    asked: list[str] = []
    over = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            _rotate(server, folder, 5)
            over.set()
            return
        with server.connect() as client:
            for turn in range(100_000):
                if over.is_set():
                    return
                ask(client, f"{number}-{turn}")
                asked.append(f"{number}-{turn}")

    several(5, work)
    end(server)
    found = [line for path in folder.glob("access*") for line in lines(path)]
    assert len(list(folder.glob("access*"))) == 6
    assert sorted(found) == sorted(asked)


def _rotate(server: Server, folder: Path, times: int) -> None:
    """Move the file away and have it opened anew, once the last one is used."""
    for number in range(times):
        wait_until(lambda: bool(lines(folder / "access")), "lines in the file")
        (folder / "access").rename(folder / f"access.{number}")
        server.send(signal.SIGUSR1)
        wait_until((folder / "access").exists, "the file is there anew")


def test_killed_worker_loses_the_last_moment_only(start: Start, folder: Path) -> None:
    """What was answered a moment before `kill -9` is there; others' lines are whole, and those that follow come."""
    server = start("app:app", "--access-log", "access", "--access-log-format", "%(id)s %(worker)s").ready()
    with server.connect() as client:
        ask(client, "before")
        wait_until(lambda: lines(folder / "access") == ["before 1"], "the line")
        os.kill(server.worker_pids[0], signal.SIGKILL)
        server.wait_for(READY, count=2)
        ask(client, "after")
    end(server)

    assert lines(folder / "access") == ["before 1", "after 2"]


FORGED = '" 200 5 "-" "-"\\n127.0.0.1 - - [x] "GET /forged'


@pytest.mark.parametrize("format", ["combined", "extended", "json"])
def test_client_cannot_forge_a_line(start: Start, folder: Path, format: str) -> None:
    """Quotes, backslashes and bytes beyond ASCII in any field stay within their value."""
    server = start("app:app", "--access-log", "access", "--access-log-format", format).ready()
    evil = FORGED + "\xff\xc2\x9b2J"
    with server.connect() as client:
        client.get('/version?"\\x22', f"User-Agent: {evil}\r\nReferer: {evil}\r\nX-Request-ID: {evil}\r\n")
    with server.connect() as client:
        client.send(b'GET /\x1b[2J" HTTP/1.1\r\nHost: a\r\n\r\n')
        assert client.response().status == 400
    end(server)

    data = (folder / "access").read_bytes()
    assert data.count(b"\n") == 2
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in data)
    if format == "json":
        first, second = (json.loads(line) for line in data.splitlines())
        assert first["user_agent"] == first["referer"] == evil
        assert (second["status"], second["path"]) == (400, "")
    else:
        quoted = re.findall(rb'"((?:[^"\\]|\\.)*)"', data.splitlines()[0])
        assert len(quoted) == 3
        assert quoted[1] == quoted[2] == FORGED.replace("\\", "\\\\").replace('"', '\\"').encode() + rb"\xff\xc2\x9b2J"


def test_log_that_cannot_be_written_stops_nobody(start: Start) -> None:
    """It is logged, and requests are answered."""
    server = start("app:app", "--access-log", "missing/access").ready()
    server.wait_for(r"cannot open the access log .*/missing/access: No such file or directory")
    assert server.get("/version") == "one"


def test_log_on_a_full_disk_stops_nobody(start: Start) -> None:
    """Each write fails; requests are answered, and the end comes."""
    server = start("app:app", "--access-log", "/dev/full").ready()
    assert server.get("/version") == "one"
    end(server)


def test_slow_client_is_not_the_application(start: Start, folder: Path) -> None:
    """What the client took to read is write time."""
    server = start("app:app", "--access-log", "access", "--access-log-format", "json").ready()
    with server.connect() as client:
        client.ask("/flood")
        client.read_to(b"\r\n\r\n")
        # What passes before the client reads on is what is measured.
        time.sleep(0.3)
        while client.chunk():
            pass
    wait_until(lambda: bool(lines(folder / "access")), "the line")

    (line,) = map(json.loads, lines(folder / "access"))
    assert line["write_time"] >= 0.3
    assert line["app_time"] + line["write_time"] == pytest.approx(line["duration"], abs=1e-5)
    assert (line["bytes"], line["aborted"]) == (64 << 20, False)
