"""What the hostile tests compare with: an application that does nothing to its process."""

from __future__ import annotations

from tests.hostile.conftest import HEALTHY, Serve


def test_an_application_that_does_nothing_is_served(serve: Serve) -> None:
    """The suite's own application answers with the pid of its worker."""
    server = serve(HEALTHY).ready()
    assert int(server.get("/")) == server.worker_pids[0]
