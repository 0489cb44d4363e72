"""Errors of the master's own in one connection: that one is told and ends, and whoever reads or looks goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.logger import capturedLogs

from tests.master.sockets.test_parking import park
from tests.master.stage import Desk, process, tcp
from twistcorn.master.sockets import backlog as waiting
from twistcorn.master.sockets import tcp_info
from twistcorn.master.sockets.parking import SWEEP_SECONDS


def once(real: Callable[..., Any]) -> Callable[..., Any]:
    """Raises the first time."""
    calls: list[None] = []

    def call(*args: Any, **more: Any) -> Any:
        calls.append(None)
        if len(calls) == 1:
            raise ZeroDivisionError
        return real(*args, **more)

    return call


def test_idle_connection_that_asks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed; one that asks in the same moment, and one that asks later, are lent."""
    park(desk, 3)
    monkeypatch.setattr(tcp_info, "facts", once(tcp_info.facts))
    with capturedLogs() as told:
        for number in (0, 1):
            desk.client(number).sendall(b"GET")
        desk.clock.turn()
        desk.client(2).sendall(b"GET")
        desk.clock.turn()
    (worker,) = desk.dispatcher.workers
    assert len(process(worker).lends) == 2
    assert len([event for event in told if "log_failure" in event]) == 1


def test_idle_connection_whose_time_is_over(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others whose time is over end as well, and the next look comes."""
    park(desk, 3, left=-1.0)
    parking: Any = desk.dispatcher.parking
    monkeypatch.setattr(parking, "_close", once(parking._close))
    with capturedLogs() as told:
        desk.clock.advance(SWEEP_SECONDS)
    assert len(parking) == 0
    assert len([event for event in told if "log_failure" in event]) == 1
    assert [desk.client(number).recv(1) for number in range(3)] == [b""] * 3


def test_connection_that_waits_for_a_worker(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits on, as the others do, and all are lent to the worker that comes."""
    desk.arrive(3, tcp)
    monkeypatch.setattr(tcp_info, "facts", once(tcp_info.facts))
    with capturedLogs() as told:
        desk.clock.advance(waiting.SWEEP_SECONDS)
    assert desk.dispatcher.waiting == 3
    assert len([event for event in told if "log_failure" in event]) == 1
    assert len(process(desk.worker()).lends) == 3
