"""Clients that expect 100 Continue: nothing of their bodies comes before the application wants it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.hostile.conftest import Serve
from tests.hostile.test_spool import in_files
from tests.integration.client import Client
from tests.integration.conftest import Start
from tests.integration.harness import Server, wait_until

MB = 1_000_000
APP = """
import os, threading, time

def read(environ):
    return str(len(environ["wsgi.input"].read())).encode()

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/no":
        start_response("401 Unauthorized", [("Content-Length", "2")])
        return [b"no"]
    if path == "/thread":
        # As adapters to asyncio do.
        found = []
        def other():
            try:
                found.append(read(environ))
            except OSError as error:
                found.append(str(error).encode())
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        body = found[0]
    elif path == "/fork":
        ours, theirs = os.pipe()
        if os.fork() == 0:
            try:
                read(environ)
            except OSError as error:
                os.write(theirs, str(error).encode())
            os._exit(0)
        os.wait()
        body = os.read(ours, 1000) + b" " + read(environ)
    elif path == "/kill":
        if environ["twistcorn.attempt"] == 1:
            os.kill(os.getpid(), 9)
        body = read(environ)
    elif environ.get("HTTP_EXPECT"):
        body = read(environ)
    else:
        body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def expect(client: Client, path: str, size: int, method: str = "POST") -> None:
    client.ask(path, method, headers=f"Content-Length: {size}\r\nExpect: 100-continue\r\n")


def sent(client: Client, size: int) -> bytes:
    """The answer to a body that was asked for."""
    assert client.response().status == 100
    for left in range(size, 0, -MB):
        client.send(b"x" * min(left, MB))
    answer = client.response()
    assert answer.status == 200
    return answer.body


def test_large_uploads_that_nobody_wants(start: Start, folder: Path, tmp_path: Path) -> None:
    """Five clients with 150 MB each get 401 and no 100 Continue: nothing is written to the disk."""
    (folder / "app.py").write_text(APP)
    server = start("app:app", env={"TMPDIR": str(tmp_path)}).ready()
    clients = [server.connect() for _ in range(5)]
    for client in clients:
        expect(client, "/no", 150 * MB)
    for client in clients:
        answer = client.response()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert client.ended()
    assert in_files(server.worker_pids[0], tmp_path) == 0


@pytest.mark.parametrize("threads", ["8", "2", "1"])
@pytest.mark.parametrize("path", ["/", "/thread"])
@pytest.mark.parametrize("turns", ["adaptive", "inline", "pool"])
def test_bodies_that_are_wanted(serve: Serve, threads: str, path: str, turns: str) -> None:
    """They come, on whatever thread they are read, and the connection goes on."""
    server = serve(APP, "--threads", threads, "--turns", turns).ready()
    with server.connect() as client:
        for size in (1, 100_000, 5 * MB):
            expect(client, path, size)
            assert sent(client, size) == str(size).encode()
        assert client.get("/").status == 200


@pytest.mark.parametrize("path", ["/", "/thread", "/no"])
def test_client_goes_away(serve: Serve, path: str) -> None:
    """It holds no thread any more; the others are served meanwhile and afterwards."""
    server = serve(APP, "--threads", "2").ready()
    for _ in range(6):
        with server.connect() as client:
            expect(client, path, 1000)
            assert client.response().status == (401 if path == "/no" else 100)
            server.get("/")
    server.get("/")


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "stand_ins"), [("4", "96"), ("2", "96"), ("4", "0"), ("1", "0")])
def test_clients_that_never_send(serve: Serve, threads: str, stand_ins: str) -> None:
    """However many clients get 100 Continue and send nothing, others are served; each of them gets 408."""
    server = serve(APP, "--threads", threads, "--stand-ins", stand_ins, "--body-timeout", "2s").ready()
    clients = [server.connect() for _ in range(30)]
    for client in clients:
        expect(client, "/", 1000)
    for client in clients:
        assert client.response().status == 100
    begun = time.monotonic()
    for _ in range(20):
        server.get("/")
    assert time.monotonic() - begun < 1.5
    for client in clients:
        assert client.response().status == 408
        assert client.ended()


@pytest.mark.slow
def test_slow_upload(serve: Serve) -> None:
    """The time that its client takes is not the application's: no request time-out counts it."""
    server = serve(APP, "--request-timeout", "1s", "--slow", "500ms", "--body-timeout", "5s").ready()
    with server.connect() as client:
        expect(client, "/", 6)
        assert client.response().status == 100
        for _ in range(6):
            # It is the pace that is tested: there is no event to wait for.
            time.sleep(0.4)
            client.send(b"x")
        assert client.response().body == b"6"
    assert not server.seen("took too long|slow: ")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_worker_dies_before_it_reads(serve: Serve, method: str) -> None:
    """A GET whose worker is killed from outside runs again and has its body asked for; a POST gets 502."""
    source = APP.replace("os.kill(os.getpid(), 9)", "time.sleep(100)")
    server = serve(source).ready()
    with server.connect() as client:
        expect(client, "/kill", 1000, method)
        (pid,) = server.worker_pids
        wait_until(lambda: f"{method} /kill" in server_state(server), "the request runs")
        os.kill(pid, signal.SIGKILL)
        if method == "GET":
            assert sent(client, 1000) == b"1000"
        else:
            assert client.response().status == 502


def server_state(server: Server) -> str:
    """What it says of its requests."""
    command = [*server.process.args[:3], "connections", "--control", str(server.control)]  # type: ignore[index]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ).stdout


def test_worker_dies_while_it_reads(serve: Serve) -> None:
    """502, for a GET as well: a part of it is gone with the worker."""
    server = serve(APP).ready()
    with server.connect() as client:
        expect(client, "/", 1000, "GET")
        assert client.response().status == 100
        client.send(b"x" * 100)
        os.kill(server.worker_pids[0], signal.SIGKILL)
        assert client.response().status == 502
        assert client.ended()


def test_forked_child(serve: Serve) -> None:
    """It cannot read what is its parent's to read, and takes nothing away from it."""
    server = serve(APP).ready()
    with server.connect() as client:
        expect(client, "/fork", 5)
        assert sent(client, 5) == b"this process was forked: only its parent can read the request's body 5"


def test_reload_while_a_body_comes(serve: Serve) -> None:
    """The old worker reads it to its end and answers; the connection goes on with the new one."""
    server = serve(APP).ready()
    with server.connect() as client:
        expect(client, "/", 10)
        assert client.response().status == 100
        server.send(signal.SIGHUP)
        server.wait_for(r"worker 2 \(pid \d+\) is ready")
        client.send(b"x" * 10)
        assert client.response().body == b"10"
        wait_until(lambda: int(client.get("/").body) == server.worker_pids[-1], "the new worker has it")


def test_curl(serve: Serve, tmp_path: Path) -> None:
    """A client that people use sends nothing where the answer is 401, and all of it where it is wanted."""
    server = serve(APP).ready()
    file = tmp_path / "large"
    file.write_bytes(b"x" * 3 * MB)
    host, port = server.address[0], server.address[1]
    for path, wanted in (("/no", "401 0 no"), ("/", "200 3000000 3000000")):
        command = [
            "curl", "-s", "-T", str(file), "-w", "%{http_code} %{size_upload} ", "-o", str(tmp_path / "answer"),
            f"http://{host}:{port}{path}", "-H", "Expect: 100-continue",
        ]  # fmt: skip
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert told + (tmp_path / "answer").read_text() == wanted


FLASK = """
import flask
app = flask.Flask("a")

@app.post("/form")
def form():
    return f"{flask.request.form['a']} {len(flask.request.files['b'].read())}"

@app.post("/json")
def json():
    return str(len(flask.request.get_json()))

@app.post("/no")
def no():
    flask.abort(401)
"""
DJANGO = """
import json as codec
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, DATA_UPLOAD_MAX_MEMORY_SIZE=None)
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

def form(request):
    return HttpResponse(f"{request.POST['a']} {len(request.FILES['b'].read())}")

def json(request):
    return HttpResponse(str(len(codec.loads(request.body))))

def no(request):
    return HttpResponse(status=401)

urlpatterns = [path("form", form), path("json", json), path("no", no)]
app = get_wsgi_application()
"""
PART = b'--xx\r\nContent-Disposition: form-data; name='
FORM = (
    PART + b'"a"\r\n\r\nhello\r\n' + PART
    + b'"b"; filename="c"\r\nContent-Type: application/octet-stream\r\n\r\n' + b"y" * 3_000_000 + b"\r\n--xx--\r\n"
)  # fmt: skip


@pytest.mark.parametrize("source", [FLASK, DJANGO], ids=["flask", "django"])
def test_frameworks(serve: Serve, source: str) -> None:
    """Their ways to read forms, files and JSON have the body sent; a view that does not read has not."""
    server = serve(source).ready()
    for path, kind, body, wanted in (
        ("/form", "multipart/form-data; boundary=xx", FORM, b"hello 3000000"),
        ("/json", "application/json", b"[" + b"1," * 10_000 + b"1]", b"10001"),
    ):
        with server.connect() as client:
            length = f"Content-Length: {len(body)}\r\nContent-Type: {kind}\r\nExpect: 100-continue\r\n"
            client.ask(path, "POST", headers=length)
            assert client.response().status == 100
            client.send(body)
            assert client.response().body == wanted
    with server.connect() as client:
        expect(client, "/no", 1000)
        assert client.response().status == 401


def test_answer_while_another_thread_reads(serve: Serve) -> None:
    """It goes out at once; the thread gets an error, as it is too late, and nothing hangs."""
    server = serve(
        """
        import threading
        told = threading.Event()
        def app(environ, start_response):
            if environ["PATH_INFO"] == "/told":
                assert told.wait(10)
            elif environ.get("HTTP_EXPECT"):
                def read():
                    try:
                        environ["wsgi.input"].read()
                    except OSError as error:
                        told.set()
                threading.Thread(target=read).start()
                environ["twistcorn.extend_deadline"](1)
            start_response("200 OK", [])
            return [b"early"]
        """
    ).ready()
    with server.connect() as client:
        expect(client, "/", 1000)
        answer = client.response()
        answer = client.response() if answer.status == 100 else answer
        assert (answer.body, answer.headers["connection"]) == (b"early", "close")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.ended()
    server.get("/told")


def test_many_at_once(serve: Serve) -> None:
    """A crowd of clients that expect: each of them is answered, more than there are threads at one time."""
    server = serve(APP, "--threads", "4").ready()
    wrong: list[object] = []

    def use(number: int) -> None:
        with server.connect() as client:
            for _ in range(10):
                expect(client, "/", 1000 + number)
                if sent(client, 1000 + number) != str(1000 + number).encode():
                    wrong.append(number)

    users = [threading.Thread(target=use, args=(number,)) for number in range(20)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert wrong == []
