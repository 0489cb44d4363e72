"""All refusals are counted, a limited number is logged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.logger import capturedLogs, formatEvent

from twistcorn.errors import HTTPError
from twistcorn.wire.scoreboard import W_ERRORS, Scoreboard
from twistcorn.worker.http.refusals import LINES_PER_SECOND, Refusals


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    made = Scoreboard.create(1, 1)
    yield made
    made.close()


def told(board: Scoreboard, refusals: Refusals, *moments: float, peer: str = "192.0.2.1") -> list[str | None]:
    """The log lines of refusals at these moments."""
    with capturedLogs() as events:
        for now in moments:
            refusals.log_refusal(peer, HTTPError(400, "malformed request line"), now)
    return [formatEvent(event) for event in events]


def test_request_is_refused(board: Scoreboard) -> None:
    """One line says who and why."""
    refusals = Refusals(board, board.worker_base(0))

    assert told(board, refusals, 5.0) == ["refused request from 192.0.2.1: 400 malformed request line"]
    assert told(board, refusals, 5.0, peer="") == [
        "refused request from a UNIX socket client: 400 malformed request line"
    ]


def test_flood_of_bad_requests(board: Scoreboard) -> None:
    """A limited number of lines per second, and later how many were left out; all of them count."""
    refusals = Refusals(board, board.worker_base(0))
    assert len(told(board, refusals, *[5.0] * 100)) == LINES_PER_SECOND

    assert told(board, refusals, 6.0)[0] == f"refused {100 - LINES_PER_SECOND} more requests"
    assert len(told(board, refusals, 7.0)) == 1
    assert board.words[board.worker_base(0) + W_ERRORS] == 102
