"""The application of most tests: says who answered, waits at the test's gate, echoes, streams, fails.

It is copied next to the test as `app.py`, so it imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
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
    """Say at the gate that this is there, and wait to be released; False when the test went away instead."""
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
    if path in _TROUBLE:
        _TROUBLE[path](float(asked.get("for", "12")), environ)
        return _plain(start_response, b"over")
    if path == "/raise":
        raise LookupError("the probe raises this on purpose")
    if path == "/flood":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"x" * (1 << 20) for _ in range(64))
    if path == "/stall":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return _stall(environ)
    if path == "/drip":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return _drip(float(asked["every"]), int(asked["count"]))
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


def _drip(every: float, count: int) -> Iterator[bytes]:
    for _ in range(count):
        time.sleep(every)
        yield b"drop"


def _stall(environ: dict[str, Any]) -> Iterator[bytes]:
    yield b"first"
    _spin(12, environ)
    yield b"second"


def _spin(seconds: float, environ: dict[str, Any]) -> None:
    """Compute: an exception can end it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(100))


def _sleep(seconds: float, environ: dict[str, Any]) -> None:
    """Wait in one call: no exception can end it before it is over."""
    time.sleep(seconds)


def _swallow(seconds: float, environ: dict[str, Any]) -> None:
    """Catch whatever comes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(BaseException):
            time.sleep(0.01)


def _extend(seconds: float, environ: dict[str, Any]) -> None:
    """Ask for the time that it takes."""
    environ["twistcorn.extend_deadline"](seconds)
    _spin(seconds, environ)


def _hold(seconds: float, environ: dict[str, Any]) -> None:
    """Hold the interpreter lock, as an extension may."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


_TROUBLE: dict[str, Callable[[float, dict[str, Any]], object]] = {
    "/spin": _spin, "/sleep": _sleep, "/swallow": _swallow, "/extend": _extend, "/hold": _hold,
    "/segfault": lambda seconds, environ: ctypes.string_at(0),
    "/abort": lambda seconds, environ: os.abort(),
    "/exit": lambda seconds, environ: os._exit(3),
    "/grow": lambda seconds, environ: _seen.append("x" * int(seconds) * (1 << 20)),
}  # fmt: skip
