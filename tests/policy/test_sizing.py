"""The claims of twistcorn.policy.sizing: what it does to loads of a minute and of a day, by the code that decides.

Law: no clock and no chance; a load is a function of the second, and what waits is counted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.policy.sizing import (
    HIGH,
    SAMPLES_TO_GROW,
    SPARE_FACTOR,
    THREADS,
    WORKERS,
    Decision,
    LoadSample,
    Rules,
    SizingState,
    step,
)

MINUTE, HOUR = 60, 3600


@dataclass
class Simulation:
    """A server with bounds, second by second.

    :param load: how many of what is sized (workers, threads) the requests of a second keep busy.
    :param boot: seconds until a new one helps.
    :ivar number: how many there are; `most`: how many there were at most.
    :ivar changes: the second and the number of each change.
    :ivar waits: how long a request of each second waits; `use`: the load of those that are there.
    """

    load: Callable[[int], float]
    bounds: tuple[int, int] = (2, 8)
    patience: float = 60.0
    boot: int = 1
    rules: Rules = WORKERS
    number: int = 0
    changes: list[tuple[int, int]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    use: list[float] = field(default_factory=list)

    def run(self, seconds: int) -> Simulation:
        """So many seconds."""
        self.number = self.bounds[0]
        state, backlog, helps = SizingState(), 0.0, 0
        for second in range(seconds):
            there = self.number - (second < helps)
            backlog = max(0.0, backlog + self.load(second) - there)
            busy = 1.0 if backlog else self.load(second) / there
            self.waits.append(backlog / there)
            self.use.append(busy)
            if second < helps:
                # What boots has to show first what it is good for.
                continue
            sample = LoadSample(self.number, busy, 0.1, self.waits[-1])
            state, decision = step(state, sample, self.rules, self.bounds, self.patience)
            if decision.number != self.number:
                assert decision.reason
                helps = second + self.boot if decision.number > self.number else helps
                self.number = decision.number
                self.changes.append((second, decision.number))
        return self

    @property
    def most(self) -> int:
        """How many there were at most."""
        return max((number for _, number in self.changes), default=self.number)

    @property
    def steps_down(self) -> int:
        """How often there was one fewer."""
        numbers = [self.bounds[0], *(number for _, number in self.changes)]
        return sum(after < before for before, after in itertools.pairwise(numbers))


def square(period: int, high: float, low: float) -> Callable[[int], float]:
    """Half of a period high, half of it low."""
    return lambda second: high if second % period < period / 2 else low


class TestRamp:
    def test_it_is_followed(self) -> None:
        """From 1 to 6 within ten minutes: a worker at a time, each before requests wait for long."""
        simulation = Simulation(lambda second: min(6.0, 1 + second / 120), boot=3).run(15 * MINUTE)

        assert simulation.most == simulation.number == 8
        assert [number for _, number in simulation.changes] == [3, 4, 5, 6, 7, 8]
        assert max(simulation.waits) == 0

    def test_it_goes_down_again(self) -> None:
        """One at a time, and never so far that the others had too much."""
        simulation = Simulation(lambda second: max(0.5, 6 - second / 60), bounds=(1, 8)).run(20 * MINUTE)

        assert simulation.number == 1
        assert max(simulation.waits[2 * MINUTE :]) == 0
        numbers = [number for _, number in simulation.changes]
        assert all(abs(after - before) == 1 for before, after in itertools.pairwise(numbers))


class TestSpike:
    def test_of_two_seconds(self) -> None:
        """It is over before a worker would be there: nothing changes."""
        simulation = Simulation(lambda second: 2.2 if 60 <= second < 62 else 1.0).run(5 * MINUTE)

        assert simulation.changes == []

    def test_of_a_minute(self) -> None:
        """It gets what it needs within half a minute, and that is gone some minutes later."""
        simulation = Simulation(lambda second: 6.0 if 60 <= second < 120 else 1.0).run(20 * MINUTE)

        assert simulation.most == 8
        assert simulation.changes[0][0] == 60 + SAMPLES_TO_GROW - 1
        assert next(second for second, number in simulation.changes if number >= 6) <= 60 + 30
        assert simulation.number == 2
        assert len(simulation.changes) == 12


class TestDay:
    def test_wave(self) -> None:
        """A day from 1 to 6 and back: few changes, no request waits, and no worker is there for nothing."""
        wave = Simulation(
            lambda second: 3.5 - 2.5 * math.cos(2 * math.pi * second / (24 * HOUR)), bounds=(1, 8), boot=5
        ).run(24 * HOUR)

        assert len(wave.changes) <= 16
        assert max(wave.waits) < 0.05
        assert all(0.3 < use <= HIGH + 0.05 for use in wave.use[HOUR:-HOUR])
        assert sum(wave.use) / len(wave.use) > 0.5


class TestFlapping:
    @pytest.mark.parametrize("period", [4, 10, 40, 100])
    def test_load_that_goes_on_and_off(self, period: int) -> None:
        """It gets what its high half needs, and keeps it: nothing follows each wave."""
        simulation = Simulation(square(period, 5.0, 1.0)).run(2 * HOUR)

        assert simulation.steps_down <= 1
        assert simulation.most >= 5 or period == 4
        assert max(simulation.waits[5 * MINUTE :]) <= 2

    @pytest.mark.parametrize("period", [200, 600])
    def test_longer_waves(self, period: int) -> None:
        """A step down that has to be taken back makes the next one wait longer: fewer changes than the load makes."""
        simulation = Simulation(square(period, 5.0, 1.0)).run(4 * HOUR)
        waves = 4 * HOUR / period

        assert simulation.steps_down < waves * 2
        assert simulation.steps_down <= 40

    def test_load_between_the_marks(self) -> None:
        """What is neither too much nor so little that fewer would do changes nothing, for ever."""
        simulation = Simulation(lambda second: 1.4 + 0.1 * (second % 2)).run(2 * HOUR)

        assert simulation.changes == []


class TestThreads:
    def test_grow_where_calls_wait(self) -> None:
        """All are busy, requests wait, the processor does not: a quarter more at a time, until none waits."""
        simulation = Simulation(lambda second: 20.0, bounds=(4, 32), rules=THREADS).run(3 * MINUTE)

        assert [number for _, number in simulation.changes][:4] == [5, 6, 7, 8]
        assert 20 <= simulation.number <= 32

    def test_do_not_grow_where_calls_compute(self) -> None:
        """More threads would only fight for the interpreter lock."""
        state, sample = SizingState(), LoadSample(4, 1.0, 0.9, wait=2.0)
        for _ in range(100):
            state, decision = step(state, sample, THREADS, (4, 32), 60)
            assert decision == Decision(4)

    def test_go_when_they_have_nothing_to_do(self) -> None:
        """Down to the lower bound."""
        simulation = Simulation(lambda second: 20.0 if second < 180 else 1.0, bounds=(4, 32), rules=THREADS).run(HOUR)

        assert simulation.number == 4


class TestReasons:
    @pytest.mark.parametrize(
        ("sample", "reason"),
        [
            (LoadSample(2, 0.9, 0.1), "90% of threads are busy"),
            (LoadSample(2, 0.1, 0.95), "each worker uses 95% of a CPU"),
            (LoadSample(2, 0.5, 0.1, wait=0.2), "requests wait 200 ms for a thread"),
            (LoadSample(2, 0.5, 0.1, wait=math.inf), "requests wait for a thread and none completes"),
        ],
    )
    def test_one_more(self, sample: LoadSample, reason: str) -> None:
        """The log says what it saw."""
        assert last(sample, SAMPLES_TO_GROW) == Decision(3, reason)
        assert last(sample, SAMPLES_TO_GROW - 1) == Decision(2)

    def test_one_fewer(self) -> None:
        """It says how long fewer had been enough."""
        assert last(LoadSample(4, 0.2, 0.1), 60) == Decision(3, "3 would have sufficed for 60 s")


class TestMemory:
    def test_there_is_none(self) -> None:
        """No worker is added, and the log says so once."""
        cramped = LoadSample(2, 0.9, 0.1, room=(100 << 20) - 1, size=80 << 20)
        state, told = SizingState(), []
        for _ in range(10):
            state, decision = step(state, cramped, WORKERS, (2, 8), 60)
            assert decision.number == 2
            told += [decision.reason] if decision.reason else []

        assert told == ["90% of threads are busy, but only 99 MiB of memory is left for a worker of 80 MiB"]

    @pytest.mark.parametrize("room", [None, int(SPARE_FACTOR * (80 << 20))])
    def test_there_is_enough_or_nobody_knows(self, room: int | None) -> None:
        """It grows."""
        assert last(LoadSample(2, 0.9, 0.1, room=room, size=80 << 20), SAMPLES_TO_GROW).number == 3

    def test_threads_need_none(self) -> None:
        """They share it."""
        assert step_often(LoadSample(4, 1.0, 0.1, wait=1.0, room=0, size=1), THREADS, SAMPLES_TO_GROW).number == 5


SAMPLES = st.builds(
    LoadSample, st.integers(1, 10), st.floats(0, 1), st.floats(0, 1), st.floats(0, 5), st.none() | st.integers(0, 100),
    st.integers(0, 50),
)  # fmt: skip


@given(st.lists(SAMPLES, max_size=50), st.sampled_from([WORKERS, THREADS]), st.integers(1, 5), st.integers(0, 5))
def test_anything(samples: list[LoadSample], rules: Rules, least: int, more: int) -> None:
    """Whatever was seen, the bounds hold, each change has a reason, and is one step."""
    state, number = SizingState(), least
    for sample in samples:
        state, decision = step(state, sample._replace(number=number), rules, (least, least + more), 5)
        assert least <= decision.number <= least + more
        assert abs(decision.number - number) <= rules.step(number)
        assert decision.reason or decision.number == number
        number = decision.number


def last(sample: LoadSample, seconds: int) -> Decision:
    """What is decided after so many of one sample."""
    return step_often(sample, WORKERS, seconds)


def step_often(sample: LoadSample, rules: Rules, seconds: int) -> Decision:
    """What is decided after so many of one sample, within wide bounds."""
    state, decision = SizingState(), Decision(sample.number)
    for _ in range(seconds):
        state, decision = step(state, sample, rules, (1, 32), 60)
    return decision
