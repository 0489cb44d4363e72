"""Fixtures of the hostile tests: the real program, with an application that does something to its own process.

Law: an application is source text in the test that needs it; what serves, and what checks that nothing is left behind,
is the integration tests' harness.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Protocol

import pytest

from tests.integration.conftest import Start, _signals_of_a_terminal, folder, gate, start
from tests.integration.harness import Server

__all__ = ["_signals_of_a_terminal", "folder", "gate", "start"]

#: An application that answers with its process, whatever else its source does.
HEALTHY = """
def app(environ, start_response):
    import os
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""

#: Reads its body, and answers how long that was.
COUNTS = """
def app(environ, start_response):
    size = 0
    while data := environ["wsgi.input"].read(65536):
        size += len(data)
    start_response("200 OK", [])
    return [str(size).encode()]
"""


class Serve(Protocol):
    """Starts the server with an application of this source; it ends with the test."""

    def __call__(self, source: str, *arguments: str, tracebacks: bool = False) -> Server: ...


@pytest.fixture
def serve(start: Start, folder: Path) -> Serve:
    """Serves source text as `app.py`."""

    def serve(source: str, *arguments: str, tracebacks: bool = False) -> Server:
        (folder / "app.py").write_text(textwrap.dedent(source))
        return start("app:app", *arguments, tracebacks=tracebacks)

    return serve
