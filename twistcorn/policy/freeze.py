"""A worker without a heartbeat: which thread holds the interpreter lock, and for how long it may. Pure.

Law: values in, values out. A call into C that keeps the lock is a fault only when it delays a client: it has the
time-out of its request while no other client waits for the worker, and the heartbeat's time-out while one does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .redo import UNTOUCHED, Log

#: After this part of the heartbeat time-out the threads' CPU time is first read, and waiting clients are searched.
FIRST_CHECK_SHARE = 0.4
#: After this part of it the worker is replaced, gets no more connections, and the computing thread writes its stack.
SUSPICION_SHARE = 0.6
#: The part of a process's time that one thread must have had between two counts. A thread that waits for the lock wakes
#: every 5 ms and looks (sys.setswitchinterval), which is less than a hundredth of a processor.
HOLDER_SHARE = 0.8
#: Ticks (10 ms) of CPU time below which no thread counts as computing.
MIN_TICKS = 2


class Task(NamedTuple):
    """One thread, as the kernel counts it (proc_pid_stat(5)).

    :ivar state: its letter; `ticks`: clock ticks of processor time that it has had.
    """

    state: str
    ticks: int


def parse_task(stat: str) -> Task:
    """A line of /proc/PID/task/TID/stat; the name in it, in parentheses, may hold anything.

    :raises ValueError, IndexError: it is no such line.
    """
    fields = stat.rpartition(")")[2].split()
    return Task(fields[0], int(fields[11]) + int(fields[12]))


def computing(before: Mapping[int, Task], after: Mapping[int, Task]) -> int | None:
    """The id of the only thread that used the CPU between two counts; None where it was none, or several.

    Without a heartbeat it is the one that holds the lock: no other thread can run Python code.
    """
    spent = {thread: task.ticks - before[thread].ticks for thread, task in after.items() if thread in before}
    total = sum(spent.values())
    if total < MIN_TICKS:
        return None
    thread, most = max(spent.items(), key=lambda each: each[1])
    return thread if most >= HOLDER_SHARE * total else None


def is_stopped(tasks: Mapping[int, Task]) -> bool:
    """Whether the process is stopped, by SIGSTOP or a debugger: then no request is to blame."""
    return bool(tasks) and all(task.state in "Tt" for task in tasks.values())


@dataclass
class Freeze:
    """The state of a worker without a heartbeat.

    :ivar tasks: its threads when they were counted last; `stopped`: see `is_stopped`.
    :ivar asked: whether a thread was signalled to write the stacks; `alone`: whether only one thread computes.
    :ivar heard: the stacks.
    :ivar thread: which one holds the lock, as Python numbers threads (`get_ident`); None: that is not known.
    :ivar searched: when waiting clients were last searched for; `since`: since when a client has waited, None when none
        does. Seconds.
    :ivar status: what the client of the guilty request is answered (RFC 9110 section 15.6).
    """

    tasks: Mapping[int, Task] = field(default_factory=dict)
    stopped: bool = False
    asked: bool = False
    alone: bool = False
    heard: str = ""
    thread: int | None = None
    searched: float = float("-inf")
    since: float | None = None
    status: int = 502


def is_kept_waiting(log: Log, unread: int, thread: int, holder: int | None, repeated: Collection[str]) -> bool:
    """Whether a frozen worker keeps a client waiting whom another worker would serve if this one were dead.

    :param unread: bytes of the client's that wait; `thread`: of its request, 0 when none runs it.
    :param holder: the thread that holds the lock, where that is known.
    :param repeated: the methods that may run again.
    """
    if not unread or log.consumed:
        return False
    if log.state in UNTOUCHED:
        return True
    return log.state == "IN_APP" and holder is not None and thread != holder and log.method in repeated


class FreezeLimits(NamedTuple):
    """How long is too long, in seconds.

    :ivar heartbeat: without a heartbeat; `request`: for a request, 0: no limit.
    """

    heartbeat: float
    request: float


class Look(NamedTuple):
    """What a look at a frozen worker has found. Times are seconds.

    :ivar still: seconds without a heartbeat.
    :ivar stopped: see `is_stopped`.
    :ivar age: of the request that holds the lock, or of the oldest where that is not known; None: no request runs.
    :ivar waits: for how long a client has waited that another worker would serve; None: none does.
    :ivar crowded: whether replaced frozen workers outnumber the worker target.
    """

    still: float
    stopped: bool = False
    age: float | None = None
    waits: float | None = None
    crowded: bool = False


def verdict(look: Look, limits: FreezeLimits) -> tuple[str, int]:
    """Why the worker is to be killed now, empty when it is not; and the status for the guilty request."""
    if not 0 < limits.heartbeat < look.still:
        return "", 502
    text = f"unresponsive for more than {limits.heartbeat:g} s"
    if look.stopped or look.age is None:
        return text, 502
    if 0 < limits.request < look.age:
        return f"{text}, with a request over its --request-timeout", 504
    if look.waits is not None and look.waits > limits.heartbeat:
        return f"{text}, while other requests waited for it", 502
    if look.crowded:
        return f"{text}, as too many other workers were", 502
    return "", 502
