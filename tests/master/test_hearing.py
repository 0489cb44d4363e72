"""The claims of twistcorn.master.hearing: when a worker that serves must go, on a stage with fake channels."""

from __future__ import annotations

import struct

import pytest
from twisted.logger import capturedLogs

from tests.master.stage import Desk, process
from twistcorn.master.hearing import GRACE, why_deaf


def test_acknowledgements_wait_in_its_channel(desk: Desk) -> None:
    """They are read before it is judged."""
    worker = desk.worker()
    desk.arrive(1)
    for second in range(1, 5):
        if second == 3:
            desk.spawner.takes(worker)
        assert why_deaf(worker, second, float(second)) == ""


def test_nothing_is_acknowledged(desk: Desk) -> None:
    """The words say for how long."""
    worker = desk.worker()
    desk.arrive(1)
    whys = [why_deaf(worker, second, float(second)) for second in range(1, 4)]
    assert whys[:2] == ["", ""]
    assert "acknowledged no connection for 2.0 s" in whys[2]


def test_channel_breaks(desk: Desk) -> None:
    """A worker that is dying has a moment; one that lives on is ended."""
    worker = desk.worker()
    worker.channel_failed = 10.0
    assert why_deaf(worker, 1, 10.0 + GRACE / 2) == ""
    assert "channel is broken" in why_deaf(worker, 2, 10.1 + GRACE)


@pytest.mark.parametrize("data", [b"x", b"\xff" * 16, struct.pack("=I", 7)], ids=["short", "no kind", "odd"])
def test_report_cannot_be_understood(desk: Desk, data: bytes) -> None:
    """It is the worker's end and nobody else's; nothing is raised into the reactor."""
    worker, other = desk.workers(2)
    desk.clock.advance(1)
    with capturedLogs() as told:
        desk.dispatcher.reported(worker, data)
    assert worker.channel_failed > 0
    assert len([event for event in told if "log_failure" in event]) == 1
    desk.arrive(1)
    assert (len(process(worker).lends), len(process(other).lends)) == (0, 1)
