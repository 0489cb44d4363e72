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
    server.wait_for("cannot start serving", timeout=10)
    assert server.exit_code() == 3


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import signal\nsignal.signal(2, signal.default_int_handler)\nsignal.raise_signal(2)", "KeyboardInterrupt"),
        (
            "import os, resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
            "try:\n    while True: os.open('/dev/null', os.O_RDONLY)\nexcept OSError: pass\n" + HEALTHY,
            "Too many open files",
        ),
    ],
)  # fmt: skip
def test_whatever_ends_the_beginning_is_told_at_once(serve: Serve, source: str, said: str) -> None:
    """Also what no handler of errors sees, and what only the server runs into."""
    server = serve(source, tracebacks=True)
    assert server.exit_code(10) == 3
    assert server.seen(f"cannot start serving: .*{said}")
