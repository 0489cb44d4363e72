"""The claims of twistcorn.master.workers.supervisor about the end: graceful, hurried, at once, and in the
middle of a boot.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from tests.master.stage import Stage, process, tcp
from twistcorn.policy.worker import Worker, WorkerState
from twistcorn.testing import Order
from twistcorn.wire import amp_commands

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

GRACEFUL = Order(amp_commands.Stop, {"quick": False})
QUICK = Order(amp_commands.Stop, {"quick": True})


def told(worker: Worker) -> list[Order]:
    """The orders that a worker got after Boot."""
    return process(worker).orders[1:]


class End:
    """Notes when a stop is over."""

    def __init__(self, stopped: Deferred[None]) -> None:
        self.over = False
        stopped.addCallback(self._note)

    def _note(self, result: None) -> None:
        self.over = True


class TestGraceful:
    def test_workers_are_told(self, stage: Stage) -> None:
        """Each is told to answer what runs and to leave; nobody is killed."""
        workers = stage.serve()
        end = End(stage.supervisor.stop(quick=False))

        assert [told(worker) for worker in workers] == [[GRACEFUL]] * 3
        assert not any(process(worker).signals for worker in workers)
        assert not end.over

    def test_workers_leave(self, stage: Stage) -> None:
        """It is over with the last of them; none is replaced, and no timer stays."""
        workers = stage.serve()
        end = End(stage.supervisor.stop(quick=False))
        for worker in workers:
            assert not end.over
            stage.spawner.exits(worker)

        assert end.over
        assert len(stage.spawner.spawned) == 3
        assert stage.clock.getDelayedCalls() == []

    def test_workers_hold_nothing(self, stages: Any) -> None:
        """They may leave when none of them does: until then each may get what another one loses."""
        stage = stages(workers=2)
        first, second = stage.serve()
        stage.arrive(1)
        stage.spawner.takes(first)
        stage.supervisor.stop(quick=False)
        waits = stage.spawner.empties(second)
        assert stage.states == {1: "finishing", 2: "finishing"}
        assert not waits.called

        stage.spawner.closes(first, *process(first).lends)
        assert waits.called
        assert stage.spawner.empties(first).called

    def test_worker_with_a_connection_dies(self, stages: Any) -> None:
        """The connection goes on with another one, as at any other time."""
        stage = stages(workers=2)
        first, second = stage.serve()
        stage.arrive(1, tcp)
        stage.spawner.takes(first)
        stage.supervisor.stop(quick=False)
        stage.spawner.exits(first, signal=signal.SIGKILL)

        assert len(process(second).lends) == 1
        assert len(stage.spawner.spawned) == 2

    def test_only_worker_drains(self, stages: Any) -> None:
        """What it has handed back, while its replacement boots, comes back to it; then it may leave."""
        stage = stages(workers=1)
        (worker,) = stage.serve()
        stage.arrive(2, tcp)
        stage.spawner.takes(worker)
        stage.spawner.leaves(worker)
        stage.spawner.releases(worker, process(worker).lends[0])
        stage.supervisor.stop(quick=False)
        stage.spawner.exits(stage.newest)
        stage.spawner.takes(worker)
        assert len(process(worker).lends) == 2

        stage.spawner.closes(worker, *process(worker).lends)
        assert stage.spawner.empties(worker).called

    def test_last_worker_that_takes_dies(self, stages: Any) -> None:
        """One that drains has its connections then, and nothing hangs."""
        stage = stages(workers=2)
        first, second = stage.serve()
        stage.arrive(2, tcp)
        stage.spawner.takes(first)
        stage.spawner.takes(second)
        stage.supervisor.scale(-1)
        drains, other = sorted((first, second), key=lambda worker: worker.state is WorkerState.READY)
        stage.supervisor.stop(quick=False)
        stage.spawner.exits(other, signal=signal.SIGKILL)
        stage.spawner.takes(drains)
        assert len(process(drains).lends) == 2

        stage.spawner.closes(drains, *process(drains).lends)
        assert stage.spawner.empties(drains).called

    def test_only_worker_is_frozen(self, stages: Any) -> None:
        """It gets nothing more; if it lives again after all, it is not kept for what waits in vain."""
        stage = stages(workers=1)
        (worker,) = stage.serve()
        stage.arrive(1, tcp)
        stage.spawner.takes(worker)
        stage.pass_by(1)
        stage.pass_by(0.8 * stage.settings.heartbeat_timeout, [worker])
        stage.arrive(1, tcp)
        stage.supervisor.stop(quick=False)
        stage.spawner.exits(stage.newest)
        stage.spawner.closes(worker, *process(worker).lends)

        assert stage.dispatcher.waiting == 1
        assert stage.spawner.empties(worker).called

    def test_connections_wait_to_be_lent(self, stages: Any) -> None:
        """They are lent first: what was accepted is answered. Only then workers are told."""
        stage = stages(workers=1)
        (worker,) = stage.serve()
        stage.arrive(20)
        assert stage.dispatcher.waiting == 4

        stage.supervisor.stop(quick=False)
        assert told(worker) == []

        stage.spawner.takes(worker)
        assert stage.dispatcher.waiting == 0
        assert told(worker) == [], "the last four are on their way, and might come back"

        stage.spawner.takes(worker)
        assert told(worker) == [GRACEFUL]

    def test_worker_dies_while_connections_wait(self, stages: Any) -> None:
        """With nobody left to take them, the stop goes on without them."""
        stage = stages(workers=1)
        (worker,) = stage.serve()
        stage.arrive(20)
        end = End(stage.supervisor.stop(quick=False))
        stage.spawner.exits(worker, signal=signal.SIGKILL)

        assert end.over

    def test_worker_does_not_leave(self, stage: Stage) -> None:
        """Past the graceful time-out it is told to leave now; if it does not hear, it is killed two seconds later."""
        worker, *others = stage.serve()
        end = End(stage.supervisor.stop(quick=False))
        for other in others:
            stage.spawner.exits(other)
        stage.clock.advance(29.9)
        assert told(worker) == [GRACEFUL]

        stage.clock.advance(0.2)
        assert told(worker) == [GRACEFUL, QUICK]
        assert process(worker).signals == []

        stage.clock.advance(2)
        assert process(worker).signals == [signal.SIGKILL]

        stage.spawner.exits(worker)
        assert end.over
        assert stage.clock.getDelayedCalls() == []

    def test_connections_are_never_taken(self, stages: Any) -> None:
        """A frozen worker holds up the end no longer than the graceful time-out and two seconds."""
        stage = stages(workers=1)
        (worker,) = stage.serve()
        stage.arrive(20)
        stage.supervisor.stop(quick=False)
        stage.clock.advance(30)
        assert told(worker) == [QUICK]

        stage.clock.advance(2)
        assert process(worker).signals == [signal.SIGKILL]

    def test_worker_dies_meanwhile(self, stage: Stage) -> None:
        """It is not replaced, nor waited for."""
        workers = stage.serve()
        end = End(stage.supervisor.stop(quick=False))
        for worker in workers:
            stage.spawner.exits(worker, signal=signal.SIGSEGV)

        assert end.over
        assert len(stage.spawner.spawned) == 3

    def test_worker_drained_already(self, stage: Stage) -> None:
        """It is told that the server stops: what it would hand back has nowhere to go."""
        worker = stage.serve()[0]
        stage.spawner.leaves(worker)
        stage.supervisor.stop(quick=False)

        assert told(worker) == [GRACEFUL]

    def test_worker_waits_for_its_back_off(self, stage: Stage) -> None:
        """There is nobody to wait for."""
        stage.serve()
        stage.spawner.exits(stage.ready[0], code=1)
        stage.spawner.exits(stage.newest, code=1)
        end = End(stage.supervisor.stop(quick=False))
        for worker in stage.spawner.alive:
            stage.spawner.exits(worker)

        assert end.over
        assert stage.clock.getDelayedCalls() == []

    def test_asked_twice(self, stage: Stage) -> None:
        """The second time changes nothing."""
        worker = stage.serve()[0]
        first = stage.supervisor.stop(quick=False)
        assert stage.supervisor.stop(quick=False) is first
        assert told(worker) == [GRACEFUL]

    def test_scaled_meanwhile(self, stage: Stage) -> None:
        """Nothing is spawned."""
        stage.serve()
        stage.supervisor.stop(quick=False)
        stage.supervisor.scale(+3)

        assert len(stage.spawner.spawned) == 3


class TestQuick:
    def test_workers_are_told(self, stage: Stage) -> None:
        """Each is told to leave now."""
        workers = stage.serve()
        stage.supervisor.stop(quick=True)

        assert [told(worker) for worker in workers] == [[QUICK]] * 3

    def test_worker_does_not_hear(self, stage: Stage) -> None:
        """It is killed after two seconds."""
        worker = stage.serve()[0]
        stage.supervisor.stop(quick=True)
        stage.clock.advance(1.9)
        assert process(worker).signals == []

        stage.clock.advance(0.2)
        assert process(worker).signals == [signal.SIGKILL]

    def test_connections_wait(self, stages: Any) -> None:
        """They are not waited for."""
        stage = stages(workers=1)
        (worker,) = stage.serve()
        stage.arrive(20)
        stage.supervisor.stop(quick=True)

        assert told(worker) == [QUICK]

    def test_graceful_stop_is_hurried(self, stage: Stage) -> None:
        """A quick stop in the middle of a graceful one tells everybody to leave now; both end together."""
        workers = stage.serve()
        first = End(stage.supervisor.stop(quick=False))
        stage.supervisor.stop(quick=True)
        assert [told(worker) for worker in workers] == [[GRACEFUL, QUICK]] * 3

        for worker in workers:
            stage.spawner.exits(worker)
        assert first.over
        assert stage.clock.getDelayedCalls() == []

    def test_quick_stop_is_hurried(self, stage: Stage) -> None:
        """The second quick stop kills."""
        worker = stage.serve()[0]
        stage.supervisor.stop(quick=True)
        stage.supervisor.stop(quick=True)

        assert process(worker).signals == [signal.SIGKILL]

    def test_graceful_after_quick(self, stage: Stage) -> None:
        """It is too late for that."""
        worker = stage.serve()[0]
        stage.supervisor.stop(quick=True)
        stage.supervisor.stop(quick=False)

        assert told(worker) == [QUICK]


class TestEarly:
    def test_before_the_start(self, stage: Stage) -> None:
        """There is nothing to end."""
        assert End(stage.supervisor.stop(quick=False)).over
        assert stage.clock.getDelayedCalls() == []

    def test_during_the_first_boot(self, stage: Stage) -> None:
        """The worker is killed, as it has nothing to finish; its death is not fatal, and nobody follows it."""
        stage.supervisor.start()
        end = End(stage.supervisor.stop(quick=False))
        assert process(stage.newest).signals == [signal.SIGKILL]

        stage.spawner.exits(stage.newest)
        assert end.over
        assert stage.fatal == []
        assert len(stage.spawner.spawned) == 1

    def test_first_worker_is_ready_in_the_same_moment(self, stage: Stage) -> None:
        """Its word comes too late: serving does not begin, and the others do not boot."""
        stage.supervisor.start()
        stage.supervisor.stop(quick=False)
        stage.spawner.ready(stage.newest)

        assert stage.readies == 0
        assert len(stage.spawner.spawned) == 1

    def test_during_a_reload(self, stage: Stage) -> None:
        """The new worker that boots is killed, the others finish."""
        old = stage.serve()
        stage.supervisor.reload()
        end = End(stage.supervisor.stop(quick=False))
        assert process(stage.newest).signals == [signal.SIGKILL]
        assert [told(worker) for worker in old] == [[GRACEFUL]] * 3

        for worker in stage.spawner.alive:
            stage.spawner.exits(worker)
        assert end.over
        assert len(stage.spawner.spawned) == 4

    def test_after_a_fatal_boot(self, stage: Stage) -> None:
        """It is over at once."""
        stage.supervisor.start()
        stage.spawner.exits(stage.newest, code=1)

        assert End(stage.supervisor.stop(quick=True)).over
        assert stage.clock.getDelayedCalls() == []
