"""The claims of twistcorn.logs.repeats: a repeated event is logged a few times, then counted; no other event is."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from twistcorn.logs import server
from twistcorn.logs.repeats import MAX_ALIKE_LINES, Repeats, gist, kind_of
from twistcorn.logs.server import ServerLog


def event(format: str = "{name}: broken", level: str = "error", **fields: Any) -> dict[str, Any]:
    return {
        "log_format": format, "log_level": LogLevel.levelWithName(level), "log_time": 0.0,
        "log_namespace": "twistcorn.worker.wsgi.call.Call", **fields,
    }  # fmt: skip


def raised(what: object = "", deeper: bool = False) -> Failure:
    def go() -> None:
        raise LookupError(what)

    try:
        if deeper:
            go()
        raise LookupError(what)
    except LookupError:
        return Failure()


def fed(repeats: Repeats, kind: Hashable, times: int, now: float = 0.0) -> int:
    """How many of the events are written."""
    return sum(repeats.admit(kind, now, lambda: {"text": str(kind)}) for _ in range(times))


class TestCount:
    @pytest.mark.parametrize("times", [1, 3, 4, 1000])
    def test_every_event_is_written_or_counted_once(self, times: int) -> None:
        """In any number."""
        repeats = Repeats(most=3, window=10)
        written = fed(repeats, "a", times)
        held = repeats.over(10.0)
        assert written == min(times, 3)
        assert written + sum(each.times for each in held) == times
        assert repeats.over(100.0) == []

    def test_window_ends_by_itself(self) -> None:
        """The run reports its count and its duration after its window, and says when to check."""
        repeats = Repeats(most=1, window=10)
        fed(repeats, "a", 5, 2.0)
        assert repeats.wait(3.0) == 9.0
        assert repeats.over(11.9) == []
        (held,) = repeats.over(12.0)
        assert (held.times, held.seconds) == (4, 10.0)
        assert repeats.wait(12.0) is None

    def test_window_ends_by_the_next_event(self) -> None:
        """No check came: nothing is lost, and the next window has its own lines."""
        repeats = Repeats(most=1, window=10)
        fed(repeats, "a", 5)
        assert fed(repeats, "a", 1, 99.0) == 1
        (held,) = repeats.over(99.0)
        assert held.times == 4

    def test_kinds_do_not_count_for_each_other(self) -> None:
        """A loop in one place hides nothing of another."""
        repeats = Repeats(most=2)
        fed(repeats, "loop", 1000)
        assert fed(repeats, "other", 2) == 2

    def test_kinds_without_end(self) -> None:
        """The table is bounded; a kind that makes room is reported early, not forgotten."""
        repeats = Repeats(most=1, window=10, most_kinds=4)
        for kind in range(100):
            fed(repeats, kind, 2)
        assert sum(each.times for each in repeats.over(0.0)) == 96
        assert sum(each.times for each in repeats.over(0.0, all_of_them=True)) == 4


class TestKind:
    def test_same(self) -> None:
        """Another request, another text of the exception."""
        one, two = (event(name=f"GET /{n} [{n}]", log_failure=raised(n)) for n in range(2))
        assert kind_of(one) == kind_of(two) is not None

    @pytest.mark.parametrize(
        "other",
        [
            event("{name}: other"), event(level="warn"), event(log_namespace="twisted.internet"),
            event(log_failure=raised(deeper=True)), event("{text}", text="one"), event("{text}", text="two"),
            event(level="info", name="a"), event(level="info", name="b"),
        ],
    )  # fmt: skip
    def test_other(self, other: dict[str, Any]) -> None:
        """Another text, level, logger or line of code; for an event that is no error, any difference."""
        assert kind_of(other) != kind_of(event())
        assert kind_of(other) != kind_of(event(log_failure=raised()))
        assert kind_of(event("{text}", text="one")) != kind_of(event("{text}", text="two"))
        assert kind_of(event(level="info", name="a")) != kind_of(event(level="info", name="b"))

    @pytest.mark.parametrize(
        "free",
        [event(level="debug"), event(log_namespace="shop.orders"), event(level="info", log_namespace="log_legacy")],
    )
    def test_never_held_back(self, free: dict[str, Any]) -> None:
        """Debug events, and the application's own events."""
        assert kind_of(free) is None

    def test_old_way_to_log_an_error(self) -> None:
        """`twisted.python.log.err`: its text has the exception, and its traceback, in it."""
        old = {"log_namespace": "log_legacy", "log_level": LogLevel.critical, "isError": 1, "why": "broken"}
        one, two = (
            {**old, "log_format": "{log_text}", "log_text": f"broken\nTraceback: {n}", "failure": raised(n)}
            for n in range(2)
        )
        assert kind_of(one) == kind_of(two) != kind_of({**one, "why": "other"})
        assert gist(one)["text"] == "broken: LookupError: 0"

    def test_nothing_is_kept_alive(self) -> None:
        """The gist of an exception holds neither it nor the application's frames."""

        class Thing(Exception):
            pass

        thing = Thing("broken")
        seen = weakref.ref(thing)
        kept = gist(event(name="GET /", log_failure=Failure(thing)))
        del thing
        gc.collect()
        assert seen() is None
        assert kept["text"] == "GET /: broken: Thing: broken"


class TestServerLog:
    @pytest.mark.parametrize("form", ["text", "json"])
    def test_storm(self, tmp_path: Path, form: str) -> None:
        """Some lines are logged in full, the others as a number; a different event is logged at once."""
        log = ServerLog(str(tmp_path / "log"))
        log.set_form(form)
        for number in range(1000):
            log(event(name=f"GET /{number}", log_failure=raised()))
        log(event("something else"))
        log.flush()
        lines = (tmp_path / "log").read_text()
        assert lines.count(": broken") == MAX_ALIKE_LINES + 1
        assert lines.count("something else") == 1
        assert f"repeated {1000 - MAX_ALIKE_LINES} times in 0." in lines
        assert f"GET /{MAX_ALIKE_LINES}: broken: LookupError" in lines
        if form == "json":
            assert f'"repeated": {1000 - MAX_ALIKE_LINES}, "seconds": 0.' in lines

    def test_silence_after_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The count is logged although no further event comes and the process continues."""
        log = ServerLog(str(tmp_path / "log"))
        monkeypatch.setattr(log, "_repeats", Repeats(window=0.05))
        told, real = threading.Event(), log._write

        def write(each: dict[str, Any]) -> None:
            real(each)
            if each.get("repeated") == 7:
                told.set()

        monkeypatch.setattr(log, "_write", write)
        for _ in range(MAX_ALIKE_LINES + 7):
            log(event(name="x"))
        assert told.wait(10)

    def test_forked_child(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A thread of the parent may have been using it: the child starts afresh."""
        log = ServerLog(str(tmp_path / "log"))
        monkeypatch.setattr(server, "_current", log)
        for _ in range(MAX_ALIKE_LINES + 7):
            log(event(name="x"))
        lock = log._lock
        server._after_fork()
        assert log._lock is not lock
        assert log._log_repeats(all_of_them=True) is None
