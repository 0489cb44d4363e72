"""The claims of twistcorn.policy.samples: what a second was like, and how long that is remembered."""

from __future__ import annotations

from twistcorn.policy.histogram import BUCKETS
from twistcorn.policy.samples import KEPT_SAMPLES, Counted, Gauges, Sample, Samples, Shares, sample


def counted(requests: int, errors: int = 0, bucket: int = 5) -> Counted:
    """So many requests, all of them of one bucket."""
    return Counted(requests, errors, [requests if number == bucket else 0 for number in range(BUCKETS)])


class TestSample:
    def test_rates(self) -> None:
        """What was counted in between, by the time that it took."""
        taken = sample(counted(100, 10), counted(300, 20), 2.0, 7.0, Gauges())

        assert (taken.time, taken.rate, taken.errors) == (7.0, 100.0, 5.0)

    def test_latency_of_this_second_alone(self) -> None:
        """Slow requests of the past do not count."""
        slow = counted(1000, bucket=20)
        now = Counted(1010, 0, [count + 10 * (number == 3) for number, count in enumerate(slow.latency)])
        taken = sample(slow, now, 1.0, 0.0, Gauges())

        assert taken.p50 is not None
        assert taken.p99 is not None
        assert 0.0002 < taken.p50 < taken.p99 < 0.0006

    def test_nothing_was_answered(self) -> None:
        """There is no latency, which is not the same as none at all."""
        taken = sample(counted(5), counted(5), 1.0, 0.0, Gauges())

        assert (taken.rate, taken.p50, taken.p95, taken.p99) == (0.0, None, None, None)

    def test_first_look(self) -> None:
        """The totals may know of no latency yet."""
        assert sample(Counted(), counted(3), 1.0, 0.0, Gauges()).rate == 3.0

    def test_utilization(self) -> None:
        """The share of the threads; with no thread there is nothing to use."""
        assert sample(Counted(), Counted(), 1.0, 0.0, Gauges(busy=4, threads=16)).utilization == 0.25
        assert sample(Counted(), Counted(), 1.0, 0.0, Gauges(busy=4, threads=0)).utilization == 0.0


class TestSamples:
    def test_columns(self) -> None:
        """The past is told by what was measured."""
        samples = Samples()
        for time in (1.0, 2.0):
            samples.add_sample(sample(Counted(), counted(int(time)), 1.0, time, Gauges(queue=3)))

        columns = samples.columns()

        assert columns["time"] == [1.0, 2.0]
        assert columns["rate"] == [1.0, 2.0]
        assert columns["queue"] == [3, 3]
        assert set(columns) == set(Sample.__dataclass_fields__)

    def test_bound(self) -> None:
        """Only the latest are kept."""
        samples = Samples()
        for time in range(KEPT_SAMPLES + 5):
            samples.add_sample(sample(Counted(), Counted(), 1.0, float(time), Gauges()))

        assert len(samples.columns()["time"]) == KEPT_SAMPLES
        assert samples.columns()["time"][0] == 5.0


class TestShares:
    def test_between_two_beats(self) -> None:
        """Processor time by time; a worker that is new has no share yet, one that is gone no trace."""
        shares = Shares()

        assert shares.compare({1: (1000, 300)}) == {1: None}
        assert shares.compare({1: (3000, 1300), 2: (3000, 10)}) == {1: 0.5, 2: None}
        assert shares.compare({}) == {}
        assert shares.compare({1: (4000, 1300)}) == {1: None}

    def test_no_beat_in_between(self) -> None:
        """What was so is so still; before the first beat there is nothing to tell."""
        shares = Shares()
        shares.compare({1: (1000, 0), 2: (0, 0)})
        shares.compare({1: (2000, 250), 2: (0, 0)})

        assert shares.compare({1: (2000, 250), 2: (0, 0)}) == {1: 0.25, 2: None}
        assert shares.compare({1: (2000, 250), 2: (9, 1)}) == {1: 0.25, 2: None}
