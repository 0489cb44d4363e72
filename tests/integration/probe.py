"""The application of most tests: says who answered, waits at the test's gate, echoes, streams, fails.

It is copied next to the test as `app.py`, so it imports nothing but the standard library.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

#: Tests replace this line to make new code.
VERSION = "one"

_seen: list[str] = []
_lock = threading.Lock()


def wait(name: str) -> bool:
    """Say at the gate that this is there, and wait to be let go; False when the test went away instead."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect("\0" + os.environ["GATE"])
            sock.sendall(f"{name} {os.getpid()}\n".encode())
            return bool(sock.recv(1))
        except ConnectionError:
            return False


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one request."""
    path = environ["PATH_INFO"]
    asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    with _lock:
        _seen.append(f"{environ['REQUEST_METHOD']} {path}")
    if path == "/wait":
        wait(asked.get("name", "request"))
        return _plain(start_response, str(os.getpid()).encode())
    if path == "/fork":
        if os.fork() == 0:
            wait("child")
            os._exit(0)
        return _plain(start_response, str(os.getpid()).encode())
    if path == "/echo":
        return _plain(start_response, environ["wsgi.input"].read())
    if path == "/seen":
        return _plain(start_response, "\n".join(_seen).encode())
    if path == "/version":
        return _plain(start_response, VERSION.encode())
    if path == "/environ":
        return _plain(start_response, str(environ.get(asked["key"])).encode())
    if path == "/who":
        return _plain(start_response, f"{VERSION} {os.getpid()}".encode())
    if path == "/run":
        # One line for each run, whole also when the process is killed.
        with open("runs", "a") as file:
            file.write(f"{asked['name']} {environ['twistcorn.attempt']}\n")
        time.sleep(float(asked.get("time", "0")))
        return _plain(start_response, str(os.getpid()).encode())
    if path == "/cwd":
        return _plain(start_response, os.getcwd().encode())
    if path == "/raise":
        raise LookupError("the probe raises this on purpose")
    if path in ("/stream", "/raise-late"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return _stream(path == "/raise-late")
    return _plain(start_response, str(os.getpid()).encode())


def _plain(start_response: Callable[..., Any], body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _stream(fails: bool) -> Iterator[bytes]:
    yield b"first"
    if fails:
        raise LookupError("the probe raises this on purpose")
    wait("stream")
    yield b"second"
