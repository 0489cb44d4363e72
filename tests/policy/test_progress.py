"""The claims of twistcorn.policy.progress: only a worker whose threads are all in calls that do not end has stalled."""

from __future__ import annotations

from twistcorn.policy.progress import STALLED_SECONDS, Progress


def looked(*looks: tuple[int, int], threads: int = 2) -> Progress:
    """One look a second: how many were answered, and how many run."""
    progress = Progress()
    for now, (answered, busy) in enumerate(looks):
        progress = progress.advance(answered, busy, threads, float(now))
    return progress


def test_all_threads_are_in_calls_and_nothing_is_answered() -> None:
    """It has stalled after its time, and not before."""
    progress = looked((7, 2), (7, 2), (7, 2))
    assert not progress.has_stalled(STALLED_SECONDS)
    assert progress.has_stalled(1 + STALLED_SECONDS)


def test_one_is_answered_now_and_then() -> None:
    """The time begins anew."""
    progress = looked((7, 2), (7, 2), (8, 2), (8, 2))
    assert not progress.has_stalled(2 + STALLED_SECONDS)
    assert progress.has_stalled(3 + STALLED_SECONDS)


def test_a_thread_is_free() -> None:
    """What comes is answered, so nothing is lost by waiting."""
    assert not looked((7, 1), (7, 1), (7, 1)).has_stalled(1e9)
