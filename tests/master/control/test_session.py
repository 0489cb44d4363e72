"""The claims of twistcorn.master.control.session: lines in, lines out, whatever comes."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel, capturedLogs

from tests.master.control.test_orders import JSON, NEARLY
from tests.master.reception import THREADS, Line, Reception
from tests.master.stage import Stage
from twistcorn.master.control.orders import ControlRequest
from twistcorn.master.control.session import Session
from twistcorn.wire.control import MAX_REQUEST

GET = b'{"command": "get"}\n'
GOT = {"ok": True, "result": [THREADS]}
RELOAD = b'{"command": "reload"}\n'


@pytest.fixture
def reception(stage: Stage) -> Reception:
    """Three workers that serve."""
    stage.serve()
    return Reception(stage)


class TestLines:
    def test_several_at_once(self, reception: Reception) -> None:
        """Each is answered, in their order."""
        session, line = reception.connect()
        session.dataReceived(GET + b"nonsense\n" + GET)
        assert [answer["ok"] for answer in line.answers] == [True, False, True]

    def test_in_pieces(self, reception: Reception) -> None:
        """A line counts when it is whole."""
        session, line = reception.connect()
        for number in range(len(GET)):
            assert line.answers == []
            session.dataReceived(GET[number : number + 1])
        assert line.answer == GOT

    def test_one_after_the_other(self, reception: Reception) -> None:
        """While one has no answer yet the next one waits."""
        session, line = reception.connect()
        session.dataReceived(RELOAD + GET)
        assert line.answers == []
        reception.stage.boot_all()
        assert [answer["ok"] for answer in line.answers] == [True, True]

    def test_client_says_no_more(self, reception: Reception) -> None:
        """What it asked is answered, then the connection ends."""
        session, line = reception.connect()
        session.dataReceived(RELOAD)
        session.readConnectionLost()
        assert not line.disconnecting
        reception.stage.boot_all()
        assert line.answer["ok"]
        assert line.disconnecting

    def test_client_is_gone_before_the_answer(self, reception: Reception) -> None:
        """Nobody is told, and nothing is wrong."""
        session, line = reception.connect()
        session.dataReceived(RELOAD + GET)
        session.connectionLost()
        reception.stage.boot_all()
        assert line.answers == []
        assert reception.gone == [session]


class TestTooLong:
    @pytest.mark.parametrize("data", [b"x" * MAX_REQUEST, b'"' + b"x" * MAX_REQUEST + b'"\n'])
    def test_a_line(self, reception: Reception, data: bytes) -> None:
        """Nobody knows where it ends: it is refused, and the connection is over."""
        session, line = reception.connect()
        session.dataReceived(data)
        assert line.answer["error"].startswith("request too long")
        assert line.disconnecting
        session.dataReceived(GET)
        assert line.answers == []

    def test_the_longest_one(self, reception: Reception) -> None:
        """A request of exactly so many bytes is one."""
        session, line = reception.connect()
        session.dataReceived(GET.rstrip().ljust(MAX_REQUEST - 1) + b"\n")
        assert line.answer == GOT

    def test_more_than_can_wait(self, reception: Reception) -> None:
        """Who sends on and on while he is not answered is not read any more until he is; then all is answered."""
        session, line = reception.connect()
        many = MAX_REQUEST // len(GET) + 1
        session.dataReceived(RELOAD + GET * many)
        assert line.producerState == "paused"
        assert line.answers == []
        reception.stage.boot_all()
        assert [answer["ok"] for answer in line.answers] == [True] * (1 + many)
        assert line.producerState == "producing"
        assert not line.disconnecting

    def test_more_behind_what_has_no_end(self, reception: Reception) -> None:
        """It would never be answered: it is refused, and the connection is over."""
        session, line = reception.connect()
        session.dataReceived(b'{"command": "watch"}\n' + GET * (MAX_REQUEST // len(GET) + 1))
        assert [answer["ok"] for answer in line.answers] == [True, False]
        assert line.disconnecting


class TestSlowReader:
    def test_it_asks_on(self, reception: Reception) -> None:
        """No further request is taken before it has read."""
        session, line = reception.connect()
        session.pauseProducing()
        session.dataReceived(GET * 3)
        assert line.answers == []
        session.resumeProducing()
        assert line.answers == [GOT] * 3

    def test_it_follows(self, reception: Reception) -> None:
        """Lines are left out, and the next one says how many."""
        session, line = reception.connect()
        session.dataReceived(b'{"command": "logs", "follow": true}\n')
        session.pauseProducing()
        event: dict[str, Any] = {"log_time": 1.0, "log_format": "event", "log_level": None}
        for _ in range(3):
            reception.recent(event)
        assert line.answer == {"ok": True, "result": []}
        session.resumeProducing()
        reception.recent(event)
        assert line.answer["dropped"] == 3
        reception.recent(event)
        assert "dropped" not in line.answer

    @pytest.mark.parametrize("full", [False, True])
    def test_the_server_ends(self, reception: Reception, full: bool) -> None:
        """What was said is sent, but nobody waits for who does not read."""
        session, line = reception.connect()
        if full:
            session.pauseProducing()
        session.close()
        assert line.disconnecting
        assert line.producer is None
        assert line.aborted is full


def test_who_stops_the_server(reception: Reception) -> None:
    """It is known: that connection ends with the process."""
    session, _ = reception.connect()
    session.dataReceived(b'{"command": "stop"}\n')
    assert session.stops


def test_a_mistake_of_ours(reception: Reception) -> None:
    """It is logged, the client is told that, and the connection goes on."""

    class Wrong:
        def do(self, request: ControlRequest) -> object:
            raise ZeroDivisionError

    session, line = reception.connect(Wrong())  # type: ignore[arg-type]
    with capturedLogs() as logged:
        session.dataReceived(GET * 2)
    assert line.answers == [{"ok": False, "error": "internal error; see the server log"}] * 2
    assert [event["log_level"] for event in logged] == [LogLevel.critical] * 2


class TestFuzz:
    """Any bytes: each line has one answer, nothing is changed but by a whole request, and nothing is logged."""

    @settings(suppress_health_check=list(HealthCheck), max_examples=1000)
    @given(data=st.binary(max_size=300).map(lambda data: data + b"\n"), cuts=st.lists(st.integers(0, 300), max_size=3))
    def test_bytes(self, data: bytes, cuts: list[int]) -> None:
        check(data, cuts)

    @settings(suppress_health_check=list(HealthCheck), max_examples=1000)
    @given(
        lines=st.lists((JSON | NEARLY).map(lambda value: json.dumps(value).encode() + b"\n"), min_size=1, max_size=4),
        cuts=st.lists(st.integers(0, 300), max_size=3),
    )
    def test_json(self, lines: list[bytes], cuts: list[int]) -> None:
        check(b"".join(lines), cuts)


class Counter:
    """In the place of a clerk: notes what came through, all of which must be whole."""

    def __init__(self) -> None:
        self.done: list[ControlRequest] = []

    def do(self, request: ControlRequest) -> object:
        self.done.append(request)
        return None

    def follow(self, request: ControlRequest, tell: object) -> None:
        return None


def check(data: bytes, cuts: list[int]) -> None:
    """Send data in pieces and look at the answers."""
    counter, line, gone = Counter(), Line(), list[Session]()
    session = Session(counter, gone.append)  # type: ignore[arg-type]
    session.makeConnection(line)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    with capturedLogs() as logged:
        for start, end in pairwise(places):
            session.dataReceived(data[start:end])
    answers = line.answers

    assert len(answers) == data.count(b"\n")
    assert sum(answer["ok"] for answer in answers) == len(counter.done)
    assert all(answer["ok"] or set(answer) == {"ok", "error"} for answer in answers)
    assert not logged
    assert not line.disconnecting
