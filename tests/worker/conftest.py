"""Fixtures of the worker's tests that serve connections: a worker with a client, and a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.http.cases import DEFAULTS
from tests.http.served import Client, Clock, Served
from tests.worker.apps import app
from twistcorn.settings import Settings

#: Stated, so that the tests hold whatever the defaults become.
TIMES = replace(DEFAULTS, header_timeout=10.0, body_timeout=30.0, write_timeout=60.0, keep_alive=75.0, park_after=0.0)


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Served, Client]]]:
    """Makes a worker with a client; closes it at the end."""
    made: list[Served] = []

    def make(application: Any = None, settings: Settings = TIMES) -> tuple[Served, Client]:
        made.append(Served(application or app([b"hello"]), settings))
        return made[-1], made[-1].connect()

    yield make
    for served in made:
        served.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Monotonic time, in the test's hands."""
    return Clock(monkeypatch)
