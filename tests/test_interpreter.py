"""An interpreter that the server cannot rely on is refused before anything starts."""

from __future__ import annotations

import pytest

from twistcorn import interpreter
from twistcorn.errors import EXIT_USAGE, SettingsError
from twistcorn.interpreter import require_lock
from twistcorn.service import WSGIPoolService
from twistcorn.sources import read_sourced


def test_free_threaded_python_is_refused_in_one_line() -> None:
    """The message says what to do instead."""
    with pytest.raises(SettingsError, match=r"^[^\n]*free-threaded[^\n]*PYTHON_GIL=1$") as raised:
        require_lock(lambda: False)
    assert raised.value.exit_code == EXIT_USAGE


def test_an_interpreter_with_its_lock_is_good() -> None:
    """The one that runs this test has it, or nothing here would work."""
    require_lock(lambda: True)
    require_lock()


def test_all_ways_to_start_a_server_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both commands read their settings, and an embedding application creates a service."""
    monkeypatch.setattr(interpreter.require_lock, "__defaults__", (lambda: False,))
    with pytest.raises(SettingsError, match="interpreter lock"):
        read_sourced({})
    with pytest.raises(SettingsError, match="interpreter lock"):
        WSGIPoolService("app:app", reactor=object())
