"""Fixtures of the master's tests: the stage is set, and cleared afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.master.stage import Desk, Stage


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
