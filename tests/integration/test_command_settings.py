"""`twistcorn get` and `twistcorn set`, and a server that runs."""

from __future__ import annotations

import json

import pytest

from tests.integration.command import command, said
from tests.integration.conftest import Start
from tests.integration.harness import Server


@pytest.fixture
def server(start: Start) -> Server:
    """A server whose threads the command line gives."""
    return start("app:app", "--threads", "2").ready()


def setting(server: Server, name: str) -> dict[str, str]:
    """What counts, and where it comes from."""
    (only,) = json.loads(said(server, "get", name, "--json"))
    assert isinstance(only, dict)
    return only


def test_it_is_changed(server: Server) -> None:
    """A new value is confirmed, listed, and used by the workers."""
    assert (setting(server, "threads")["value"], setting(server, "threads")["origin"]) == ("2", "command line")
    assert said(server, "set", "threads", "3") == "threads set to 3\n"
    assert (setting(server, "threads")["value"], setting(server, "threads")["origin"]) == ("3", "set")
    assert "of 3 busy" in said(server, "status")


@pytest.mark.parametrize(
    ("words", "said_why"),
    [
        (("threads", "none"), "invalid value 'none' for threads: expected "),
        (("threds", "3"), "unknown setting 'threds'; did you mean threads?"),
        (("listen", ":80"), "listen needs a restart"),
    ],
)
def test_it_is_refused(server: Server, words: tuple[str, str], said_why: str) -> None:
    """It is said what is allowed, in one line, and everything is as it was."""
    before = said(server, "get")
    done = command(server, "set", *words)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert said_why in done.stderr
    assert said(server, "get") == before


def test_all_of_them(server: Server) -> None:
    """One line for each option, under a head."""
    lines = said(server, "get").splitlines()
    assert lines[0].split() == ["NAME", "VALUE", "ORIGIN", "CHANGES"]
    assert len(lines) > 30
    assert command(server, "get", "threds").returncode == 1


def test_scale_and_get_agree(server: Server) -> None:
    """After `scale` the number of workers is the same wherever it is asked for."""
    said(server, "scale", "3")
    server.ready(3)
    assert (setting(server, "workers")["value"], setting(server, "workers")["origin"]) == ("3", "scale")
    assert "3 of 3 ready" in said(server, "status")
    assert json.loads(said(server, "status", "--json"))["memory"] > 0
