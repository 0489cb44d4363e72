"""What a client gets on the wire: for each case of the corpus its answers, and at most one refusal behind them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from twistcorn.wire.scoreboard import W_ERRORS, W_REQUESTS

from .cases import NEXT, Case
from .corpus import CASES
from .served import Served

pytestmark = pytest.mark.usefixtures("mode")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Says nothing but which request it was."""
    start_response("200 OK", [("X-Target", environ["RAW_URI"]), ("Content-Length", "0")])
    return []


ROWS = [pytest.param(case, id=case.name) for case in CASES if not case.outcome.waits]


@pytest.mark.parametrize("case", ROWS)
def test_client_sends_a_case_and_a_request(case: Case) -> None:
    """Every request in front is answered in order, a refusal is the last word, and behind it there is only the end."""
    served = Served(app, case.settings)
    client = served.connect()
    try:
        served.send(client, case.data)
        with contextlib.suppress(BrokenPipeError):
            # Who has said that this is the last request finds the connection closed.
            served.send(client, NEXT)
        got = client.answers(*(request.method for request in case.outcome.requests))
        assert [answer.status for answer in got[: len(case.outcome.requests)]] == [200] * len(
            case.outcome.requests
        )
        last = got[len(case.outcome.requests) :]
        if case.outcome.open:
            assert [answer["X-Target"] for answer in last] == [["/next"]]
            assert not client.closed
        else:
            assert client.closed
            assert got[-1]["Connection"] == ["close"]
        if case.outcome.refused:
            assert [answer.status for answer in last] == [got[-1].status]
            assert got[-1].status in case.outcome.refused
        assert served.count(W_ERRORS) == bool(case.outcome.refused)
        assert served.count(W_REQUESTS) == len(case.outcome.requests) + case.outcome.open
    finally:
        served.close()
