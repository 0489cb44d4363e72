"""Answers that come before, or without, the body that they answer: through a proxy they are the application's.

Closing on bytes that still come resets the connection; nginx tells its client 502 then, whatever was answered.
"""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import SERVER_FOLDERS
from tests.integration.client import Client
from tests.integration.conftest import ANYWHERE, Start, check
from tests.integration.harness import Program, Server, wait_until

MB = 1_000_000
SIZE = 30 * MB
APP = """
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/no":
        start_response("401 Unauthorized", [("Content-Length", "2")])
        return [b"no"]
    if path == "/yes":
        start_response("200 OK", [("Content-Length", "3")])
        return [b"yes"]
    size = 0
    while data := environ["wsgi.input"].read(65536):
        size += len(data)
    body = str(size).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
CONFIGURATION = """
daemon off; master_process off; pid {here}/nginx.pid; error_log {here}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {here}/a; proxy_temp_path {here}/b; fastcgi_temp_path {here}/c;
    uwsgi_temp_path {here}/d; scgi_temp_path {here}/e;
    client_max_body_size 0;
    upstream server {{ server {upstream}; keepalive 8; }}
    server {{
        listen unix:{here}/front.sock;
        location / {{
            proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_next_upstream off; proxy_request_buffering {buffering};
        }}
    }}
}}
"""

Put = Callable[[Server, str], str]


def listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Put]:
    """Puts nginx in front of a server: the path of its socket."""
    running: list[Program] = []
    here = tmp_path / "nginx"
    here.mkdir()

    def put(server: Server, buffering: str) -> str:
        at = server.address
        upstream = f"unix:{at}" if isinstance(at, str) else f"{at[0]}:{at[1]}"
        (here / "nginx.conf").write_text(CONFIGURATION.format(here=here, upstream=upstream, buffering=buffering))
        path = shutil.which("nginx") or next(filter(None, (shutil.which("nginx", path=f) for f in SERVER_FOLDERS)))
        command = [path, "-p", str(here), "-c", str(here / "nginx.conf"), "-e", str(here / "error.log")]
        running.append(Program(command, cwd=here, log=here / "log"))
        front = here / "front.sock"
        wait_until(lambda: listens(str(front)), "nginx listens")
        return str(front)

    yield put
    check(running)


def send(client: Client, size: int) -> None:
    """All of a body, as most clients do, whatever is answered meanwhile."""
    for left in range(size, 0, -MB):
        client.send(b"x" * min(left, MB))


def upload(address: str, path: str, size: int, chunked: bool = False) -> tuple[int, bytes]:
    """The answer to a body."""
    with Client(address) as client:
        if chunked:
            client.ask(path, "POST", headers="Transfer-Encoding: chunked\r\n")
            for _ in range(0, size, MB):
                client.send(b"%x\r\n" % MB + b"x" * MB + b"\r\n")
            client.send(b"0\r\n\r\n")
        else:
            client.ask(path, "POST", headers=f"Content-Length: {size}\r\n")
            send(client, size)
        answer = client.response()
        return answer.status, answer.body


pytestmark = [pytest.mark.slow, pytest.mark.needs("nginx", "nginx-light")]


@pytest.fixture(params=["tcp", "unix"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """Where the server listens."""
    return ANYWHERE if request.param == "tcp" else ("--listen", f"unix:{tmp_path}/http.sock")


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("buffering", ["on", "off"])
def test_early_answers(
    start: Start, folder: Path, place: tuple[str, ...], nginx: Put, buffering: str, chunked: bool
) -> None:
    """413, 401 and 200 with 30 MB behind them, and to none of which a byte of it was read by the application."""
    (folder / "app.py").write_text(APP)
    server = start("app:app", "--limit-request-body", "1M", listen=place).ready()
    front = nginx(server, buffering)
    statuses = [upload(front, "/", SIZE, chunked)[0] for _ in range(30)]
    assert statuses == [413] * 30
    assert upload(front, "/", 100_000) == (200, b"100000")


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_answers_of_who_does_not_read(
    start: Start, folder: Path, place: tuple[str, ...], nginx: Put, buffering: str
) -> None:
    """They reach the client, in each of 30 uploads, also of several clients at one time."""
    (folder / "app.py").write_text(APP)
    server = start("app:app", listen=place).ready()
    front = nginx(server, buffering)
    assert [upload(front, "/no", SIZE) for _ in range(15)] == [(401, b"no")] * 15
    assert [upload(front, "/yes", SIZE) for _ in range(15)] == [(200, b"yes")] * 15
    found: list[tuple[int, bytes]] = []
    users = [threading.Thread(target=lambda: found.append(upload(front, "/no", SIZE))) for _ in range(10)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert found == [(401, b"no")] * 10


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_no_room(start: Start, folder: Path, place: tuple[str, ...], nginx: Put, buffering: str) -> None:
    """503 and 507 are read by the client of the proxy, and not its own 502."""
    (folder / "app.py").write_text(APP)
    server = start(
        "app:app", "--spool-size", "100M", listen=place, env={"TMPDIR": str(folder / "nowhere")}
    ).ready()
    front = nginx(server, buffering)
    assert [upload(front, "/", 90 * MB)[0] for _ in range(3)] == [507] * 3
    with server.connect() as client:
        client.ask("/", "POST", headers=f"Content-Length: {50 * MB}\r\n")
        send(client, 40 * MB)
        wait_until(lambda: upload(front, "/", 90 * MB)[0] == 503, "the room is taken")
        assert [upload(front, "/", 90 * MB)[0] for _ in range(3)] == [503] * 3
        send(client, 10 * MB)
        assert client.response().status == 200


@pytest.mark.parametrize("status", [413, 401])
def test_clients_of_its_own(start: Start, folder: Path, place: tuple[str, ...], status: int) -> None:
    """The same without a proxy, for clients that expect 100 Continue and send all the same."""
    (folder / "app.py").write_text(APP)
    server = start("app:app", *(("--limit-request-body", "1M") if status == 413 else ()), listen=place).ready()
    for _ in range(10):
        with server.connect() as client:
            client.ask("/no", "POST", headers=f"Content-Length: {SIZE}\r\nExpect: 100-continue\r\n")
            send(client, SIZE)
            assert client.response().status == status
