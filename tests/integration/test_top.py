"""`twistcorn top` on a real terminal: what is seen, what keys do, and that the terminal is given back."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from tests.integration.conftest import Start
from tests.integration.gate import Gate
from tests.integration.harness import GONE, TIMEOUT, Server
from tests.integration.screen import ENTER, LEAVE, Terminal

DOWN = "\x1b[B"


@pytest.fixture
def server(start: Start) -> Server:
    """A server with two workers."""
    return start("app:app", "--workers", "2").ready(2)


@pytest.fixture
def top(server: Server) -> Iterator[Terminal]:
    """Its live view, with the first frame on it."""
    with Terminal(server, "top") as terminal:
        terminal.wait_for_text("2 of 2 ready")
        yield terminal


def given_back(terminal: Terminal) -> None:
    """The terminal is as it was: its modes, its screen, its cursor."""
    assert terminal.after == terminal.before
    assert terminal.output.count(ENTER) == terminal.output.count(LEAVE) == 1
    assert terminal.output.rindex("\x1b[?25h") > terminal.output.rindex("\x1b[?25l")
    assert terminal.output.endswith(LEAVE)


class TestSeen:
    def test_what_happens(self, server: Server, top: Terminal, gate: Gate) -> None:
        """A request that runs, the requests that were answered, and a worker that died."""
        with server.connect() as client:
            client.ask("/wait?name=it")
            visitor = gate.visitor("it")
            top.wait_for_text("GET /wait")
            visitor.release()
            client.response()
            top.wait_for(lambda rows: not any("GET /wait" in row for row in rows), "it is answered")
        with server.connect() as client:
            client.ask("/abort")
            top.wait_for_text("recent worker deaths")
            assert any("SIGABRT" in row for row in top.rows)

    @pytest.mark.parametrize("size", [(60, 12), (150, 40)])
    def test_another_size(self, top: Terminal, size: tuple[int, int]) -> None:
        """The screen is filled anew, at once."""
        top.resize(*size)
        rows = top.wait_for(lambda rows: len(rows) == size[1] and bool(rows[-1]), f"{size[1]} rows")
        assert max(map(len, rows)) <= size[0]

    def test_paused(self, server: Server, top: Terminal) -> None:
        """It says so, and goes on at the next key."""
        top.type("p")
        top.wait_for_text("PAUSED")
        top.type("p")
        top.wait_for(lambda rows: not any("PAUSED" in row for row in rows), "it goes on")


class TestKeys:
    def test_scale(self, server: Server, top: Terminal) -> None:
        """+ asks; n does nothing, y does it."""
        top.type("+")
        top.wait_for_text("scale from 2 to 3? y: yes")
        top.type("n")
        top.wait_for_text("cancelled")
        top.type("+y")
        top.wait_for_text("3 of 3 ready")
        assert len(server.seen("worker target set to")) == 1

    def test_recycle(self, server: Server, top: Terminal) -> None:
        """c replaces the selected worker."""
        top.type(DOWN + DOWN + "c")
        top.wait_for_text("replace worker 2? y: yes")
        top.type("y")
        assert server.wait_for(GONE)[0]["ident"] == "2"
        top.wait_for(lambda rows: any(row.startswith("     3") and " ready " in row for row in rows), "worker 3")

    def test_reload(self, server: Server, top: Terminal) -> None:
        """R reloads, and says when it is over; the screen goes on meanwhile."""
        top.type("Ry")
        top.wait_for_text("generation 2")
        top.wait_for_text("reloaded in ")
        server.wait_for("reload complete")


class TestEnd:
    @pytest.mark.parametrize(
        ("end", "code"),
        [
            (lambda top: top.type("q"), 0),
            (lambda top: top.type("\x03"), 130),
            (lambda top: top.process.send_signal(signal.SIGTERM), 143),
            (lambda top: top.process.send_signal(signal.SIGHUP), 129),
        ],
        ids=["q", "ctrl-c", "SIGTERM", "SIGHUP"],
    )
    def test_the_terminal_is_given_back(self, top: Terminal, end: Callable[[Terminal], None], code: int) -> None:
        """However it ends, and standard error is silent."""
        end(top)
        assert top.end() == (code, "")
        given_back(top)

    def test_the_window_is_closed(self, top: Terminal) -> None:
        """It ends, and does not complain."""
        top.close()
        assert top.process.wait(TIMEOUT) in (0, 129)
        assert top.process.stderr is not None
        assert top.process.stderr.read() == ""

    def test_the_server_ends(self, server: Server, top: Terminal) -> None:
        """69, and one line, on the screen that was there before."""
        server.send(signal.SIGKILL)
        assert top.end() == (69, "twistcorn: connection lost: the server has exited\n")
        given_back(top)


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_can_do_nothing(server: Server, term: str) -> None:
    """One snapshot, without a single control character."""
    with Terminal(server, "top", term=term) as terminal:
        assert terminal.end() == (0, "")
    assert f"pid {server.pid}: serving" in terminal.output
    assert terminal.output.replace("\r\n", "").isprintable()
