"""An application that waits as for a database: `/20` for twenty milliseconds, `/1` for one, `/` not at all.

Law: standard library only; the wait holds no lock of the interpreter and takes no CPU time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

BODY = b"Hello, World!\n"
HEADERS = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(BODY)))]


def app(environ: dict[str, str], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Wait as many milliseconds as the path says, then answer."""
    milliseconds = environ["PATH_INFO"][1:]
    if milliseconds:
        # By the module, not by a name of its own: gevent replaces it there.
        time.sleep(int(milliseconds) / 1000)
    start_response("200 OK", HEADERS)
    return [BODY]
