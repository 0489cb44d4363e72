"""The claims of twistcorn.master.selftest, and what becomes of connections where the kernel does not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from twisted.logger import capturedLogs

from tests.master.fake_sockets import Sockets
from tests.master.stage import process, tcp, texts
from twistcorn.errors import BootError
from twistcorn.master import selftest
from twistcorn.master.assembly import Assembly
from twistcorn.master.sockets import tcp_info
from twistcorn.policy.abilities import ESSENTIAL, Ability
from twistcorn.policy.redo import Facts
from twistcorn.settings import Settings
from twistcorn.wire.scoreboard import FRAMED, S_WRITTEN0, SlotState

if TYPE_CHECKING:
    from tests.master.stage import Desk


def test_this_kernel() -> None:
    """It can do all of it: the tests of the redo log run on it."""
    assert selftest.missing() == []


@pytest.mark.parametrize("ability", Ability)
def test_trial_fails(ability: Ability) -> None:
    """What does not work, or cannot be tried, is missing, and nothing else."""

    def broken() -> bool:
        raise OSError

    assert selftest.missing({**selftest.TRIALS, ability: lambda: False}) == [ability]
    assert selftest.missing({**selftest.TRIALS, ability: broken}) == [ability]


def test_kernel_that_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros pass for counts nowhere, nor does an old structure that is too short for them."""
    for facts in (Facts(True, False, 0, 0, 0), Facts(True, False, 0, None, None)):
        monkeypatch.setattr(tcp_info, "facts", lambda sock, facts=facts: facts)
        assert selftest.missing() == [Ability.COUNTS]


@pytest.mark.parametrize("ability", Ability)
def test_server_starts_or_says_why_not(ability: Ability, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an essential one it does not start; without another it does, and knows."""
    monkeypatch.setattr(selftest, "missing", lambda: [ability])
    monkeypatch.setattr("twistcorn.master.workers.supervisor.Supervisor.start", lambda self: None)
    assembly = Assembly(Sockets(), Settings())
    # None is bound.
    assembly.listeners = []
    fatal: list[BootError] = []
    with capturedLogs() as logged:
        assembly.start(lambda: None, fatal.append)
    if ability in ESSENTIAL:
        assert [ability.value in str(error) for error in fatal] == [True]
        assert assembly.supervisor is None
    else:
        assert fatal == []
        assert sum(ability.value in text for text in texts(logged)) == 1
        assert assembly.dispatcher.recovery.counts is (ability is Ability.RESET)
    assembly.stop(quick=True)


class TestWithoutCounts:
    """A worker dies on a kernel whose counts are not to be trusted."""

    @pytest.mark.parametrize("state", [SlotState.IN_APP, SlotState.RESPONDING])
    def test_request_that_an_application_saw(self, desk: Desk, state: SlotState) -> None:
        """It never runs again, also where it could: 502, or its connection ends."""
        desk.dispatcher.recovery.counts = False
        dying, other = desk.workers(2)
        (connection,) = desk.arrive(1, tcp)
        desk.client(0).sendall(b"GET / HTTP/1.1\r\n\r\n")
        desk.writes(connection, state, FRAMED)
        desk.board.words[desk.board.slot_base(connection.slot) + S_WRITTEN0] = 0
        desk.spawner.exits(dying, signal=9)
        assert process(other).lends == []
        answer = desk.client(0).recv(1000)
        assert answer.startswith(b"HTTP/1.1 502 ") if state is SlotState.IN_APP else answer == b""

    @pytest.mark.parametrize("state", [SlotState.IDLE, SlotState.READING])
    def test_request_that_no_application_saw(self, desk: Desk, state: SlotState) -> None:
        """Another worker gets it."""
        desk.dispatcher.recovery.counts = False
        dying, other = desk.workers(2)
        (connection,) = desk.arrive(1, tcp)
        desk.client(0).sendall(b"POST / HTTP/1.1\r\n\r\n")
        desk.writes(connection, state)
        desk.spawner.exits(dying, signal=9)
        assert [lend.slot for lend in process(other).lends] == [connection.slot]
