"""The claims of twistcorn.master.control.operations: what is asked is done, or refused with a reason and not done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.master.stage import process
from twistcorn.errors import OperationError
from twistcorn.master.control.operations import Operations
from twistcorn.master.metrics.insight import Insight
from twistcorn.syntax import MAX_WORKERS
from twistcorn.wire import amp_commands

if TYPE_CHECKING:
    from tests.master.stage import Stage


def operations_of(stage: Stage) -> Operations:
    """The verbs of a stage."""
    insight = Insight(stage.supervisor, stage.dispatcher, stage.table, stage.board, list, stage.clock.seconds)
    return Operations(stage.supervisor, insight)


@pytest.fixture
def operations(stage: Stage) -> Operations:
    """Of three workers that serve."""
    stage.serve()
    return operations_of(stage)


def test_scale(stage: Stage, operations: Operations) -> None:
    """There are as many workers as were asked for."""
    assert operations.scale(5) == 5
    stage.boot_all()

    assert len(stage.ready) == 5


@pytest.mark.parametrize("number", [0, -1, MAX_WORKERS + 1])
def test_scale_to_nonsense(stage: Stage, operations: Operations, number: int) -> None:
    """The reason says what is allowed."""
    with pytest.raises(OperationError, match=f"from 1 to {MAX_WORKERS}"):
        operations.scale(number)

    assert stage.supervisor.target == 3


def test_recycle(stage: Stage, operations: Operations) -> None:
    """Its replacement is ready before it goes."""
    first = stage.ready[0]
    operations.recycle(first.ident)
    assert first in stage.ready

    stage.boot_all()
    assert process(first).ordered[-1] is amp_commands.Drain
    assert len(stage.ready) == 3


def test_recycle_while_recycling_is_paused(stage: Stage, operations: Operations) -> None:
    """Who asks for it by name gets it."""
    stage.supervisor.fleet.paused = True
    operations.recycle(stage.ready[0].ident)

    assert len(stage.starting) == 1


def test_drain(stage: Stage, operations: Operations) -> None:
    """It goes at once, and its replacement boots meanwhile."""
    first = stage.ready[0]
    operations.drain(first.ident)

    assert process(first).ordered[-1] is amp_commands.Drain
    assert (len(stage.ready), len(stage.starting)) == (2, 1)


@pytest.mark.parametrize("verb", ["drain", "recycle"])
def test_worker_is_not_there(stage: Stage, operations: Operations, verb: str) -> None:
    """The reason names those that are."""
    with pytest.raises(OperationError, match="no worker 9; workers: 1, 2, 3"):
        getattr(operations, verb)(9)


@pytest.mark.parametrize("verb", ["drain", "recycle"])
def test_worker_is_not_ready(stage: Stage, operations: Operations, verb: str) -> None:
    """It goes already, or is not there yet."""
    operations.drain(1)
    with pytest.raises(OperationError, match="worker 1 is draining, not ready"):
        getattr(operations, verb)(1)


def test_server_does_not_serve(stage: Stage) -> None:
    """Before the first worker is ready there is nothing to scale."""
    with pytest.raises(OperationError, match="the server is starting"):
        operations_of(stage).scale(2)
