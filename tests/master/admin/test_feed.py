"""The claims of twistcorn.master.admin.feed: everybody who watches gets the same events, and nobody is waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.master.visitors import House, Visitor
from twistcorn.master.admin.feed import MAX_READERS, STALLED_READER_SECONDS, event
from twistcorn.wire.scoreboard import SlotState


@pytest.fixture
def house() -> Iterator[House]:
    """A server with one ready worker."""
    made = House(workers=1)
    made.run()
    yield made
    made.close()


def watch(house: House) -> Visitor:
    """Somebody opens the page."""
    visitor = house.visitor()
    visitor.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return visitor


def note(made: list[str]) -> Callable[[str, object], bytes]:
    """Makes events, and notes their names."""

    def make(name: str, value: object) -> bytes:
        made.append(name)
        return b"event: x\n\n"

    return make


def test_format() -> None:
    """An event is two lines and an empty one; what is in a text cannot end it."""
    assert event("said", {"text": "a\n\nevent: forged\r\n"}) == (
        b'event: said\ndata: {"text":"a\\n\\nevent: forged\\r\\n"}\n\n'
    )


def test_first_look(house: House) -> None:
    """All of it comes at once."""
    visitor = watch(house)

    assert b"Content-Type: text/event-stream\r\n" in visitor.transport.value()
    assert [name for name, _ in visitor.events()] == ["recent", "snapshot"]
    snapshot = visitor.events()[1][1]
    assert [worker["state"] for worker in snapshot["workers"]] == ["ready"]
    assert snapshot["status"]["state"] == "serving"


def test_each_second(house: House) -> None:
    """A snapshot a second, with the numbers of that second; the past only when something happened."""
    visitor = watch(house)
    house.pass_by(2)
    house.spawner.exits(house.ready[0], code=1)
    house.boot_all()
    house.pass_by(1)

    names = [name for name, _ in visitor.events()]
    assert names == ["recent", "snapshot", "snapshot", "snapshot", "recent", "snapshot"]
    last = visitor.events()[-2][1]
    assert [(end["worker"], "died" in end["text"] or end["cause"] != "") for end in last["ended"]] == [(1, True)]
    assert visitor.events()[-1][1]["workers"][0]["worker"] == 2


def test_what_runs(house: House) -> None:
    """Requests that run are told with method, path and age, whatever the path is made of."""
    (connection,) = house.arrive(1)
    house.writes(connection, SlotState.IN_APP, head=b"GET /<script>\"'&\xff", thread=1)
    connection.holder = house.ready[0]
    (doing,) = watch(house).events()[1][1]["workers"][0]["doing"]

    assert doing["request"] == "GET /<script>\"'&\xff"
    assert doing["age"] >= 0


def test_nobody_watches(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is made for anybody."""
    made: list[str] = []
    monkeypatch.setattr("twistcorn.master.admin.endpoint.event", note(made))
    house.pass_by(3)

    assert made == []


def test_all_get_the_same(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event is made once, however many there are."""
    visitors = [watch(house) for _ in range(5)]
    made: list[str] = []
    monkeypatch.setattr("twistcorn.master.admin.endpoint.event", note(made))
    house.pass_by(1)

    assert made == ["snapshot"]
    assert all(visitor.transport.value().endswith(b"event: x\n\n\r\n") for visitor in visitors)


def test_too_many(house: House) -> None:
    """One more than there may be is told so; when somebody leaves there is room."""
    visitors = [watch(house) for _ in range(MAX_READERS)]
    refused = house.get("/events")
    assert (refused.status, refused.body) == (503, "too many readers of the event feed\n")

    visitors[3].leave()
    assert [name for name, _ in watch(house).events()] == ["recent", "snapshot"]


class TestSlowReader:
    @pytest.fixture
    def slow(self, house: House) -> Visitor:
        """Whose connection takes nothing more."""
        visitor = watch(house)
        visitor.producer.pauseProducing()
        visitor.transport.clear()
        return visitor

    def test_misses_events(self, house: House, slow: Visitor) -> None:
        """Nothing piles up; and when it takes something again, it gets what is so then."""
        house.pass_by(5)
        assert slow.transport.value() == b""

        slow.producer.resumeProducing()
        house.pass_by(1)
        assert len(slow.events()) <= 1
        assert b"event: snapshot" in slow.transport.value()

    def test_is_dropped(self, house: House, slow: Visitor) -> None:
        """After a while; others go on."""
        other = watch(house)
        house.pass_by(STALLED_READER_SECONDS + 2)

        assert slow.transport.aborted
        assert not other.transport.aborted
        slow.leave()
        house.pass_by(1)
