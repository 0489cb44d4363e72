"""Bytes of a head that a worker took and gave back: kept with the connection, lent along, counted at a death."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.master.stage import Desk, process, tcp
from twistcorn.master.sockets import tcp_info
from twistcorn.policy.worker import Worker
from twistcorn.wire.channel import CARRIES, Kind, Report
from twistcorn.wire.scoreboard import S_CONSUMED0, SlotState, pack_state

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


def carried(desk: Desk) -> tuple[Worker, Worker]:
    """One connection, whose first worker took a part of a head and gave it back; it is with the second one."""
    first, second = desk.workers(2)
    (connection,) = desk.arrive(1, tcp)
    desk.spawner.takes(first)
    desk.client(0).sendall(HEAD)
    assert tcp_info.discard(connection.sock, len(HEAD)) == len(HEAD)
    desk.dispatcher.dismiss(first)
    (lend,) = process(first).lends
    desk.spawner.reports(first, Report(Kind.CARRIED, lend.slot, lend.sequence, HEAD))
    return first, second


def test_bytes_are_lent_along(desk: Desk) -> None:
    """The next worker gets what the first one took, and the request begins where it began."""
    _, second = carried(desk)
    (lend,) = process(second).lends
    assert (lend.flags, lend.carried) == (CARRIES, HEAD)
    assert desk.board.read_slot(lend.slot).consumed0 == 0


def test_worker_that_has_them_dies(desk: Desk) -> None:
    """The master has the bytes, so the connection goes on: nothing was lost."""
    _, second = carried(desk)
    desk.spawner.takes(second)
    (third,) = desk.workers(1)
    desk.spawner.exits(second, signal=9)
    (lend,) = process(third).lends
    assert lend.carried == HEAD
    assert desk.board.read_slot(lend.slot).consumed0 == 0


def test_worker_that_took_more_dies(desk: Desk) -> None:
    """What it took besides nobody has: 502, as for any request of which a part is gone."""
    _, second = carried(desk)
    desk.spawner.takes(second)
    (lend,) = process(second).lends
    desk.client(0).sendall(b"X: a")
    (connection,) = desk.table
    tcp_info.discard(connection.sock, 4)
    words, base = desk.board.words, desk.board.slot_base(lend.slot)
    words[base] = pack_state(SlotState.READING, 0, lend.sequence)
    desk.spawner.exits(second, signal=9)
    assert desk.client(0).recv(1000).startswith(b"HTTP/1.1 502 ")


def test_request_was_answered(desk: Desk) -> None:
    """With its answer the bytes are done with: the next lend carries nothing."""
    _, second = carried(desk)
    desk.spawner.takes(second)
    (lend,) = process(second).lends
    desk.board.words[desk.board.slot_base(lend.slot) + S_CONSUMED0] = len(HEAD) + 2
    (third,) = desk.workers(1)
    desk.dispatcher.dismiss(second)
    desk.spawner.releases(second, lend)
    (again,) = process(third).lends
    assert (again.flags, again.carried) == (0, b"")


def test_too_much_is_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes beyond the bound is answered 503."""
    monkeypatch.setattr("twistcorn.master.sockets.table.MAX_CARRIED_BYTES", len(HEAD) - 1)
    _, second = carried(desk)
    assert process(second).lends == []
    assert desk.client(0).recv(1000).startswith(b"HTTP/1.1 503 ")
