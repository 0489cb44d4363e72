"""The claims of twistcorn.origins: a value that is told can be given, a secret is not told, and where it comes from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_settings import ALLOWED, MORE, parse
from twistcorn.errors import SettingsError
from twistcorn.origins import CODE, Sourced, as_text
from twistcorn.settings import FIELDS, OPTIONS, Settings, from_values
from twistcorn.sources import read_sourced, resolve, trace

#: What is given of each option; `auto` is a number by the time that somebody asks.
GIVEN = [
    *[row for row in [*ALLOWED, *MORE] if row[1].lower() != "auto"], ("workers", "2:8", 2), ("threads", "4:9", 4),
]  # fmt: skip
#: Durations, sizes, counts.
NUMBERS = r"[0-9]{1,12}(\.[0-9]{1,9})?(ms|s|m|h|k|MB)?"
NAMES = [option.name for option in OPTIONS]


class TestText:
    @pytest.mark.parametrize(("option", "text", "value"), GIVEN)
    def test_is_what_the_option_takes(self, option: str, text: str, value: Any) -> None:
        """What is told of a value gives the same settings when it is typed."""
        made = resolve({option: [text]}, {})

        assert resolve({option: [as_text(made, option)]}, {}) == made

    @pytest.mark.parametrize("option", NAMES)
    def test_default(self, option: str) -> None:
        """The defaults as well."""
        assert parse(option, as_text(Settings(), option)) == getattr(Settings(), option)

    @given(st.sampled_from(NAMES), st.text() | st.from_regex(NUMBERS, fullmatch=True))
    def test_anything(self, option: str, text: str) -> None:
        """Whatever an option takes."""
        try:
            made = resolve({option: [text]}, {})
        except SettingsError:
            return
        if option != "workers" or made.workers:
            assert resolve({option: [as_text(made, option)]}, {}) == made

    @pytest.mark.parametrize(
        ("option", "text", "told"),
        [
            ("keep_alive", "30", "30s"), ("keep_alive", "5m", "300s"), ("keep_alive", "250ms", "0.25s"),
            ("limit_request_body", "512MB", "512M"), ("limit_request_body", "1025", "1025"), ("max_rss", "0", "0"),
            ("limit_request_line", "8192", "8192"), ("workers", "2:8", "2:8"), ("workers", "3:3", "3"),
            ("forwarded_allow_ips", "10.0.0.1, ::1", "10.0.0.1,::1"), ("replay", "off", "off"),
        ],
    )  # fmt: skip
    def test_is_short(self, option: str, text: str, told: str) -> None:
        """As an operator would write it."""
        assert as_text(resolve({option: [text]}, {}), option) == told


class TestEntry:
    def test_secret(self) -> None:
        """It is told that there is one, and nothing more."""
        sourced = trace({"admin_token": ["swordfish"]}, {})

        assert sourced.entry("admin_token")["value"] == "***"
        assert sourced.entry("admin_action_token")["value"] == ""

    def test_all_of_it(self) -> None:
        """Name, value, where it comes from, when a change counts."""
        assert trace({"keep_alive": ["5"]}, {}).entry("keep_alive") == {
            "name": "keep-alive", "value": "5s", "origin": "command line", "change": "live",
        }  # fmt: skip


class TestOrigins:
    def test_who_won(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of file, environment and command line; nothing said is a default."""
        path = tmp_path / "twistcorn.conf"
        path.write_text("workers = 1\nthreads = 2\nbacklog = 3\n")
        for variable in [name for name in os.environ if name.startswith("TWISTCORN_")]:
            monkeypatch.delenv(variable)
        monkeypatch.setenv("TWISTCORN_THREADS", "4")
        monkeypatch.setenv("TWISTCORN_WORKERS", "4")
        read = read_sourced({"workers": ["5"], "config": [str(path)]})

        assert {name: read.entry(name)["origin"] for name in ("workers", "threads", "backlog", "replay")} == {
            "workers": "command line", "threads": "environment", "backlog": "file", "replay": "default",
        }  # fmt: skip

    def test_code(self) -> None:
        """Settings that an application made are its own, where they are no defaults."""
        read = Sourced.of(Settings(threads=3))

        assert (read.origins, Sourced.of(read)) == ({"threads": CODE}, read)

    def test_bounds_survive_a_change(self) -> None:
        """Within them the number may be another one; told are the bounds."""
        made = from_values(workers="2:8")
        changed = Sourced(made).change(workers=5)

        assert (made.workers, changed.settings.workers, changed.entry("workers")["value"]) == (2, 5, "2:8")
        assert set(FIELDS).isdisjoint({"workers_bounds", "threads_bounds"})


@pytest.mark.parametrize(
    ("option", "text"), [("workers", "8:2"), ("workers", "0:2"), ("workers", "2:257"), ("workers", "2:"),
                         ("workers", "auto:4"), ("threads", "1:4"), ("threads", ":4"), ("threads", "2:4:6")],
)  # fmt: skip
def test_bounds_that_are_none(option: str, text: str) -> None:
    """The lower one comes first; one thread is another way of working, so it is no lower bound."""
    with pytest.raises(SettingsError, match=r"or a range (of at least 2 )?such as 2:8"):
        parse(option, text)
