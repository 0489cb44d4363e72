"""What an application breaks while it is imported, and the server needs when it begins to serve."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import HEALTHY, Serve


@pytest.mark.parametrize("name", ["collect", "freeze"])
def test_worker_that_cannot_begin_says_so_at_once(serve: Serve, name: str) -> None:
    """It does not wait for --boot-timeout."""
    broken = f"""{HEALTHY}
import gc
def broken(*_): raise RuntimeError("gc is mine")
gc.{name} = broken
"""
    server = serve(broken, tracebacks=True)
    server.wait_for("it cannot begin to serve", timeout=10)
    assert server.exit_code() == 3
