"""The claims of twistcorn.master.workers.supervisor about a system that has no process, or descriptor, left
for a worker.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING

import pytest
from twisted.logger import capturedLogs, formatEvent

if TYPE_CHECKING:
    from tests.master.stage import Stage

#: fork(2) at the limit of processes, pipe(2) and socketpair(2) at the limit of files, and no memory for any of it.
REFUSALS = [errno.EAGAIN, errno.EMFILE, errno.ENOMEM]

refused = pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)


def refuse(stage: Stage, number: int) -> None:
    """From now on the system starts no process."""
    stage.spawner.error = OSError(number, os.strerror(number))


@refused
def test_serving_worker_dies(stage: Stage, number: int) -> None:
    """The others serve; it is tried again after the back-off until the system gives in, and the log says why."""
    stage.serve()
    refuse(stage, number)
    with capturedLogs() as logged:
        stage.spawner.exits(stage.ready[0], signal=signal.SIGKILL)
        stage.clock.advance(0.5)
    assert len(stage.ready) == 2
    assert any(os.strerror(number) in str(formatEvent(event)) for event in logged)

    stage.spawner.error = None
    for _ in range(31):
        stage.clock.advance(1)
    stage.boot_all()
    assert {worker.region for worker in stage.ready} == {0, 1, 2}, "no region is lost by the attempts"


@refused
def test_first_boot(stage: Stage, number: int) -> None:
    """It is fatal, as any first boot that fails, and says why."""
    refuse(stage, number)
    stage.supervisor.start()
    stage.clock.advance(0)

    assert [os.strerror(number) in str(error) for error in stage.fatal] == [True]


@refused
def test_reload(stage: Stage, number: int) -> None:
    """The reload cancelled; the old workers serve."""
    stage.serve()
    refuse(stage, number)
    stage.supervisor.reload()
    stage.clock.advance(0)
    assert set(stage.states.values()) == {"ready"}

    stage.spawner.error = None
    stage.supervisor.reload()
    stage.boot_all()
    assert {worker.generation for worker in stage.ready} == {2}


@refused
def test_server_stops(stage: Stage, number: int) -> None:
    """A worker that never came to be is not waited for."""
    stage.serve()
    refuse(stage, number)
    stage.spawner.exits(stage.ready[0], signal=signal.SIGKILL)
    stopped = stage.supervisor.stop(quick=False)
    for worker in stage.spawner.alive:
        stage.spawner.exits(worker)
    stage.clock.advance(0)

    assert stopped.called
    assert stage.clock.getDelayedCalls() == []
