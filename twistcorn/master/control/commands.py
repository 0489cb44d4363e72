"""Carries out the requests of the control socket.

Law: requests arrive checked (`orders`); `operations` knows what can be done, and whether it can be done now. A refusal
is an `OperationError`. No sockets here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from ...errors import OperationError
from ...wire import amp_commands
from .orders import ControlRequest
from .recent import Recent

if TYPE_CHECKING:
    # It imports ampoule, which imports a reactor.
    from .operations import Operations

#: For a worker to report its stacks: it takes milliseconds, unless something holds its interpreter lock.
STACK_SECONDS = 2.0
#: Interval of the snapshots of `watch`.
WATCH_SECONDS = 1.0

JSON = dict[str, Any]


#: The summary of a boot error of several lines, which follow it.
NEW_CODE_FAILS = "the new code does not boot"


class ControlCommands:
    """One method for each command.

    :param operations: returns the operations; None before the server serves and after its end.
    :param recent: the latest log events; None in an embedding program.
    :param stop: stops the program; its argument: whether at once. None in an embedding program.
    """

    def __init__(
        self,
        clock: Any,
        operations: Callable[[], Operations | None],
        recent: Recent | None = None,
        stop: Callable[[bool], None] | None = None,
    ) -> None:
        self._clock = clock
        self._operations = operations
        self._recent = recent
        self._stop = stop

    def do(self, request: ControlRequest) -> Any:
        """Carry out a request.

        :return: the answer as plain values, or a Deferred that fires with it.
        :raises OperationError: refused, and nothing has changed. A Deferred fails with it.
        """
        return getattr(self, f"_do_{request.command}")(**request.arguments)

    def follow(self, request: ControlRequest, tell: Callable[[object], None]) -> Callable[[], None] | None:
        """Send updates for a command whose answer has no end; returns a function that ends them, else None."""
        if request.command == "watch":
            watching = LoopingCall(lambda: tell(self._serving().insight.snapshot()))
            watching.clock = self._clock
            # A server that stops has nothing left to show.
            watching.start(WATCH_SECONDS, now=False).addErrback(lambda failure: failure.trap(OperationError))
            return lambda: watching.stop() if watching.running else None
        if request.command == "logs" and request.arguments["follow"] and self._recent is not None:
            return self._recent.follow(lambda entry: tell([entry]))
        return None

    def _serving(self) -> Operations:
        operations = self._operations()
        if operations is None:
            raise OperationError("the server is still starting, or already stopping")
        return operations

    def _do_status(self) -> JSON:
        return self._serving().insight.status()

    def _do_workers(self) -> list[JSON]:
        return self._serving().insight.workers()

    def _do_connections(self) -> list[JSON]:
        return self._serving().insight.connections()

    def _do_snapshot(self) -> JSON:
        return self._serving().insight.snapshot()

    _do_watch = _do_snapshot

    def _do_reload(self) -> Deferred[JSON]:
        operations = self._serving()

        def over(problem: str) -> JSON:
            if "\n" in problem:
                raise OperationError(f"reload cancelled: {NEW_CODE_FAILS}", problem)
            if problem:
                raise OperationError(f"reload cancelled: {problem}")
            last = operations.insight.last_reload()
            assert last is not None
            return {name: last[name] for name in ("generation", "took", "needs_restart")}

        return operations.reload().addCallback(over)

    def _do_scale(self, workers: int) -> JSON:
        return {"workers": self._serving().scale(workers)}

    def _do_drain(self, worker: int) -> JSON:
        self._serving().drain(worker)
        return {"worker": worker}

    def _do_recycle(self, worker: int) -> JSON:
        self._serving().recycle(worker)
        return {"worker": worker}

    def _do_stack(self, worker: int) -> Deferred[JSON]:
        """The stacks of all threads of a worker; without an answer, only what the scoreboard says it is doing."""
        operations = self._serving()
        process = operations.worker(worker).process
        if process is None:
            raise OperationError(f"worker {worker} has no process")
        answer: Deferred[Any] = process.ask(amp_commands.Stack)
        answer.addTimeout(STACK_SECONDS, self._clock)
        gone = OperationError(f"worker {worker} has exited")

        def silent(failure: Failure) -> None:
            if not failure.check(TimeoutError):
                failure.trap(ConnectionDone)
                raise gone

        def with_what_it_does(text: str | None) -> JSON:
            seen = next((each for each in operations.insight.workers() if each["worker"] == worker), None)
            if seen is None:
                raise gone
            return {"worker": worker, "pid": seen["pid"], "stack": text, "doing": seen["doing"]}

        answer.addCallbacks(lambda box: box["text"], silent)
        return answer.addCallback(with_what_it_does)

    def _do_get(self, name: str) -> Any:
        changeable: Any = self._serving()
        return changeable.get(name)

    def _do_set(self, name: str, value: str) -> Any:
        changeable: Any = self._serving()
        return changeable.set(name, value)

    def _do_logs(self, count: int, follow: bool) -> list[JSON]:
        if self._recent is None:
            raise OperationError("the server is embedded in another program: see that program's log")
        return self._recent.last(count)

    def _do_stop(self, quick: bool) -> JSON:
        if self._stop is None:
            raise OperationError("the server is embedded in another program: stop that program")
        # After the answer is sent.
        self._clock.callLater(0, self._stop, quick)
        return {"quick": quick}
