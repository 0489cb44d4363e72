"""The claims of twistcorn.policy.rollout: the pace of a reload, as steps and as whole reloads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.policy.rollout import (
    BATCH_DIVISOR,
    ROLLING,
    SINGLE,
    STOP_FIRST,
    TOGETHER,
    Step,
    afterwards,
    finished,
    step,
)

#: situation: (target, old, new and ready, new and starting) -> what to do now
STEPS = [
    ("it begins: one new worker goes alone", (4, 4, 0, 0), Step(1, 0)),
    ("the first one boots: nothing else happens", (4, 4, 0, 1), Step(0, 0)),
    ("the first one is ready: an old one may go, the next one comes", (4, 4, 1, 0), Step(1, 1)),
    ("the old one went, the second new one boots", (4, 3, 1, 1), Step(0, 0)),
    ("the last new one is ready: the last old one may go", (4, 1, 4, 0), Step(0, 1)),
    ("it is over", (4, 0, 4, 0), Step(0, 0)),
    ("a large pool: also there the first one goes alone", (16, 16, 0, 0), Step(1, 0)),
    ("a large pool: a quarter at a time", (16, 16, 1, 0), Step(4, 1)),
    ("a large pool: never more than a quarter boots", (16, 15, 1, 4), Step(0, 0)),
    ("a large pool: what is left, at the end", (16, 2, 14, 0), Step(2, 0)),
    ("a pool of one: both at once, then the old one goes", (1, 1, 1, 0), Step(0, 1)),
    ("an old one died after the first new one was ready: it is replaced at once", (4, 2, 1, 0), Step(1, 0)),
    ("several old ones died: all are replaced at once", (4, 0, 1, 0), Step(3, 0)),
    ("fewer are wanted now: as many old ones go", (2, 4, 0, 1), Step(0, 2)),
    ("more are wanted now, the first new one boots", (6, 4, 0, 1), Step(1, 0)),
]


@pytest.mark.parametrize(("situation", "numbers", "expected"), STEPS, ids=[row[0] for row in STEPS])
def test_step(situation: str, numbers: tuple[int, int, int, int], expected: Step) -> None:
    """The next step follows from four numbers."""
    assert step(*numbers) == expected


#: situation: strategy, (target, old, new and ready, new and starting) -> what to do now
STRATEGIES = [
    ("single: the first one goes alone", SINGLE, (16, 16, 0, 0), Step(1, 0)),
    ("single: one for one, however large the pool", SINGLE, (16, 16, 1, 0), Step(1, 1)),
    ("single: the next one boots", SINGLE, (16, 15, 1, 1), Step(0, 0)),
    ("single: several old ones died: all are replaced at once", SINGLE, (16, 12, 1, 0), Step(3, 0)),
    ("together: the first one goes alone", TOGETHER, (4, 4, 0, 0), Step(1, 0)),
    ("together: the first one boots", TOGETHER, (4, 4, 0, 1), Step(0, 0)),
    ("together: then all others, beside the old ones", TOGETHER, (4, 4, 1, 0), Step(3, 0)),
    ("together: no old one goes before the last new one is ready", TOGETHER, (4, 4, 3, 1), Step(0, 0)),
    ("together: then all go", TOGETHER, (4, 4, 4, 0), Step(0, 4)),
    ("together: a new one died: only it comes again", TOGETHER, (4, 4, 2, 1), Step(1, 0)),
    ("together: fewer are wanted now: as many old ones go", TOGETHER, (2, 4, 1, 1), Step(0, 2)),
    ("together: all old ones died", TOGETHER, (4, 0, 1, 0), Step(3, 0)),
    ("together: a pool of one", TOGETHER, (1, 1, 1, 0), Step(0, 1)),
]


@pytest.mark.parametrize(
    ("situation", "strategy", "numbers", "expected"), STRATEGIES, ids=[row[0] for row in STRATEGIES]
)
def test_strategy(situation: str, strategy: str, numbers: tuple[int, int, int, int], expected: Step) -> None:
    """The pace is the operator's choice; that the first one goes alone is not."""
    assert step(*numbers, strategy) == expected


#: situation: (target, outdated, others that are ready, others that boot) -> what to do now
RECYCLING = [
    ("one has served its time: its replacement boots first", (4, 1, 3, 0), Step(1, 0)),
    ("it boots", (4, 1, 3, 1), Step(0, 0)),
    ("it is ready: the old one goes", (4, 1, 4, 0), Step(0, 1)),
    ("all are due at once: one after the other", (4, 4, 0, 0), Step(1, 0)),
    ("all of a large pool are due: a quarter at a time", (16, 14, 2, 0), Step(4, 0)),
    ("one is due while another one waits to be started again", (4, 1, 2, 1), Step(0, 0)),
]


@pytest.mark.parametrize(("situation", "numbers", "expected"), RECYCLING, ids=[row[0] for row in RECYCLING])
def test_recycling(situation: str, numbers: tuple[int, int, int, int], expected: Step) -> None:
    """Single workers are replaced at the pace of a reload."""
    assert step(*numbers) == expected


def test_new_workers_are_ready_and_an_old_one_is_left() -> None:
    """A reload is over when nothing old is left, and not before."""
    assert not finished(old=1, new_ready=4, target=4)
    assert not finished(old=0, new_ready=3, target=4)
    assert finished(old=0, new_ready=4, target=4)


POOLS = st.tuples(st.integers(1, 40), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
STRATEGY = st.sampled_from([ROLLING, SINGLE, TOGETHER])


@given(POOLS, STRATEGY)
def test_any_situation(numbers: tuple[int, int, int, int], strategy: str) -> None:
    """Old workers go only as far as new ones that are ready have taken their places."""
    target, old, new_ready, _ = numbers
    spawn, retire = step(*numbers, strategy)

    assert spawn >= 0
    assert 0 <= retire <= old
    assert old - retire + new_ready >= min(target, old + new_ready)


class Pool:
    """The numbers of a reload, with every step carried out as it is advised."""

    def __init__(self, target: int, strategy: str = ROLLING) -> None:
        self.target, self.strategy = target, strategy
        self.old, self.ready, self.starting = target, 0, 0

    def proceed(self) -> Step:
        """Take the next step."""
        advised = step(self.target, self.old, self.ready, self.starting, self.strategy)
        self.old -= advised.retire
        self.starting += advised.spawn
        return advised

    def happens(self, event: str) -> None:
        """One worker gets ready or dies, if there is one to do it."""
        if event == "ready" and self.starting:
            self.starting, self.ready = self.starting - 1, self.ready + 1
        elif getattr(self, event) and event != "ready":
            setattr(self, event, getattr(self, event) - 1)

    @property
    def over(self) -> bool:
        return finished(self.old, self.ready, self.target)


#: Events of a reload: a new worker gets ready; one that is starting, or old, dies.
EVENTS = st.lists(st.sampled_from(["ready", "ready", "starting", "old"]), max_size=60)


@given(st.integers(1, 40), STRATEGY, EVENTS)
def test_whole_reload(target: int, strategy: str, events: list[str]) -> None:
    """Whatever dies on the way, the reload ends with as many new workers as wanted."""
    pool = Pool(target, strategy)
    for event in events + ["ready"] * 2 * target:
        pool.proceed()
        pool.happens(event)
    pool.proceed()

    assert pool.over
    assert (pool.old, pool.ready, pool.starting) == (0, target, 0)


#: How many new workers boot at once, at most, after the first.
CROWDS = {
    ROLLING: lambda target: max(1, target // BATCH_DIVISOR),
    SINGLE: lambda target: 1,
    TOGETHER: lambda target: target,
}


@pytest.mark.parametrize("strategy", [ROLLING, SINGLE, TOGETHER])
@given(st.integers(1, 40))
def test_nothing_dies(strategy: str, target: int) -> None:
    """Ready workers never get fewer than wanted, and no more boot at a time than the strategy says."""
    pool = Pool(target, strategy)
    while not pool.over:
        pool.proceed()
        assert pool.old + pool.ready >= target
        assert pool.starting <= CROWDS[strategy](target)
        pool.happens("ready")


@given(st.integers(1, 40))
def test_generations_do_not_mix(target: int) -> None:
    """Together: all old workers are there until the last new one is ready, and none a step later."""
    pool = Pool(target, TOGETHER)
    while pool.ready < target:
        assert pool.old == target
        pool.proceed()
        pool.happens("ready")

    assert pool.proceed() == Step(0, target)


@given(st.integers(2, 40), STRATEGY, st.integers(1, 10))
def test_first_new_worker_boots_for_long(target: int, strategy: str, turns: int) -> None:
    """Until the first new worker is ready, no second one is started and no old one goes."""
    pool = Pool(target, strategy)
    steps = [pool.proceed() for _ in range(turns)]

    assert steps == [Step(1, 0)] + [Step(0, 0)] * (turns - 1)


#: situation: (target, old, new and ready, new and starting), leaving -> what to do now
STOPPING_FIRST = [
    ("it begins: all old ones go, nobody comes", (4, 4, 0, 0), 0, Step(0, 4)),
    ("they are not gone yet", (4, 0, 0, 0), 3, Step(0, 0)),
    ("they are gone: all new ones come", (4, 0, 0, 0), 0, Step(4, 0)),
    ("the new ones boot", (4, 0, 1, 3), 0, Step(0, 0)),
    ("one of them died", (4, 0, 1, 2), 0, Step(1, 0)),
    ("a single worker is replaced: it goes first", (4, 1, 3, 0), 0, Step(0, 1)),
    ("and the other comes when it is gone", (4, 0, 3, 0), 1, Step(0, 0)),
]


@pytest.mark.parametrize(
    ("situation", "numbers", "leaving", "expected"), STOPPING_FIRST, ids=[row[0] for row in STOPPING_FIRST]
)
def test_stop_first(situation: str, numbers: tuple[int, int, int, int], leaving: int, expected: Step) -> None:
    """Nobody boots while an old one is there, however it is counted."""
    assert step(*numbers, STOP_FIRST, leaving) == expected


@pytest.mark.parametrize(
    ("reason", "advised"),
    [
        ("zc.lockfile.LockError: Couldn't lock 'Data.fs.lock'", True),
        ("BlockingIOError: [Errno 11] Resource temporarily unavailable", True),
        ("OSError: [Errno 98] Address already in use", True),
        ("NameError: name 'x' is not defined", False),
    ],
)
def test_reload_failed(reason: str, advised: bool) -> None:
    """Where something was taken the line names the strategy that helps."""
    assert ("stop-first" in afterwards(reason, ROLLING)) is advised
    assert "gone" in afterwards(reason, STOP_FIRST)
