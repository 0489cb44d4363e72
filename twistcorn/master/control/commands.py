"""Carries out the commands of the control socket.

Law: a request comes checked (`orders`); `operations` decides whether it can be done now. A refusal is an
`OperationError`. Nothing here knows of sockets.
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
    # It brings ampoule, and with that a reactor.
    from .operations import Operations

#: Seconds for a worker to return its stacks: it needs milliseconds, unless a call holds its interpreter lock.
STACK_SECONDS = 2.0
#: Between two snapshots of `watch`.
WATCH_SECONDS = 1.0

JSON = dict[str, Any]


#: One line for the error; the worker's own text becomes the detail.
NEW_CODE_FAILS = "the code on disk fails to boot"


class ControlCommands:
    """Knows how each command is done.

    :param operations: what can be asked now; None while the server starts or is gone.
    :param recent: the log's latest events; None where the log is another program's.
    :param stop: stops the program; None where the program is another's. Its argument: whether at once.
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
        """Do it.

        :return: the answer as plain values, or a Deferred that fires with it.
        :raises OperationError: it cannot be done, and nothing was changed. A Deferred fails with it.
        """
        return getattr(self, f"_do_{request.command}")(**request.arguments)

    def follow(self, request: ControlRequest, tell: Callable[[object], None]) -> Callable[[], None] | None:
        """Follow a command whose answer has no end; returns the function that ends that, None for other commands."""
        if request.command == "watch":
            watching = LoopingCall(lambda: tell(self._serving().insight.snapshot()))
            watching.clock = self._clock
            # A server that stops has nothing to show any more.
            watching.start(WATCH_SECONDS, now=False).addErrback(lambda failure: failure.trap(OperationError))
            return lambda: watching.stop() if watching.running else None
        if request.command == "logs" and request.arguments["follow"] and self._recent is not None:
            return self._recent.follow(lambda entry: tell([entry]))
        return None

    def _serving(self) -> Operations:
        operations = self._operations()
        if operations is None:
            raise OperationError("the server is starting or stopping")
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
            seen = operations.insight.snapshot()
            last = seen["status"]["reload"]["last"]
            if "\n" in problem:
                raise OperationError(NEW_CODE_FAILS, problem)
            if problem:
                raise OperationError(problem)
            return {"generation": seen["status"]["generation"], "took": last["took"]}

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
        """The stacks of all threads of a worker; for an unresponsive one, the requests on the scoreboard."""
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
            raise OperationError("not available: the log belongs to the program that embeds this server")
        return self._recent.last(count)

    def _do_stop(self, quick: bool) -> JSON:
        if self._stop is None:
            raise OperationError("not available: the server is embedded; stop the program that embeds it")
        # When the answer is on its way.
        self._clock.callLater(0, self._stop, quick)
        return {"quick": quick}
