"""Ten kilobytes with their length, made once.

Law: standard library only, the same bytes for each request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

BODY = b"x" * 10240
HEADERS = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(BODY)))]


def app(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer any request with :data:`BODY`."""
    start_response("200 OK", HEADERS)
    return [BODY]
