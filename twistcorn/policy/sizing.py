"""How many workers, and how many threads in each, within the operator's bounds, by the recent load.

Law: pure; one sample for each second goes in, and a number with a reason for the log comes out. One step at a time,
up within seconds, down only when fewer have been enough for long: the gap between the two marks keeps a load that
stands still from moving anything, and a step down that has to be taken back makes the next one wait longer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

#: Seconds from one sample to the next.
SAMPLE_SECONDS = 1.0
#: Samples with too much load, more than with less, before there is one step up: a burst of two seconds is no load.
SAMPLES_TO_GROW = 3
#: From this load on there are too few; below that, shared by fewer, these are enough.
HIGH, LOW = 0.8, 0.6
#: Seconds that a request may wait for a thread: what a client hardly notices.
LONG_WAIT_SECONDS = 0.05
#: A worker that uses less CPU than this computes little: its calls wait for other services.
WAITING_SHARE = 0.5
#: Samples in favour of fewer that one sample against it cancels.
SETBACK_SAMPLES = 5
#: A step down that was taken back doubles the time before the next one, up to this factor.
MAX_CAUTION = 8
#: Available memory must exceed the size of the largest worker by this factor.
SPARE_FACTOR = 1.25


class LoadSample(NamedTuple):
    """What was seen in the last second.

    :ivar number: how many there are: workers, or threads in each.
    :ivar busy: the share of threads that were at work on a request, of all that there could be in these workers.
    :ivar processor: the share of a processor that a worker used, on average.
    :ivar wait: seconds that a request waits for a thread.
    :ivar room: bytes of available memory; None: unknown.
    :ivar size: bytes of memory of the largest worker.
    """

    number: int
    busy: float
    processor: float
    wait: float = 0.0
    room: int | None = None
    size: int = 0


@dataclass(frozen=True)
class Rules:
    """What is sized, and how.

    :ivar too_few: why there are too few, empty when there are not.
    :ivar load: the share of them that is in use.
    :ivar step: how many more, or fewer, there are after one step.
    :ivar needs_memory: whether one more needs as much memory as the others.
    """

    too_few: Callable[[LoadSample], str]
    load: Callable[[LoadSample], float]
    step: Callable[[int], int]
    needs_memory: bool


@dataclass(frozen=True)
class SizingState:
    """What is remembered from one sample to the next.

    :ivar high: samples with too much load.
    :ivar low: samples for which fewer were enough.
    :ivar since: samples since the last step down.
    :ivar care: by how much the time before a step down is longer than the operator's.
    :ivar cramped: whether the lack of memory was logged.
    """

    high: int = 0
    low: int = 0
    since: int = 1 << 30
    care: int = 1
    cramped: bool = False


class Decision(NamedTuple):
    """The number, and the reason for the log; no reason: nothing to log."""

    number: int
    reason: str = ""


def step(
    state: SizingState, sample: LoadSample, rules: Rules, bounds: tuple[int, int], patience: float
) -> tuple[SizingState, Decision]:
    """Take one more sample.

    :param bounds: the least and the most there may be.
    :param patience: seconds for which fewer must have sufficed.
    """
    number, (least, most) = sample.number, bounds
    why = rules.too_few(sample)
    fewer = max(least, number - rules.step(number))
    enough = not why and number > least and rules.load(sample) * number <= LOW * fewer
    state = replace(
        state,
        high=min(SAMPLES_TO_GROW, state.high + 1) if why else max(0, state.high - 1),
        low=state.low + 1 if enough else max(0, state.low - SETBACK_SAMPLES),
        since=state.since + 1,
    )
    calm = patience / SAMPLE_SECONDS * state.care
    if state.since > 4 * calm:
        state = replace(state, care=1)
    if state.high == SAMPLES_TO_GROW and number < most:
        return _grow(state, sample, rules, why, min(most, number + rules.step(number)), calm)
    if state.low >= calm and number > least:
        why = f"{fewer} would have sufficed for {state.low * SAMPLE_SECONDS:.0f} s"
        return SizingState(since=0, care=state.care), Decision(fewer, why)
    return state, Decision(number)


def _grow(
    state: SizingState, sample: LoadSample, rules: Rules, why: str, more: int, calm: float
) -> tuple[SizingState, Decision]:
    if rules.needs_memory and sample.room is not None and sample.room < SPARE_FACTOR * sample.size:
        told = f"{why}, but only {sample.room >> 20} MiB of memory is left for a worker of {sample.size >> 20} MiB"
        return replace(state, cramped=True), Decision(sample.number, "" if state.cramped else told)
    care = min(MAX_CAUTION, 2 * state.care) if state.since <= 2 * calm else state.care
    return SizingState(since=state.since, care=care), Decision(more, why)


def _too_few_workers(sample: LoadSample) -> str:
    if sample.wait > LONG_WAIT_SECONDS:
        return _waiting(sample)
    if sample.processor >= HIGH:
        return f"each worker uses {sample.processor:.0%} of a CPU"
    return f"{sample.busy:.0%} of threads are busy" if sample.busy >= HIGH else ""


def _too_few_threads(sample: LoadSample) -> str:
    if sample.busy < HIGH or sample.wait <= LONG_WAIT_SECONDS or sample.processor >= WAITING_SHARE:
        return ""
    return f"{_waiting(sample)} while each worker uses only {sample.processor:.0%} of a CPU"


def _waiting(sample: LoadSample) -> str:
    if sample.wait == float("inf"):
        return "requests wait for a thread and none completes"
    return f"requests wait {sample.wait * 1000:.0f} ms for a thread"


#: A worker is full when its threads are, or its one processor is: the interpreter uses no second one.
WORKERS = Rules(_too_few_workers, lambda sample: max(sample.busy, sample.processor), lambda number: 1, True)
#: Threads are cheap, and what waits is many: a quarter more or fewer.
THREADS = Rules(_too_few_threads, lambda sample: sample.busy, lambda number: max(1, number // 4), False)
