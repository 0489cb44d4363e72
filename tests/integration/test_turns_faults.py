"""Workers are killed and reloaded while the lead passes: no client hangs, nothing is lost but by a death."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.integration.client import Client, Ended
from tests.integration.conftest import Start
from tests.integration.harness import READY, Server, wait_until
from tests.integration.load import Load
from tests.integration.test_reload import reload
from tests.integration.test_turns import put

#: Answers as the probe; a part of the calls lasts long enough to lose the reactor. `/threads` says on how many threads
#: the application has run: on one where none did.
LASTING = """
import itertools
import threading
import time

from app import app as probe

turns, seen = itertools.count(), set()

def app(environ, start_response):
    seen.add(threading.get_ident())
    if environ["PATH_INFO"] == "/threads":
        start_response("200 OK", [])
        return [str(len(seen)).encode()]
    time.sleep((0, 0, 0.001, 0.006)[next(turns) % 4])
    return probe(environ, start_response)
"""

CLIENTS = 6
by_mode = pytest.mark.parametrize(("turns", "threads"), [("inline", 4), ("adaptive", 8), ("inline", 1)])


class Stubborn(Load):
    """Clients that only GET, and connect again when they were cut off.

    :ivar cuts: how often that was.
    """

    def __init__(self, server: Server) -> None:
        super().__init__(server.address, CLIENTS)
        self.cuts = 0

    def _once(self, client: Client, number: int, turn: int) -> bool:
        try:
            return super()._once(client, number, 0)
        except (Ended, ConnectionError):
            with self._news:
                self.cuts += 1
            return False

    def _run(self, number: int) -> None:
        while not self._ending and not self.failures:
            super()._run(number)


def serve(start: Start, folder: Path, turns: str, threads: int) -> Server:
    """A server with two workers."""
    app = put(folder, LASTING)
    return start(app, "--workers", "2", "--turns", turns, "--threads", str(threads)).ready(2)


def begin(load: Load, server: Server, threads: int) -> None:
    """The load is there, and the reactor changes hands: otherwise all this shows nothing."""
    load.more(10)
    # With one thread all calls run on that, under any leader.
    if threads > 1:
        wait_until(lambda: int(server.get("/threads")) > 1, "calls on several threads")


@pytest.mark.slow
@by_mode
def test_kill(start: Start, folder: Path, turns: str, threads: int) -> None:
    """kill -9, again and again: what did not run in that worker is answered, and so is everything afterwards."""
    server = serve(start, folder, turns, threads)
    kills = 3
    load = Stubborn(server)
    with load:
        begin(load, server, threads)
        for _ in range(kills):
            load.more(10)
            since = server.mark()
            os.kill(server.worker_pids[0], signal.SIGKILL)
            server.wait_for(READY, since=since)
        # Who was cut off has come back.
        load.more(2)
        cuts = load.cuts
        load.more(20)
        assert load.cuts == cuts <= kills * CLIENTS
    assert load.failures == []
    assert len(server.worker_pids) == 2


@pytest.mark.slow
@by_mode
def test_reload_and_stop(start: Start, folder: Path, turns: str, threads: int) -> None:
    """SIGHUP twice, then SIGTERM: every request is answered, on the connection that it came on."""
    server = serve(start, folder, turns, threads)
    with Load(server.address, CLIENTS) as load:
        begin(load, server, threads)
        for _ in range(2):
            reload(server)
            load.more(10)
        load.may_end = True
        server.send(signal.SIGTERM)
        load.wait_for_end()
    assert load.failures == []
    assert server.exit_code(10.0) == 0
