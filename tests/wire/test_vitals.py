"""The claims of twistcorn.wire.vitals: what a process says of itself is what the kernel says of it."""

from __future__ import annotations

import os
import threading

import pytest

from twistcorn.wire import vitals


def test_look() -> None:
    """Memory as in statm, threads as there are."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    before = vitals.read_vitals()
    thread.start()
    after = vitals.read_vitals()
    go.set()
    thread.join()

    assert before.rss == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE"), rel=0.1)
    assert after.threads == before.threads + 1
    assert after.cpu >= before.cpu > 0


def test_descriptors() -> None:
    """One more is open."""
    before = vitals.descriptors()
    with open(os.devnull):
        assert vitals.descriptors() == before + 1


def test_pss() -> None:
    """Shared pages count in part: no more than resident memory."""
    assert 0 < vitals.pss() <= vitals.read_vitals().rss * 1.1
