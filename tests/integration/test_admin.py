"""The admin endpoint of the real program: health through its life, the drain delay, addresses, actions."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.integration.client import Client
from tests.integration.conftest import Start, put_probe
from tests.integration.gate import Gate
from tests.integration.harness import Server, wait_until
from tests.integration.load import Load

ADMIN = ("--admin", "127.0.0.1:0")
BEARER = "Authorization: Bearer act\r\n"
FORM = f"{BEARER}Content-Type: application/x-www-form-urlencoded\r\n"


def health(admin: Client) -> tuple[int, int, int]:
    """The status of /livez, /readyz and /startupz."""
    live, ready, started = (admin.get(f"/{name}").status for name in ("livez", "readyz", "startupz"))
    return live, ready, started


def act(admin: Client, action: str, body: str = "") -> tuple[int, str]:
    """Act with the token; the status, and what is said."""
    admin.ask(f"/actions/{action}", "POST", body.encode(), headers=FORM)
    answer = admin.response()
    return answer.status, answer.body.decode()


def said(server: Server) -> list[str]:
    """Lines of the program itself on standard error, besides its log."""
    return [line for line in server.errors if line.startswith("twistcorn: ")]


def test_health_from_the_first_moment_to_the_last(start: Start, folder: Path, gate: Gate) -> None:
    """Live all the time; ready only between the first worker and SIGTERM; answered until no worker is left."""
    put_probe(folder, end='wait("import")')
    server = start("app:app", *ADMIN)
    admin = server.admin()
    boot = gate.visitor("import")
    assert health(admin) == (200, 503, 503)
    boot.release()
    server.ready()
    assert health(admin) == (200, 200, 200)
    with server.connect() as client:
        client.ask("/wait")
        request = gate.visitor("request")
        server.send(signal.SIGTERM)
        wait_until(lambda: admin.get("/readyz").status == 503, "not ready any more")
        assert health(admin) == (200, 503, 200)
        assert admin.get("/readyz").body == b"stopping\n"
        request.release()
        assert client.response().status == 200
    assert admin.ended()
    assert server.exit_code() == 0


@pytest.mark.parametrize(("front", "code"), [("run", 0), ("twist", -signal.SIGTERM)])
def test_drain_delay_serves_on_while_it_is_not_ready(start: Start, gate: Gate, front: str, code: int) -> None:
    """Clients that come within the delay are answered and told to go elsewhere; SIGTERM again begins the stop."""
    server = start("--app", "app:app", "--drain-delay", "60", *ADMIN, front=front).ready()
    admin = server.admin()
    server.send(signal.SIGTERM)
    server.wait_for("stopping in 60 s")
    assert health(admin) == (200, 503, 200)
    server.send(signal.SIGHUP)
    server.wait_for("reload cancelled: the server is stopping")
    with server.connect() as late, server.connect() as busy:
        answer = late.get("/pid")
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        busy.ask("/wait")
        request = gate.visitor("request")
        server.send(signal.SIGTERM)
        server.wait_for("drain delay skipped")
        request.release()
        assert busy.response().status == 200
    assert server.exit_code() == code


def test_interrupt_ends_the_drain_delay_and_all(start: Start, gate: Gate) -> None:
    """SIGINT does not wait for load balancers."""
    server = start("app:app", "--drain-delay", "60", *ADMIN).ready()
    with server.connect() as client:
        client.ask("/wait")
        gate.visitor("request")
        server.send(signal.SIGTERM)
        server.wait_for("stopping in 60 s")
        server.send(signal.SIGINT)
        assert client.ended()
    assert server.exit_code() == 0


def test_drain_delay_comes_to_an_end_by_itself(start: Start) -> None:
    """Then the stop goes on as ever."""
    server = start("app:app", "--drain-delay", "100ms").ready()
    server.send(signal.SIGTERM)
    assert server.exit_code() == 0


def test_taken_address_is_one_line_and_1(start: Start) -> None:
    """As for --listen; nothing is served."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = start("app:app", "--admin", f"127.0.0.1:{port}")
        assert server.exit_code() == 1
    assert said(server) == [f"twistcorn: cannot listen on tcp:{port}:interface=127.0.0.1: Address already in use"]


def test_address_for_others_needs_a_token(start: Start) -> None:
    """Without one it is wrong usage, and the line says what to do; with one it is served."""
    server = start("app:app", "--admin", "0.0.0.0:0")
    assert server.exit_code() == 64
    (line,) = said(server)
    assert "set --admin-token, or use a loopback address" in line

    server = start("app:app", "--admin", "0.0.0.0:0", "--admin-token", "see").ready()
    admin = server.admin()
    assert admin.get("/metrics").status == 401
    assert admin.get("/metrics", "Authorization: Bearer see\r\n").status == 200


def test_unix_socket_goes_with_the_server(start: Start, tmp_path: Path) -> None:
    """Its file is gone after the end; one that a killed server left is replaced."""
    path = tmp_path / "admin.sock"
    server = start("app:app", "--admin", f"unix:{path}").ready()
    server.send(signal.SIGKILL)
    server.exit_code()
    assert path.exists()

    server = start("app:app", "--admin", f"unix:{path}").ready()
    assert server.admin().get("/readyz").status == 200
    server.send(signal.SIGTERM)
    server.exit_code()
    assert not path.exists()


@pytest.fixture
def server(start: Start) -> Server:
    """Two workers, which may be acted on."""
    return start("app:app", "--workers", "2", *ADMIN, "--admin-action-token", "act").ready(2)


def test_actions_do_what_they_say(server: Server, folder: Path) -> None:
    """Scale, recycle and reload, under load of clients that notice nothing."""
    admin = server.admin()
    with Load(server.address, 4) as load:
        load.more(5)
        assert act(admin, "scale", "workers=3") == (200, "worker target set to 3\n")
        server.ready(3)
        assert act(admin, "recycle", "worker=1") == (200, "replacing worker 1\n")
        server.wait_for(r"worker 1 \(pid \d+\) exited")
        put_probe(folder, "two")
        assert act(admin, "reload") == (200, "reloaded\n")
        load.more(5)
    assert not load.failures
    assert server.get("/version") == "two"


def test_reload_of_broken_code_says_so(server: Server, folder: Path) -> None:
    """The answer is 409 with what the new worker said; the old workers serve."""
    put_probe(folder, end="this is no code")
    status, text = act(server.admin(), "reload")
    assert status == 409
    assert "SyntaxError" in text
    assert server.get("/version") == "one"


def test_what_is_refused_changes_nothing(server: Server) -> None:
    """A wrong token, path or method, a body or a line that is huge: each gets its refusal, and the server serves on."""
    workers = server.worker_pids
    for request, status in (
        (b"POST /actions/scale?workers=9 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer no\r\n\r\n", 403),
        (b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"PUT /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000, 413),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"\x00\x01\x02\r\n\r\n", 400),
    ):
        with server.admin() as client:
            client.send(request)
            assert client.response().status == status
    assert health(server.admin()) == (200, 200, 200)
    assert server.worker_pids == workers


def test_metrics_count_what_was_sent(server: Server) -> None:
    """As many requests as there were."""
    for _ in range(7):
        server.get("/pid")
    text = server.admin().get("/metrics").body.decode()
    assert 'twistcorn_requests_total{method="GET",status="2xx"} 7' in text
