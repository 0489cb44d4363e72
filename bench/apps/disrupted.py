"""What is disrupted: an application that takes its time to import, notes what it ran, and breaks on demand.

Law: standard library only. It is copied into a folder of its own for each run, and the files there are all that
it knows: ``boot`` holds the seconds that importing takes, ``version`` what is deployed; while ``broken`` is
there it cannot be imported. It adds a line to ``pids`` once it is imported and to ``runs`` for each POST.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import parse_qs

HERE = Path(__file__).parent


def read(name: str, default: str) -> str:
    """What a file of the folder says."""
    path = HERE / name
    return path.read_text().strip() if path.exists() else default


def note(name: str, line: str) -> None:
    """Add a line in one write, so that the lines of several processes and threads never mix."""
    fd = os.open(HERE / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


time.sleep(float(read("boot", "1")))
if (HERE / "broken").exists():
    raise RuntimeError("this deploy is broken")
VERSION = read("version", "1")


def work(environ: dict[str, object], question: dict[str, str]) -> str:
    """Take some time; say whose request it was and who answers it."""
    if environ["REQUEST_METHOD"] == "POST":
        environ["wsgi.input"].read(int(str(environ["CONTENT_LENGTH"])))  # type: ignore[attr-defined]
        note("runs", question["id"])
    time.sleep(float(question["ms"]) / 1000)
    return f"{question['id']} {os.getpid()} {VERSION}\n"


def stuck(environ: dict[str, object], question: dict[str, str]) -> str:
    """One call that does not come back for long."""
    time.sleep(float(question["seconds"]))
    return "unstuck\n"


def segfault(environ: dict[str, object], question: dict[str, str]) -> str:
    """Read what is not there."""
    ctypes.string_at(0)
    return "alive\n"


def ready(environ: dict[str, object], question: dict[str, str]) -> str:
    """What the benchmark asks for until it is answered."""
    return "ready\n"


PATHS = {"/": ready, "/work": work, "/stuck": stuck, "/segfault": segfault}


def app(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer one of :data:`PATHS`."""
    question = {name: values[0] for name, values in parse_qs(str(environ["QUERY_STRING"])).items()}
    body = PATHS[str(environ["PATH_INFO"])](environ, question).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


note("pids", str(os.getpid()))
