"""The built-in demo, served when there is no app: shows the workers at work.

Law: pure WSGI on the standard library; knows nothing of twistcorn but one key of the environ. Escapes its output,
bounds its input, and crashes only on a POST from its own page.
"""

from __future__ import annotations

import itertools
import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from html import escape
from time import sleep
from typing import Any
from urllib.parse import parse_qs, quote

MAX_SLEEP_SECONDS = 30.0
STREAM_LINES = 10
STREAM_PAUSE_SECONDS = 0.3
_CHUNK_BYTES = 65536

_served = itertools.count(1)  # next() of a count is atomic: threads need no lock

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>twistcorn</title><style>
:root {{ --back: #fbfaf7; --card: #fff; --ink: #24211c; --dim: #7a7366; --line: #e6e1d6; --gold: #b7791f }}
@media (prefers-color-scheme: dark) {{
  :root {{ --back: #171613; --card: #211f1b; --ink: #eeeae1; --dim: #9c9485; --line: #37332b; --gold: #f0b64a }}
}}
* {{ box-sizing: border-box }}
body {{ margin: 0; padding: 8vh 1.2rem; background: var(--back); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif }}
main {{ max-width: 36rem; margin: auto }}
h1 {{ margin: 0; font-size: 2rem; letter-spacing: -.02em }} h1 b {{ color: var(--gold) }}
p {{ color: var(--dim); margin: .3rem 0 1.6rem }}
dl {{ display: grid; grid-template-columns: 1fr 1fr; gap: 1px; margin: 0 0 1.6rem; overflow: hidden;
  background: var(--line); border: 1px solid var(--line); border-radius: .7rem }}
dl div {{ background: var(--card); padding: .8rem 1rem }}
dt {{ color: var(--dim); font-size: .8rem }}
dd {{ margin: 0; font: 600 1.15rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere }}
nav {{ display: flex; flex-wrap: wrap; gap: .5rem }}
nav a, button {{ padding: .35rem .8rem; border: 1px solid var(--line); border-radius: .5rem; font: inherit;
  background: var(--card); color: inherit; text-decoration: none; cursor: pointer }}
nav a:hover, button:hover {{ border-color: var(--gold) }}
</style></head><body><main>{body}</main></body></html>
"""

_HOME = """<h1>twist<b>corn</b></h1>
<p>It works. This is the built-in demo; serve your own with <code>--app module:name</code>.</p>
<dl><div><dt>process</dt><dd>{pid}</dd></div><div><dt>worker</dt><dd>{worker}</dd></div>
<div><dt>requests served</dt><dd>{served}</dd></div><div><dt>thread</dt><dd>{thread}</dd></div></dl>
<nav><a href="{root}/slow?seconds=2">slow</a><a href="{root}/stream">stream</a>
<a href="{root}/error">error</a><a href="{root}/crash">crash</a><a href="{root}/environ">environ</a>
<a href="{root}/healthz">healthz</a>
<form method="post" action="{root}/echo" enctype="text/plain">
<button name="body" value="hello">echo</button></form></nav>"""

_CRASH = """<h1>Crash</h1>
<p>The button kills process {pid} (worker {worker}) with SIGSEGV. A new worker replaces it.</p>
<form method="post" action="{root}/crash"><button>Crash this worker</button></form>"""

_HTML_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"),
)
_TEXT_HEADERS = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))

Environ = dict[str, Any]


@dataclass(frozen=True)
class _Reply:
    status: str
    body: Iterable[bytes]
    headers: tuple[tuple[str, str], ...] = _TEXT_HEADERS
    length: int | None = None


def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one request of the demo."""
    served = next(_served)
    methods, handler = _ROUTES.get(environ.get("PATH_INFO") or "/", (("*",), _not_found))
    method = environ["REQUEST_METHOD"]
    if method in methods or "*" in methods:
        reply = handler(environ, served)
    else:
        refusal = _text(f"{method} is not allowed here; use {', '.join(methods)}\n", "405 Method Not Allowed")
        reply = replace(refusal, headers=(*_TEXT_HEADERS, ("Allow", ", ".join(methods))))
    headers = [*reply.headers, ("Cache-Control", "no-store")]
    if reply.length is not None:
        headers.append(("Content-Length", str(reply.length)))
    start_response(reply.status, headers)
    return [] if method == "HEAD" else reply.body


def _text(text: str, status: str = "200 OK") -> _Reply:
    body = text.encode("utf-8", "backslashreplace")
    return _Reply(status, [body], length=len(body))


def _page(template: str, environ: Environ, served: int) -> _Reply:
    values = {
        "pid": os.getpid(),
        "worker": environ.get("twistcorn.worker", "?"),
        "served": served,
        "thread": threading.current_thread().name,
        "root": quote(environ.get("SCRIPT_NAME", "").encode("latin-1", "replace")),
    }
    body = template.format(**{name: escape(str(value)) for name, value in values.items()})
    page = _PAGE.format(body=body).encode("utf-8", "backslashreplace")
    return _Reply("200 OK", [page], _HTML_HEADERS, len(page))


def _home(environ: Environ, served: int) -> _Reply:
    return _page(_HOME, environ, served)


def _slow(environ: Environ, served: int) -> _Reply:
    asked = parse_qs(environ.get("QUERY_STRING", "")).get("seconds", ["2"])[0]
    try:
        seconds = float(asked)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        return _text("seconds must be a number from 0 to 30\n", "400 Bad Request")
    seconds = min(seconds, MAX_SLEEP_SECONDS)
    sleep(seconds)
    return _text(f"slept for {seconds:g} seconds\n")


def _stream(environ: Environ, served: int) -> _Reply:
    return _Reply("200 OK", _lines())


def _lines() -> Iterator[bytes]:
    for number in range(1, STREAM_LINES + 1):
        yield f"line {number} of {STREAM_LINES}\n".encode()
        if number < STREAM_LINES:
            sleep(STREAM_PAUSE_SECONDS)


def _crash(environ: Environ, served: int) -> _Reply:
    if environ["REQUEST_METHOD"] != "POST":
        return _page(_CRASH, environ, served)
    if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") not in ("same-origin", "none"):
        return _text("only the demo's own page may crash a worker\n", "403 Forbidden")
    os.kill(os.getpid(), signal.SIGSEGV)
    return _text("still alive: something handles SIGSEGV\n", "500 Internal Server Error")


def _error(environ: Environ, served: int) -> _Reply:
    raise RuntimeError("the demo raises this on purpose")


def _environ(environ: Environ, served: int) -> _Reply:
    return _text("".join(f"{key} = {environ[key]!r}\n" for key in sorted(environ)))


def _echo(environ: Environ, served: int) -> _Reply:
    length = environ.get("CONTENT_LENGTH")
    if length:
        return _Reply("200 OK", _body(environ["wsgi.input"], int(length)), length=int(length))
    # Without a length, a body is safe to read only if the server marks its end.
    ended = environ.get("wsgi.input_terminated") or environ.get("HTTP_TRANSFER_ENCODING")
    return _Reply("200 OK", _body(environ["wsgi.input"], None)) if ended else _text("")


def _body(stream: Any, left: int | None) -> Iterator[bytes]:
    """Yield a request's body: `left` bytes of it, or all of it."""
    while left is None or left > 0:
        chunk = stream.read(_CHUNK_BYTES if left is None else min(_CHUNK_BYTES, left))
        if not chunk:
            return
        left = None if left is None else left - len(chunk)
        yield chunk


def _healthz(environ: Environ, served: int) -> _Reply:
    return _text("ok")


def _not_found(environ: Environ, served: int) -> _Reply:
    return _text("not found\n", "404 Not Found")


_GET = ("GET", "HEAD")
_ROUTES: dict[str, tuple[tuple[str, ...], Callable[[Environ, int], _Reply]]] = {
    "/": (_GET, _home),
    "/slow": (_GET, _slow),
    "/stream": (_GET, _stream),
    "/crash": ((*_GET, "POST"), _crash),
    "/error": (("*",), _error),
    "/environ": (("*",), _environ),
    "/echo": (("POST",), _echo),
    "/healthz": (_GET, _healthz),
}
