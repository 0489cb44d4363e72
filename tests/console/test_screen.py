"""The claims of twistcorn.console.screen: everything fits, what counts is there, nothing else reaches a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.console.seen import doing, ended, snapshot, worker
from twistcorn.console.screen import Row, plain, render, share
from twistcorn.console.view import Action, Question, View

KEYS = "q quit  r sort: worker  p pause  +/- scale  R reload  up/down select  c recycle"


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
        "twistcorn 1.2  pid 77  serving  up 3m20s  shop:app  http://127.0.0.1:8000",
        "requests 200/s, errors 0.5/s, p99 34 ms (last 10 s)  memory 180 MiB",
        "threads [#####---------------] 6/24 25%  queue 1  connections 12 (4 parked)",
        "workers 3 of 3 ready  generation 1  loop lag 1.0 ms  reload: none yet",
        "",
        "WORKER   PID  GEN  STATE    AGE  BUSY  CONN      RSS  REQUESTS   RATE  DOING",
        "     1  1001    1  ready  1m00s   1/8     2  1.0 MiB       100    0/s  2.5 s GET /slow",
        "     2  1002    1  ready  2m00s   1/8     2  2.0 MiB       200   50/s  100 ms GET /a",
        "     3  1003    1  ready  3m00s   0/8     2  3.0 MiB       400  150/s  -",
        "",
        "running requests, oldest first",
        " 2.5 s  worker 1  GET /slow",
        "100 ms  worker 2  GET /a",
        "",
        "recent worker deaths",
        "1m40s ago  worker 5 died",
        "5m00s ago  worker 9 (pid 9) died: SIGSEGV",
        *[""] * 6,
        KEYS,
    ]
    assert [row.text[:6].strip() for row in rows if row.style == "reverse"] == ["WORKER", "2"]


@pytest.mark.parametrize(
    ("view", "foot"),
    [
        (
            View(question=Question("scale from 3 to 4", Action("scale", {}))),
            ["scale from 3 to 4? y: yes, any other key: no"],
        ),
        (View(message="the server is \x1b[2Jstopping"), ["the server is ?[2Jstopping", KEYS]),
        (View(paused=True, order="rss"), ["PAUSED", KEYS.replace("worker", "rss").replace("pause", "resume")]),
    ],
)
def test_the_foot(view: View, foot: list[str]) -> None:
    """A question, what became of the last action, or that nothing moves."""
    assert texts(render(snapshot(), None, 120, 20, view))[-len(foot) :] == foot


def test_trouble_is_at_the_top() -> None:
    """Paused recycling and requests that kill."""
    rows = texts(render(snapshot(recycling_paused=True, quarantine={"GET /x": 3.0}), None, 200, 20, View()))
    assert "recycling paused: new workers do not boot  quarantine: GET /x" in rows[3]


def test_requests_that_wait() -> None:
    """In the master, and in workers that have more than threads."""
    rows = texts(render(snapshot(worker(1, busy=11), queue=4), None, 120, 20, View()))
    assert "queue 4" in rows[2]


def test_more_workers_than_rows() -> None:
    """The selected one is among those that are shown."""
    seen = snapshot(*(worker(number) for number in range(1, 101)))
    for selected in (1, 50, 100):
        rows = render(seen, None, 100, 20, View(selected=selected))
        (chosen,) = [row.text.split()[0] for row in rows[6:-1] if row.style == "reverse"]
        assert chosen == str(selected)


class TestEightyColumns:
    """The usual terminal: 80 columns, 24 lines."""

    def test_busy_server(self) -> None:
        """Numbers as large as they come: the whole head, the worker's state and request, and the keys."""
        workers = [
            worker(
                number, doing(f"GET /shop/orders/{number}", 31.0), pid=4190000 + number, generation=12, age=90000.0,
                requests=123456789, rss=1500 << 20, connections=1200,
                outdated="the operator asked for it" * (number == 12),
            )
            for number in range(9, 13)
        ]  # fmt: skip
        text = "worker 7 (pid 4190007) died: SIGSEGV while it ran GET /shop/report, which had run for 12 s; RSS 800 MiB"
        seen = snapshot(
            *workers, deaths=(ended(text=text),), pid=4190000, app="shop.wsgi:application", connections=40000,
            listeners=["http://127.0.0.1:8000", "unix:/run/shop/http.sock"], memory=6 << 30, uptime=900000.0,
            parked=38000,
            requests={"seconds": 10.0, "rate": 12345.0, "errors": 123.0, "p50": 0.1, "p95": 1.0, "p99": 12.3},
        )  # fmt: skip
        rows = texts(render(seen, None, 80, 24, View()))
        screen = " ".join(" ".join(row.split()) for row in rows)

        assert not any(row.endswith("...") for row in rows)
        for shown in (
            "shop.wsgi:application", "unix:/run/shop/http.sock", "12345/s, errors 123/s, p99 12 s (last 10 s)",
            "memory 6.0 GiB", "connections 40000 (38000 parked)", "reload: none yet", "31 s GET /shop/orders/9",
            "31 s worker 12 GET /shop/orders/12", text, "1.5 GiB", "replacing",
        ):  # fmt: skip
            assert shown in screen
        assert rows[-1] == KEYS

    def test_why_a_reload_was_cancelled(self) -> None:
        """The message has as many rows as it needs; the keys stay."""
        why = "reload cancelled: invalid value 'many' for --threads in /etc/shop/twistcorn.toml: expected a number"
        rows = texts(render(snapshot(), None, 80, 24, View(message=why)))
        assert " ".join(rows[-3:-1]) == why
        assert rows[-1] == KEYS

    def test_long_path(self) -> None:
        """What is cut shows it."""
        rows = texts(render(snapshot(worker(1, doing("GET /" + "x" * 99, 2.0))), None, 80, 24, View()))
        (row,) = [row for row in rows if "2.0 s GET" in row]
        assert row.endswith("x...")
        assert len(row) == 80


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
    assert shares[0] == workers or (shares[1] <= 5 and shares[2] <= 4)
    assert shares[0] >= min(workers, room, 4) or room < 0


def test_without_a_screen() -> None:
    """All of it, once."""
    lines = plain(snapshot(worker(1, doing("GET /slow", 2.5)), deaths=(ended(),)))
    assert lines[0] == "twistcorn 1.2, pid 77: serving shop:app, up 3m20s"
    assert "2.5 s  worker 1  GET /slow" in lines
    assert lines[-1].endswith("died: SIGSEGV")
    assert "running requests, oldest first" not in plain(snapshot())
