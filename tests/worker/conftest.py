"""Fixtures of the worker's tests that serve connections: a worker with a client, and a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.http.cases import DEFAULTS
from tests.http.served import Client, Clock, Served
from tests.worker.apps import app
from twistcorn.settings import Settings
from twistcorn.wire.scoreboard import H_REGIONS, Scoreboard
from twistcorn.worker.http.spool import Spool, Store

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
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Where bodies are kept, in a folder of the test's."""
    board = Scoreboard.create(2, 1)
    board.words[H_REGIONS] = 2
    spool = Spool(board, board.worker_base(0), DEFAULTS, str(tmp_path))
    yield spool
    spool.forget()
    board.close()


@pytest.fixture
def store(spool: Spool) -> Iterator[Callable[[int], Store]]:
    """Makes stores; drops them at the end."""
    made: list[Store] = []

    def make(limit: int) -> Store:
        made.append(Store(limit, spool))
        return made[-1]

    yield make
    for each in made:
        each.drop()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Monotonic time, in the test's hands."""
    return Clock(monkeypatch)
