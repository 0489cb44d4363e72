"""When requests are due, which are slow, what times come to, and where an answer ends."""

from __future__ import annotations

import itertools

import pytest

from bench.pace import Head, Percentiles, Schedule, kinds, percentile, percentiles, read_head


def test_constant_rate_does_not_wait_for_answers() -> None:
    """After a pause every request that was due meanwhile is taken, with the time it was due at."""
    schedule = Schedule(rate=10, seconds=1)
    assert schedule.take(0.0) == 0.0
    assert schedule.take(0.05) is None
    assert schedule.next_due() == pytest.approx(0.1)
    assert [schedule.take(0.35) for _ in range(4)] == pytest.approx([0.1, 0.2, 0.3, None])


def test_constant_rate_ends_with_its_time() -> None:
    """As many requests as rate and time make, none of them due after the end."""
    schedule = Schedule(rate=10, seconds=1)
    taken = list(itertools.takewhile(lambda due: due is not None, (schedule.take(5.0) for _ in range(99))))
    assert len(taken) == 10
    assert schedule.is_over(0.0)


def test_without_a_rate_the_next_is_due_at_once() -> None:
    """Until the time is over."""
    schedule = Schedule(rate=None, seconds=1)
    assert [schedule.take(0.5), schedule.take(0.5), schedule.take(1.0)] == [0.5, 0.5, None]
    assert schedule.next_due() is None
    assert [schedule.is_over(0.9), schedule.is_over(1.0)] == [False, True]


def test_slow_requests_come_by_lot_but_the_same_for_everybody() -> None:
    """About as many as asked for, in the same order each time, and none where none was asked for."""
    one, other = (list(itertools.islice(kinds(0.1), 10_000)) for _ in range(2))
    assert one == other
    assert 900 < sum(one) < 1100
    assert not any(itertools.islice(kinds(0.0), 1000))


def test_percentile_is_a_value_that_occurred() -> None:
    """Nearest rank: the least value that the share does not exceed; of one value, that value."""
    hundred = [float(number) for number in range(1, 101)]
    assert [percentile(hundred, share) for share in (0.0, 0.5, 0.99, 0.999, 1.0)] == [1, 50, 99, 100, 100]
    assert percentile([7.0], 0.5) == 7.0


def test_percentiles_of_what_came_in_any_order() -> None:
    """All at once; of nothing there are none."""
    assert percentiles([3.0, 1.0, 2.0]) == Percentiles(3, 2.0, 2.0, 3.0, 3.0, 3.0)
    assert percentiles([]) is None


@pytest.mark.parametrize(
    ("received", "head"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", None),
        (b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 2\r\n\r\nhi", Head(200, 40, False)),
        (b"HTTP/1.1 503 No\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n", Head(503, 57, True)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Head(200, 38, True)),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", Head(200, None, False)),
    ],
)
def test_where_an_answer_ends(received: bytes, head: Head | None) -> None:
    """Status, whole length and whether the connection stays, once the head is there."""
    assert read_head(received) == head
