"""The operator's verbs, for the control socket and the admin page.

Law: checks, then has the supervisor act. A refusal is an `OperationError` and changes nothing.
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

    :ivar insight: the read-only view of the server.
    """

    def __init__(self, supervisor: Supervisor, insight: Insight) -> None:
        self._supervisor = supervisor
        self.insight = insight

    def reload(self) -> Deferred[str]:
        """Reload settings and application; fires with an empty text, or with why the reload was cancelled."""
        return self._supervisor.reload()

    def scale(self, number: int) -> int:
        """Set the worker target; returns it as the bounds of --workers allow it."""
        self._check_serving()
        if not 1 <= number <= MAX_WORKERS:
            raise OperationError(f"invalid value {number} for workers: expected a whole number from 1 to {MAX_WORKERS}")
        self._supervisor.scale(number - self._supervisor.target)
        return self._supervisor.target

    def get(self, name: str = "") -> list[dict[str, str]]:
        """The settings in effect, one or all: name, value, origin, and when a change takes effect."""
        return self._supervisor.tuning.get(name)

    def set(self, name: str, value: str) -> dict[str, str]:
        """Change an option at once, until the server ends; returns its new entry of `get`.

        :raises SettingsError: the value is invalid.
        """
        if self._supervisor.state == "stopping":
            raise OperationError("the server is stopping")
        return self._supervisor.tuning.set(name, value)

    def drain(self, ident: int) -> None:
        """Have a worker return its connections and exit now; its replacement boots meanwhile."""
        self._supervisor.fleet.drain(self._serving_worker(ident))

    def recycle(self, ident: int) -> None:
        """Replace a worker: it exits when its replacement is ready."""
        self._supervisor.fleet.outdate(self._serving_worker(ident), Outdated.ASKED)

    def worker(self, ident: int) -> Worker:
        """The worker with a number."""
        worker = self._supervisor.workers.get(ident)
        if worker is None:
            known = ", ".join(map(str, sorted(self._supervisor.workers))) or "none"
            raise OperationError(f"no worker {ident}; workers: {known}")
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
