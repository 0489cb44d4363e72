"""The claims of twistcorn.worker.wsgi.quarantined: which requests are quarantined, how long, and what clients get."""

from __future__ import annotations

import pytest

from tests.http.cases import DEFAULTS
from tests.http.served import Served
from tests.worker.apps import app
from twistcorn.wire.scoreboard import HEAD_ROOM
from twistcorn.worker.wsgi.quarantined import QuarantinedRequests

A, B = "GET /a", "POST /a"


class Hand:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def quarantine(hand: Hand) -> QuarantinedRequests:
    return QuarantinedRequests(hand)


class TestNames:
    def test_nobody(self, quarantine: QuarantinedRequests) -> None:
        """There is no entry, so that a request costs nothing."""
        assert not quarantine.until
        assert quarantine.left(A) == 0

    @pytest.mark.parametrize(("passed", "left"), [(0.0, 11), (0.5, 10), (9.5, 1), (9.999, 1), (10.0, 0), (99.0, 0)])
    def test_time_passes(self, quarantine: QuarantinedRequests, hand: Hand, passed: float, left: int) -> None:
        """Whole seconds, never 0 during the quarantine: a client that waits for them is served."""
        quarantine.set({A: 10.0})
        hand.now += passed

        assert quarantine.left(A) == left

    def test_others(self, quarantine: QuarantinedRequests) -> None:
        """Another method, or path, is another request."""
        quarantine.set({A: 10.0})

        assert (quarantine.left(B), quarantine.left("GET /a/b")) == (0, 0)

    def test_it_is_over(self, quarantine: QuarantinedRequests, hand: Hand) -> None:
        """There is no entry again; asked again, it says the same."""
        quarantine.set({A: 10.0})
        hand.now += 10.0

        assert (quarantine.left(A), quarantine.left(A), quarantine.until) == (0, 0, {})

    def test_two_threads_see_the_end_at_once(self, quarantine: QuarantinedRequests, hand: Hand) -> None:
        """Both serve their requests."""
        quarantine.set({A: 10.0})
        others: list[int] = []

        def late() -> float:
            # While one thread asks for the time, another one finds the same.
            quarantine._now = lambda: 110.0
            others.append(quarantine.left(A))
            return 110.0

        quarantine._now = late
        assert (quarantine.left(A), others) == (0, [0])

    def test_master_sends_a_new_quarantine(self, quarantine: QuarantinedRequests) -> None:
        """What it does not name any more is served."""
        quarantine.set({A: 10.0})
        quarantine.set({B: 10.0})

        assert (quarantine.left(A), quarantine.left(B)) == (0, 11)

    def test_path_is_longer_than_the_scoreboard_has_room_for(self, quarantine: QuarantinedRequests) -> None:
        """The master knows its beginning, and that is what counts."""
        name = "GET /" + "x" * 500
        quarantine.set({name[:HEAD_ROOM]: 10.0})

        assert quarantine.left(name) == 11


def test_request_in_quarantine(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with the time to wait, the application is not called, and the connection goes on."""
    kept_out = QuarantinedRequests(lambda: 0.0)
    monkeypatch.setattr("twistcorn.worker.wsgi.app_server.QuarantinedRequests", lambda: kept_out)
    called: list[str] = []

    def application(environ: dict[str, object], start_response: object) -> object:
        called.append(str(environ["REQUEST_METHOD"]))
        return app([b"hello"])(environ, start_response)  # type: ignore[arg-type]

    served = Served(application, DEFAULTS)  # type: ignore[arg-type]
    kept_out.set({"GET /poison": 30.0})
    client = served.connect()
    served.send(client, b"GET /poison?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    served.send(client, b"POST /poison HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    first, second = client.answers()
    served.close()

    assert (first.status, first["Retry-After"]) == (503, ["31"])
    assert (second.status, second.body, called) == (200, b"hello", ["POST"])
