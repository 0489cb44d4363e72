"""The master's record of one worker, and its state machine.

Law: every state, event and transition of a worker is in the table of this file. `step` answers for each
(state, event); the effects it names are carried out by the supervisor. A timer belongs to a state: entering a state
starts the timer of `TIMERS`, leaving it cancels it. No clock, process or socket is touched here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from .blame import NOBODY, Blame
from .freeze import Freeze
from .health import Pulse
from .hearing import UNHEARD, Hearing
from .progress import Progress


class WorkerState(enum.Enum):
    """Where a worker is in its life; it is finishing when the server stops, and takes connections until it may go."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    FINISHING = "finishing"
    STOPPING = "stopping"
    WAITING = "waiting"
    GONE = "gone"


#: In which connections are lent to a worker.
TAKING = (WorkerState.READY, WorkerState.FINISHING)
#: In which a worker has requests.
SERVING = (WorkerState.READY, WorkerState.DRAINING, WorkerState.FINISHING)
#: In which a worker is on its way out.
LEAVING = (WorkerState.DRAINING, WorkerState.FINISHING, WorkerState.STOPPING)


class Event(enum.Enum):
    """What can happen to a worker."""

    BOOTED = "booted"
    BOOT_FAILED = "boot failed"
    RETIRE = "retire"
    LEAVING = "leaving"
    STOP = "stop"
    QUIT = "quit"
    KILL = "kill"
    TIMEOUT = "timeout"
    EXITED = "exited"


class Outdated(enum.Enum):
    """Why a worker is replaced. The first reasons go first; the generation stands for a reload."""

    FROZEN = "unresponsive"
    STUCK = "stuck request"
    FULL = "out of file descriptors"
    INTERRUPTED = "interrupted request, which may have left a lock held"
    ASKED = "requested by an operator"
    SPENT = "recycling limit reached"


class Effect(enum.Enum):
    """What the supervisor does because of a transition."""

    ADMIT = "lend it connections from now on"
    READMIT = "lend it connections again"
    ORDER_DRAIN = "order: hand back all connections, then leave"
    ORDER_STOP = "order: answer what comes, close what is idle, leave when the master says that nothing more comes"
    ORDER_QUIT = "order: leave now"
    KILL = "SIGKILL"
    FORGET = "take it out of the pool"
    RESPAWN = "fill the pool up again"


_S, _E, _F = WorkerState, Event, Effect

#: (state, event) -> (next state, effects in order). Every pair has an answer.
TRANSITIONS: dict[tuple[WorkerState, Event], tuple[WorkerState, tuple[Effect, ...]]] = {
    (_S.STARTING, _E.BOOTED): (_S.READY, (_F.ADMIT,)),
    # It leaves by itself; should it not, the boot timer still runs.
    (_S.STARTING, _E.BOOT_FAILED): (_S.STARTING, ()),
    (_S.STARTING, _E.RETIRE): (_S.STOPPING, (_F.KILL,)),
    (_S.STARTING, _E.LEAVING): (_S.STARTING, ()),
    (_S.STARTING, _E.STOP): (_S.STOPPING, (_F.KILL,)),
    (_S.STARTING, _E.QUIT): (_S.STOPPING, (_F.KILL,)),
    (_S.STARTING, _E.KILL): (_S.STOPPING, (_F.KILL,)),
    (_S.STARTING, _E.TIMEOUT): (_S.STARTING, (_F.KILL,)),
    (_S.STARTING, _E.EXITED): (_S.WAITING, ()),
    (_S.READY, _E.BOOTED): (_S.READY, ()),
    (_S.READY, _E.BOOT_FAILED): (_S.READY, ()),
    (_S.READY, _E.RETIRE): (_S.DRAINING, (_F.ORDER_DRAIN,)),
    (_S.READY, _E.LEAVING): (_S.DRAINING, (_F.FORGET, _F.RESPAWN)),
    (_S.READY, _E.STOP): (_S.FINISHING, (_F.ORDER_STOP,)),
    (_S.READY, _E.QUIT): (_S.STOPPING, (_F.ORDER_QUIT,)),
    (_S.READY, _E.KILL): (_S.STOPPING, (_F.KILL,)),
    (_S.READY, _E.TIMEOUT): (_S.READY, ()),
    (_S.READY, _E.EXITED): (_S.GONE, (_F.FORGET, _F.RESPAWN)),
    (_S.DRAINING, _E.BOOTED): (_S.DRAINING, ()),
    (_S.DRAINING, _E.BOOT_FAILED): (_S.DRAINING, ()),
    # It leaves by itself, and waits whether the server stops before it hands anything back.
    (_S.DRAINING, _E.RETIRE): (_S.DRAINING, (_F.ORDER_DRAIN,)),
    (_S.DRAINING, _E.LEAVING): (_S.DRAINING, ()),
    # No other worker is left to take the connections that were given back.
    (_S.DRAINING, _E.STOP): (_S.FINISHING, (_F.ORDER_STOP, _F.READMIT)),
    (_S.DRAINING, _E.QUIT): (_S.STOPPING, (_F.ORDER_QUIT,)),
    (_S.DRAINING, _E.KILL): (_S.STOPPING, (_F.KILL,)),
    (_S.DRAINING, _E.TIMEOUT): (_S.STOPPING, (_F.KILL,)),
    (_S.DRAINING, _E.EXITED): (_S.GONE, (_F.FORGET,)),
    (_S.FINISHING, _E.BOOTED): (_S.FINISHING, ()),
    (_S.FINISHING, _E.BOOT_FAILED): (_S.FINISHING, ()),
    (_S.FINISHING, _E.RETIRE): (_S.FINISHING, ()),
    # The signal went to all processes: no other worker is left to take its connections.
    (_S.FINISHING, _E.LEAVING): (_S.FINISHING, ()),
    (_S.FINISHING, _E.STOP): (_S.FINISHING, ()),
    (_S.FINISHING, _E.QUIT): (_S.STOPPING, (_F.ORDER_QUIT,)),
    (_S.FINISHING, _E.KILL): (_S.STOPPING, (_F.KILL,)),
    (_S.FINISHING, _E.TIMEOUT): (_S.STOPPING, (_F.KILL,)),
    (_S.FINISHING, _E.EXITED): (_S.GONE, (_F.FORGET,)),
    (_S.STOPPING, _E.BOOTED): (_S.STOPPING, ()),
    (_S.STOPPING, _E.BOOT_FAILED): (_S.STOPPING, ()),
    (_S.STOPPING, _E.RETIRE): (_S.STOPPING, ()),
    (_S.STOPPING, _E.LEAVING): (_S.STOPPING, ()),
    (_S.STOPPING, _E.STOP): (_S.STOPPING, ()),
    (_S.STOPPING, _E.QUIT): (_S.STOPPING, (_F.KILL,)),
    (_S.STOPPING, _E.KILL): (_S.STOPPING, (_F.KILL,)),
    (_S.STOPPING, _E.TIMEOUT): (_S.STOPPING, (_F.KILL,)),
    (_S.STOPPING, _E.EXITED): (_S.GONE, (_F.FORGET,)),
    (_S.WAITING, _E.BOOTED): (_S.WAITING, ()),
    (_S.WAITING, _E.BOOT_FAILED): (_S.WAITING, ()),
    (_S.WAITING, _E.RETIRE): (_S.GONE, (_F.FORGET,)),
    (_S.WAITING, _E.LEAVING): (_S.WAITING, ()),
    (_S.WAITING, _E.STOP): (_S.GONE, (_F.FORGET,)),
    (_S.WAITING, _E.QUIT): (_S.GONE, (_F.FORGET,)),
    (_S.WAITING, _E.KILL): (_S.GONE, (_F.FORGET,)),
    (_S.WAITING, _E.TIMEOUT): (_S.GONE, (_F.FORGET, _F.RESPAWN)),
    (_S.WAITING, _E.EXITED): (_S.WAITING, ()),
    **{(_S.GONE, event): (_S.GONE, ()) for event in Event},
}

#: The timer that runs while a worker is in a state: the name of the setting, or of the supervisor's own delay.
TIMERS: dict[WorkerState, str] = {
    WorkerState.STARTING: "boot_timeout",
    WorkerState.DRAINING: "graceful_timeout",
    WorkerState.FINISHING: "graceful_timeout",
    WorkerState.STOPPING: "kill_timeout",
    WorkerState.WAITING: "back_off",
}


def step(state: WorkerState, event: Event) -> tuple[WorkerState, tuple[Effect, ...]]:
    """The next state and the effects of an event."""
    return TRANSITIONS[state, event]


@dataclass(eq=False)
class Worker:
    """One worker from the master's point of view.

    :ivar ident: its number, never used again.
    :ivar region: its place on the scoreboard, used again after it is gone.
    :ivar generation: which reload it belongs to; 1 is the first.
    :ivar process: the live process, its channel and its AMP, for the effects (`master.process.WorkerProcess`).
    :ivar busy: requests in it, as the scoreboard said last.
    :ivar connections: connections that it holds.
    :ivar unacknowledged: lends that it has not reported as taken yet.
    :ivar timer: the running timer of its state.
    :ivar was_ready: whether it ever got ready; `ready_at`: when it did.
    :ivar killed: why the master killed it, empty when it did not.
    :ivar boot_error: what it said about an application that cannot be loaded.
    :ivar outdated: why it is to be replaced, None when it is not; it serves on until its replacement is ready.
    :ivar acknowledged: lends that it has reported as taken; `hearing`: what is known of that.
    :ivar channel_failed: since when its channel is broken, in seconds; 0: it is not.
    :ivar full: whether it has sent a connection back for want of a file descriptor.
    :ivar stuck: requests that it cannot end: slot, and since when the request runs.
    :ivar interrupted: whether a request in it was; `progress`: what it has done since.
    :ivar pulse: what is known of its heartbeat.
    :ivar freeze: what is known of it while it has no heartbeat; None while it has one.
    :ivar rss: bytes of memory at the last check.
    :ivar chance: a random number from 0 up to 1, for jitter.
    :ivar blame: what it died of.
    """

    ident: int
    region: int
    generation: int
    process: Any
    born: float = 0.0
    pid: int = 0
    state: WorkerState = WorkerState.STARTING
    busy: int = 0
    connections: int = 0
    unacknowledged: int = 0
    timer: Any = field(default=None, repr=False)
    was_ready: bool = False
    ready_at: float = 0.0
    acknowledged: int = 0
    hearing: Hearing = UNHEARD
    channel_failed: float = 0.0
    full: bool = False
    killed: str = ""
    boot_error: str = ""
    outdated: Outdated | None = None
    stuck: dict[int, int] = field(default_factory=dict)
    interrupted: bool = False
    progress: Progress = field(default_factory=Progress)
    pulse: Pulse = field(default_factory=Pulse)
    freeze: Freeze | None = None
    rss: int = 0
    chance: float = 0.0
    blame: Blame = NOBODY

    @property
    def lasting(self) -> Outdated | None:
        """Why it is replaced even if it responds again; None: no reason."""
        if self.stuck:
            return Outdated.STUCK
        if self.interrupted:
            return Outdated.INTERRUPTED
        return Outdated.FULL if self.full else None
