"""The claims of twistcorn.console.screen: everything fits, what counts is there, nothing else reaches a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.console.seen import doing, ended, snapshot, worker
from twistcorn.console.screen import KEYS, Row, plain, render, share
from twistcorn.console.view import Action, Question, View


def texts(rows: list[Row]) -> list[str]:
    """What is on the screen."""
    return [row.text.rstrip() for row in rows]


def test_a_screen() -> None:
    """The server, its workers, what runs, what died, the keys."""
    seen = snapshot(
        worker(1, doing("GET /slow", 2.5)), worker(2, doing("GET /a", 0.1), requests=200), worker(3, requests=400),
        deaths=(ended(at=700.0), ended("ordered", "worker 4 is gone"), ended(text="worker 5 died\nits stack")),
    )  # fmt: skip
    before = snapshot(worker(1), worker(2), worker(3), uptime=198.0)
    rows = render(seen, before, 110, 24, View(selected=2))

    assert texts(rows) == [
        "twistcorn 1.2  pid 77  serving  shop:app  http://127.0.0.1:8000  up 3m20s",
        "200/s  threads [#####---------------] 6/24 25%  queue 1  connections 12 (4 parked)",
        "workers 3 of 3 ready  generation 1  loop 1 ms late  reload: none so far",
        "",
        "WORKER   PID  GEN  STATE    AGE  BUSY  CONN      RSS  REQUESTS   RATE  DOING",
        "     1  1001    1  ready  1m00s   1/8     2  1.0 MiB       100    0/s  GET /slow for 2.5 s",
        "     2  1002    1  ready  2m00s   1/8     2  2.0 MiB       200   50/s  GET /a for 100 ms",
        "     3  1003    1  ready  3m00s   0/8     2  3.0 MiB       400  150/s  -",
        "",
        "running now, oldest first",
        " 2.5 s  worker 1  GET /slow",
        "100 ms  worker 2  GET /a",
        "",
        "ended of late",
        "1m40s ago  worker 5 died",
        "5m00s ago  worker 9 (pid 9) died: SIGSEGV",
        *[""] * 7,
        f"{KEYS}  [by worker]",
    ]
    assert [row.text[:6].strip() for row in rows if row.style == "reverse"] == ["WORKER", "2"]


@pytest.mark.parametrize(
    ("view", "foot"),
    [
        (View(question=Question("scale from 3 to 4", Action("scale", {}))), "scale from 3 to 4? y to confirm"),
        (View(message="the server is \x1b[2Jstopping"), "the server is ?[2Jstopping  q quit"),
        (View(paused=True, order="rss"), "PAUSED  q quit"),
    ],
)
def test_the_foot(view: View, foot: str) -> None:
    """A question, what became of the last action, or that nothing moves."""
    assert texts(render(snapshot(), None, 120, 20, view))[-1].startswith(foot)


def test_trouble_is_at_the_top() -> None:
    """Paused recycling and requests that kill."""
    rows = texts(render(snapshot(recycling_paused=True, quarantine={"GET /x": 3.0}), None, 200, 20, View()))
    assert "recycling paused: workers do not boot  quarantine: GET /x" in rows[2]


def test_requests_that_wait() -> None:
    """In the master, and in workers that have more than threads."""
    rows = texts(render(snapshot(worker(1, busy=11)), None, 120, 20, View()))
    assert "queue 4" in rows[1]


def test_more_workers_than_rows() -> None:
    """The selected one is among those that are shown."""
    seen = snapshot(*(worker(number) for number in range(1, 101)))
    for selected in (1, 50, 100):
        rows = render(seen, None, 100, 20, View(selected=selected))
        (chosen,) = [row.text.split()[0] for row in rows[5:-1] if row.style == "reverse"]
        assert chosen == str(selected)


HEADS = st.text(max_size=300)


@given(
    heads=st.lists(HEADS, max_size=12), text=HEADS, width=st.integers(1, 250), height=st.integers(1, 80),
    count=st.integers(0, 40), selected=st.none() | st.integers(0, 45),
)  # fmt: skip
def test_any_size(
    heads: list[str], text: str, width: int, height: int, count: int, selected: int | None
) -> None:
    """The screen is filled to its last row, never more, and each character is printable ASCII."""
    workers = [worker(number, *map(doing, heads if number == 0 else [])) for number in range(count)]
    seen = {**snapshot(deaths=(ended(text=text),)), "workers": workers}
    rows = render(seen, None, width, height, View(selected=selected, message=text))

    assert len(rows) == height
    assert all(len(row.text) <= width for row in rows)
    assert all(row.text.isascii() and row.text.isprintable() for row in rows)


@given(room=st.integers(-5, 80), workers=st.integers(0, 99), running=st.integers(0, 99), ended=st.integers(0, 50))
def test_rows_are_shared(room: int, workers: int, running: int, ended: int) -> None:
    """Nobody gets more than he has, all together not more than there is, and workers come first."""
    shares = share(room, workers, running, ended)
    assert all(0 <= got <= wanted for got, wanted in zip(shares, (workers, running, ended), strict=True))
    titles = 2 * (shares[1] > 0) + 2 * (shares[2] > 0)
    assert sum(shares) + titles <= max(0, room)
    assert shares[0] == workers or shares[1] <= 5


def test_without_a_screen() -> None:
    """All of it, once."""
    lines = plain(snapshot(worker(1, doing("GET /slow", 2.5)), deaths=(ended(),)))
    assert lines[0] == "twistcorn 1.2, pid 77: serving shop:app for 3m20s"
    assert "2.5 s  worker 1  GET /slow" in lines
    assert lines[-1].endswith("died: SIGSEGV")
    assert "running now, oldest first" not in plain(snapshot())
