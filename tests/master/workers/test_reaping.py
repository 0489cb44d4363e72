"""Who reaps whom: what Twisted has started is Twisted's, everything else is taken."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from twisted.internet import process

from twistcorn.master.workers.reaping import reap


class Started:
    """A process that Twisted has started, as its table has it."""

    def __init__(self, pid: int, reaps: bool = True) -> None:
        self.pid, self.reaps, self.status = pid, reaps, -1

    def reapProcess(self) -> None:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid and self.reaps:
            del process.reapProcessHandlers[pid]
            self.status = status


def ended(code: int) -> int:
    """A child that has ended, and lies there."""
    pid = os.fork()
    if not pid:
        os._exit(code)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def lies_there(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    except ChildProcessError:
        return False


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, object]]:
    """Twisted's table, empty before and after."""
    table: dict[int, object] = {}
    monkeypatch.setattr(process, "reapProcessHandlers", table)
    yield table
    assert table == {}


@pytest.mark.usefixtures("known")
def test_no_child() -> None:
    """There is nothing to do."""
    reap()


@pytest.mark.usefixtures("known")
def test_orphans() -> None:
    """All that have ended are reaped at once."""
    pids = [ended(0) for _ in range(5)]
    reap()
    assert not any(map(lies_there, pids))


@pytest.mark.parametrize("first", [True, False])
def test_beside_one_of_twisteds(known: dict[int, object], first: bool) -> None:
    """Whichever the kernel shows first: Twisted's own gets its exit code, and the orphan is reaped."""
    orphan = 0 if first else ended(1)
    started = Started(ended(3))
    known[started.pid] = started
    orphan = orphan or ended(1)
    reap()
    assert os.waitstatus_to_exitcode(started.status) == 3
    assert not lies_there(orphan)


def test_one_that_twisted_does_not_reap(known: dict[int, object]) -> None:
    """It is left, and nobody loops for it."""
    started = Started(ended(0), reaps=False)
    known[started.pid] = started
    reap()
    del known[started.pid]
