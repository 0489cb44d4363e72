"""The claims of twistcorn.logs.events and server: how a line looks, which lines there are, and what is in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from twistcorn.logs.events import as_json, as_text, output_as_json, stamp
from twistcorn.logs.server import LEVELS, ServerLog

#: 21 November 2026, 11:00:00.123 UTC.
WHEN = 1795258800.123


def event(format: str = "{a} and {b}", level: str = "info", **fields: Any) -> dict[str, Any]:
    """An event as Twisted's logger builds it."""
    return {
        "log_format": format, "log_level": LogLevel.levelWithName(level), "log_time": WHEN, "log_namespace": "here",
        **fields,
    }  # fmt: skip


def failure() -> Failure:
    """An event with a traceback."""
    try:
        raise LookupError("two\nlines")
    except LookupError:
        return Failure()


class TestText:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a\x1b[31mb", "a\\x1b[31mb"), ("a\rb", "a\\x0db"), ("a\x00b", "a\\x00b"), ("a\x7fb", "a\\x7fb"),
            ("a\x9bb", "a\\x9bb"), ("a\u2028b", "a\\u2028b"), ("a\u202eb", "a\\u202eb"), ("a\tb", "a\tb"),
            ("ü", "ü"), ("x\n2026-11-21T11:00:00.123Z error forged", "x\n  2026-11-21T11:00:00.123Z error forged"),
        ],
    )  # fmt: skip
    def test_no_text_passes_for_another_entry(self, text: str, shown: str) -> None:
        """Characters that move a cursor or end a line are escaped, and continuation lines are indented."""
        assert as_text(event("{it}", it=text)) == f"2026-11-21T11:00:00.123Z info  {shown}\n"

    def test_line(self) -> None:
        """Time in UTC to the millisecond, level, text."""
        assert as_text(event(a=1, b="x")) == "2026-11-21T11:00:00.123Z info  1 and x\n"
        assert as_text(event("no", "critical")) == "2026-11-21T11:00:00.123Z critical no\n"

    def test_worker(self) -> None:
        """A worker's own lines have its number."""
        assert as_text(event("hello"), 3) == "2026-11-21T11:00:00.123Z info  [worker 3] hello\n"

    def test_traceback(self) -> None:
        """It follows the line."""
        assert "Traceback" in as_text(event("it failed", log_failure=failure()))

    def test_nothing_to_say(self) -> None:
        """No line."""
        assert as_text(event("")) == as_json(event("")) == ""


class TestJson:
    def test_members(self) -> None:
        """The documented names, and the plain fields of the event; others are in the text alone."""
        line = as_json(event("{ident} {a}", "warn", ident=3, pid=77, age=1.5, a=object(), log_source=object()))

        members = json.loads(line)
        text = members.pop("text")
        assert text.startswith("3 <object")
        assert members == {
            "time": "2026-11-21T11:00:00.123Z", "level": "warn", "event": "log", "logger": "here", "worker": 3,
            "pid": 77, "age": 1.5,
        }  # fmt: skip

    def test_one_line(self) -> None:
        """Whatever it contains, an event is one line, and a traceback is a member of it."""
        line = as_json(event("{text}", text="one\ntwo\u2028\x1b[31m\"", log_failure=failure()))

        assert line.count("\n") == 1
        assert line.isascii()
        members = json.loads(line)
        assert members["text"] == "one\ntwo\u2028\x1b[31m\""
        assert members["traceback"].startswith("Traceback")
        assert "two\nlines" in members["traceback"]

    def test_fields_do_not_replace_what_is_documented(self) -> None:
        """An event's own field of such a name is left out."""
        members = json.loads(as_json({**event("x"), "time": 1, "level": 2, "event": 3, "worker": 4}, worker=9))

        assert (members["time"], members["level"], members["event"]) == ("2026-11-21T11:00:00.123Z", "info", "log")
        assert members["worker"] == 9

    @pytest.mark.parametrize(
        "text",
        [
            "listener starting on 8000", "admin starting on '/run/admin.sock'", "(TCP Port 8000 Closed)",
            "(UNIX Port '/run/http.sock' Closed)", "Received SIGTERM, shutting down.", "Main loop terminated.",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("form", [as_text, as_json])
    def test_noise(self, form: Any, text: str) -> None:
        """Twisted's lines about its ports and its loop are left out; the same text from anywhere else is logged."""
        assert form(event(text, log_namespace="log_legacy")) == ""
        assert form(event(text, log_namespace="twisted.internet.base")) == ""
        assert text in form(event(text, log_namespace="shop"))

    def test_numbers_that_json_does_not_have(self) -> None:
        """They are left out."""
        assert "NaN" not in as_json(event("x", age=float("nan")))

    def test_output(self) -> None:
        """A line that the application printed."""
        assert json.loads(output_as_json(WHEN, 3, "stderr", 'a "b"\t\x00')) == {
            "time": stamp(WHEN), "level": "info", "event": "app.output", "worker": 3, "stream": "stderr",
            "text": 'a "b"\t\x00',
        }  # fmt: skip


class TestServerLog:
    @pytest.mark.parametrize("least", LEVELS)
    def test_level(self, tmp_path: Path, least: str) -> None:
        """Events below the minimum level are not logged; the level can change at run time."""
        log = ServerLog(str(tmp_path / "log"))
        log.set_level("critical")
        log.set_level(least)
        for level in LEVELS:
            log(event(level, level))
        log.flush()

        said = [line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()]
        assert said == list(LEVELS[LEVELS.index(least) :])

    @pytest.mark.parametrize(("form", "as_json"), [("text", False), ("json", True), ("auto", True)])
    def test_form(self, tmp_path: Path, form: str, as_json: bool) -> None:
        """A file is no terminal: auto means JSON there."""
        log = ServerLog(str(tmp_path / "log"))
        log.set_form(form, 5)
        log(event("hello"))
        log.flush()

        line = (tmp_path / "log").read_text()
        assert line.startswith("{") == as_json
        assert ("[worker 5] hello" in line) != as_json
        assert not as_json or json.loads(line)["worker"] == 5
