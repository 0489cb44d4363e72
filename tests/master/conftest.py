"""Fixtures of the master's tests: the stage is set, and cleared afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.master.fake_sockets import Place
from tests.master.stage import Desk, Stage, Told
from twistcorn.policy.worker import Worker


@pytest.fixture
def place() -> Iterator[Place]:
    """A table, a reactor that does not run, and listeners that a test makes."""
    made = Place()
    yield made
    made.close()


@pytest.fixture
def told() -> Told:
    """An owner that hears what a worker's process reports."""
    return Told()


@pytest.fixture
def worker() -> Worker:
    """A record without a process."""
    return Worker(7, 0, 1, None)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A dispatcher without workers or connections."""
    made = Desk()
    yield made
    made.close()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A supervisor of three workers, not started."""
    made = Stage()
    yield made
    made.close()


@pytest.fixture
def stages() -> Iterator[Any]:
    """Makes a supervisor with other settings: `stages(workers=1)`."""
    made: list[Stage] = []

    def make(**settings: Any) -> Stage:
        made.append(Stage(**settings))
        return made[-1]

    yield make
    for stage in made:
        stage.close()
