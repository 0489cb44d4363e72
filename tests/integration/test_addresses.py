"""Where the server listens: UNIX sockets, several addresses, sockets of systemd, nginx in front."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import find_program
from tests.integration.client import Client
from tests.integration.conftest import ANYWHERE, Start, check
from tests.integration.harness import Program, wait_until


@pytest.mark.parametrize("front", ["run", "twistd"])
def test_unix_socket_is_served_and_removed(start: Start, tmp_path: Path, front: str) -> None:
    """`--listen unix:PATH` serves on a socket that goes with the server; HTTP is the same there."""
    path = tmp_path / "http.sock"
    server = start(
        "--app", "app:app", "--workers", "2", front=front, listen=("--listen", f"unix:{path}")
    ).ready(2)
    with server.connect() as client:
        assert client.get("/environ?key=REMOTE_ADDR").body == b""
        assert client.get("/environ?key=SERVER_NAME").body == b"localhost"
        client.ask("/echo", "POST", b"body" * 500_000)
        assert client.response().body == b"body" * 500_000
    assert {int(server.get("/pid")) for _ in range(8)} == set(server.worker_pids)


def test_relative_unix_socket_is_where_the_server_was_started(
    start: Start, folder: Path, tmp_path: Path
) -> None:
    """A relative path is relative to the directory of the command, not to --chdir."""
    server = start("app:app", "--chdir", "site", cwd=tmp_path, listen=("--listen", "unix:http.sock"))
    server.wait_for("serving on unix:http.sock")
    assert (tmp_path / "http.sock").is_socket()


def test_several_addresses_serve_the_same(start: Start, tmp_path: Path) -> None:
    """--listen may be given several times; each address has its own SERVER_PORT."""
    path = tmp_path / "http.sock"
    more = ("--listen", "tcp6:0:interface=\\:\\:1", "--bind", f"unix:{path}")
    server = start("app:app", listen=(*ANYWHERE, *more)).ready()
    (six,) = server.wait_for(r"serving on http://\[::1\]:(\d+)$")
    server.wait_for("serving on unix:")
    with server.connect() as four:
        assert four.get("/environ?key=SERVER_PORT").body == str(four.sock.getpeername()[1]).encode()
    with Client(str(path)) as local:
        assert local.get("/version").body == b"one"
    with socket.create_connection(("::1", int(six[1])), 20) as sock:
        sock.sendall(b"GET /environ?key=REMOTE_ADDR HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
        assert answer.endswith(b"\r\n\r\n::1")


#: What systemd does: the socket is descriptor 3, and the environment says for whom.
ACTIVATE = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("front", "family"),
    [
        pytest.param("run", socket.AF_INET, id="run INET"),
        pytest.param("run", socket.AF_UNIX, id="run UNIX"),
        pytest.param("twist", socket.AF_INET, id="twist INET"),
        pytest.param("twistd", socket.AF_UNIX, id="twistd UNIX"),
    ],
)
def test_socket_from_systemd_is_served_and_kept(
    start: Start, tmp_path: Path, front: str, family: socket.AddressFamily
) -> None:
    """A passed socket is served, clients that came before the server did are answered, and it is left to systemd."""
    path = str(tmp_path / "http.sock")
    address = ("127.0.0.1", 0) if family == socket.AF_INET else path
    with socket.create_server(address, family=family) as sock:
        with Client(sock.getsockname()) as early:
            early.ask("/version")
            server = start(
                "--app", "app:app", front=front, listen=("--listen", f"systemd:domain={family.name[3:]}:index=0"),
                before=(sys.executable, "-c", ACTIVATE, str(sock.fileno())), pass_fds=(sock.fileno(),),
            ).ready()  # fmt: skip
            server.socket_file = None
            assert early.response().body == b"one"
        assert server.get("/version") == "one"
        server.send(signal.SIGINT)
        server.exit_code()
        # A client that connects now waits for the next start.
        with Client(sock.getsockname()):
            pass
        assert family == socket.AF_INET or Path(path).is_socket()


NGINX = """\
daemon off;
master_process off;
pid {here}/nginx.pid;
error_log {here}/error.log info;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {here}/body;
    proxy_temp_path {here}/proxy;
    fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi;
    scgi_temp_path {here}/scgi;
    upstream twistcorn {{
        server unix:{upstream};
        keepalive 4;
    }}
    server {{
        listen unix:{front};
        location / {{
            proxy_pass http://twistcorn;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-Proto https;
        }}
    }}
}}
"""


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[str]:
    """nginx in front of http.sock, with its own prefix: the path of its socket."""
    here = tmp_path / "nginx"
    here.mkdir()
    front = here / "front.sock"
    conf = here / "nginx.conf"
    conf.write_text(NGINX.format(here=here, upstream=tmp_path / "http.sock", front=front))
    program = find_program("nginx")
    assert program is not None
    nginx = Program(
        [program, "-p", str(here), "-c", str(conf), "-e", str(here / "error.log")], cwd=here, log=here / "log"
    )
    try:
        wait_until(front.exists, "nginx listens")
        yield str(front)
    finally:
        check([nginx])
    assert "upstream prematurely closed" not in (here / "error.log").read_text()


@pytest.mark.needs("nginx", "nginx-light")
def test_behind_nginx_with_kept_connections(start: Start, tmp_path: Path, nginx: str) -> None:
    """Behind nginx on a UNIX socket: bodies both ways, on connections that nginx keeps."""
    server = start("app:app", "--workers", "2", listen=("--listen", f"unix:{tmp_path / 'http.sock'}")).ready(
        2
    )
    with Client(nginx) as client:
        for size in (0, 10, 100_000, 900_000):
            client.ask("/echo", "POST", b"x" * size)
            answer = client.response()
            assert (answer.status, len(answer.body)) == (200, size)
        assert client.get("/environ?key=HTTP_X_FORWARDED_PROTO").body == b"https"
        assert client.get("/environ?key=SERVER_NAME").body == b"localhost"
        # One connection of a client is one at a time to the upstream, and the same one each time.
        assert len({client.get("/pid").body for _ in range(10)}) == 1
    assert server.get("/version") == "one"
