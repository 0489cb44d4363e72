"""The operator's verbs, for the control socket and the admin page.

Law: checks each request and has the supervisor carry it out. A refusal is an `OperationError` and changes nothing.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from ...errors import OperationError
from ...policy.worker import Outdated, Worker, WorkerState
from ...syntax import MAX_WORKERS
from ..metrics.insight import Insight
from ..workers.supervisor import Supervisor


class Operations:
    """The verbs.

    :ivar insight: what can be seen.
    """

    def __init__(self, supervisor: Supervisor, insight: Insight) -> None:
        self._supervisor = supervisor
        self.insight = insight

    def reload(self) -> Deferred[str]:
        """Reload settings and application; fires with nothing, or with why it did not go through."""
        return self._supervisor.reload()

    def scale(self, number: int) -> int:
        """Set the worker target; returns it, within the bounds."""
        self._check_serving()
        if not 1 <= number <= MAX_WORKERS:
            raise OperationError(f"invalid value {number} for workers: expected a whole number from 1 to {MAX_WORKERS}")
        self._supervisor.scale(number - self._supervisor.target)
        return self._supervisor.target

    def get(self, name: str = "") -> list[dict[str, str]]:
        """What counts now, of one option or of all: its name and value, where that comes from, when a change counts."""
        return self._supervisor.tuning.get(name)

    def set(self, name: str, value: str) -> dict[str, str]:
        """Change an option at once and until the server ends; returns what `get` says then.

        :raises SettingsError: the value is not allowed.
        """
        if self._supervisor.state == "stopping":
            raise OperationError("the server is stopping")
        return self._supervisor.tuning.set(name, value)

    def drain(self, ident: int) -> None:
        """Have a worker hand everything back and go now; it is replaced meanwhile."""
        self._supervisor.fleet.drain(self._serving_worker(ident))

    def recycle(self, ident: int) -> None:
        """Have a worker replaced: it goes when its replacement is ready."""
        self._supervisor.fleet.outdate(self._serving_worker(ident), Outdated.ASKED)

    def worker(self, ident: int) -> Worker:
        """The worker with a number."""
        worker = self._supervisor.workers.get(ident)
        if worker is None:
            known = ", ".join(map(str, sorted(self._supervisor.workers))) or "none"
            raise OperationError(f"no worker {ident}; known workers: {known}")
        return worker

    def _serving_worker(self, ident: int) -> Worker:
        self._check_serving()
        worker = self.worker(ident)
        if worker.state is not WorkerState.READY:
            raise OperationError(f"worker {ident} is {worker.state.value}, not ready")
        return worker

    def _check_serving(self) -> None:
        if self._supervisor.state != "serving":
            raise OperationError(f"the server is {self._supervisor.state}")
