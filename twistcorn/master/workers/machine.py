"""The effects and timers of a worker's state machine.

Law: the transitions, and the timer of each state, are in `policy.worker`; nothing is decided here.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from ...policy.worker import TAKING, TIMERS, Effect, Event, Outdated, Worker, WorkerState, step
from ...wire import amp_commands
from ..sockets.dispatcher import Dispatcher

#: What a worker has not done when the time of its state is over.
_OVERDUE = {
    WorkerState.STARTING: "app not imported within --boot-timeout {}",
    WorkerState.DRAINING: "not drained within --graceful-timeout {}",
    WorkerState.FINISHING: "requests not finished within --graceful-timeout {}",
    WorkerState.STOPPING: "no exit within {} of the order to stop",
}


class Pace(Protocol):
    """Decides how long a state lasts, and fills the pool (`fleet.Fleet`)."""

    def delay(self, state: WorkerState) -> float:
        """Seconds that a worker may be in a state."""

    def admits(self, worker: Worker) -> bool:
        """Whether a worker that got ready takes connections at once."""

    def forget(self, worker: Worker) -> None:
        """A worker counts no longer."""

    def fill(self) -> None:
        """Bring the pool to its number."""


class Machine:
    """Carries out what `policy.worker.step` says.

    :param on_gone: called when a worker is no more.
    """

    def __init__(
        self, clock: IReactorTime, dispatcher: Dispatcher, pace: Pace, on_gone: Callable[[Worker], None]
    ) -> None:
        self._clock = clock
        self._dispatcher = dispatcher
        self._pace = pace
        self._on_gone = on_gone

    def handle(self, worker: Worker, event: Event) -> None:
        """Something happened to a worker."""
        state, effects = step(worker.state, event)
        if state is not worker.state:
            self._stop_timer(worker)
            worker.state = state
            self.start_timer(worker)
        for effect in effects:
            self._carry_out(effect, worker)

    def start_timer(self, worker: Worker) -> None:
        """Start the timer of a worker's state."""
        delay = self._pace.delay(worker.state) if worker.state in TIMERS else None
        # A boot may take for ever, if the operator says 0, as with Gunicorn.
        if delay is not None and (delay or worker.state is not WorkerState.STARTING):
            worker.timer = self._clock.callLater(delay, self._timed_out, worker)

    def retime(self, worker: Worker, difference: float) -> None:
        """Move the deadline of a worker's state by some seconds."""
        limited = self._pace.delay(worker.state) or worker.state is not WorkerState.STARTING
        if difference == 0:
            return
        if worker.timer is None or not limited:
            # There was no limit, or is none now.
            self._stop_timer(worker)
            self.start_timer(worker)
        else:
            worker.timer.reset(max(0.0, worker.timer.getTime() - self._clock.seconds() + difference))

    def _timed_out(self, worker: Worker) -> None:
        worker.timer = None
        if worker.state is not WorkerState.WAITING and not worker.killed:
            worker.killed = _OVERDUE[worker.state].format(f"{self._pace.delay(worker.state):g} s")
        if worker.state is WorkerState.STOPPING:
            self.start_timer(worker)
        self.handle(worker, Event.TIMEOUT)

    def _stop_timer(self, worker: Worker) -> None:
        if worker.timer is not None:
            worker.timer.cancel()
            worker.timer = None

    def _carry_out(self, effect: Effect, worker: Worker) -> None:
        if effect is Effect.ADMIT:
            if self._pace.admits(worker):
                self._dispatcher.admit(worker)
        elif worker.process is None and effect not in (Effect.FORGET, Effect.RESPAWN):
            # It was never started; there is no process to order.
            return
        elif effect is Effect.READMIT:
            if worker.outdated is not Outdated.FROZEN:
                self._dispatcher.admit(worker)
        elif effect is Effect.ORDER_DRAIN:
            worker.process.order(amp_commands.Drain)
        elif effect is Effect.ORDER_STOP:
            worker.process.order(amp_commands.Stop, quick=False)
        elif effect is Effect.ORDER_QUIT:
            worker.process.order(amp_commands.Stop, quick=True)
        elif effect is Effect.KILL:
            worker.process.kill(signal.SIGKILL)
        elif effect is Effect.FORGET:
            self._pace.forget(worker)
            if worker.state is WorkerState.GONE:
                self._on_gone(worker)
        elif effect is Effect.RESPAWN:
            self._pace.fill()
        if worker.state not in TAKING:
            self._dispatcher.dismiss(worker)
