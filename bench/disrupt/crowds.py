"""The crowd as its parent sees it: a process that is started, told, and asked what it saw.

Law: whatever it starts is gone when the ``with`` block ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from bench.command import BenchError
from bench.cores import pinning
from bench.disrupt.client import Orders
from bench.disrupt.tally import Phase, from_json

ROOT = Path(__file__).parents[2]
# Beyond the patience of the clients.
LAST_WAIT = 10.0


class Crowd:
    """A crowd at work."""

    def __init__(self, orders: Orders, process: subprocess.Popen[bytes]) -> None:
        self.orders = orders
        self._process = process

    def begin(self, phase: str) -> None:
        """From now on count for this phase."""
        self._say(f"phase {phase}")

    def end_asking(self) -> None:
        """Ask nothing more; what is asked is waited for."""
        self._say("finish")

    def finish(self) -> tuple[Phase, ...]:
        """Let the clients get their last answers; tell what they saw in each phase."""
        return self._result("finish")

    def leave(self) -> tuple[Phase, ...]:
        """Cut the clients off; tell what they saw in each phase."""
        return self._result("leave")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        # Clients that are done are gone before they are told so again.
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n".encode())

    def _result(self, order: str) -> tuple[Phase, ...]:
        assert self._process.stdout is not None
        self._say(order)
        text = self._process.stdout.read()
        if self._process.wait(self.orders.patience + LAST_WAIT) != 0:
            raise BenchError("the clients' process failed")
        return tuple(from_json(values) for values in json.loads(text))


@contextmanager
def crowd(orders: Orders, cpu: int | None) -> Iterator[Crowd]:
    """A crowd that asks from now until it is finished, or the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.disrupt.crowd", json.dumps(asdict(orders))],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        preexec_fn=pinning(cpu),
    )
    with process:
        try:
            assert process.stdout is not None
            # Its first line: the clients are about to ask.
            process.stdout.readline()
            yield Crowd(orders, process)
        finally:
            process.kill()
