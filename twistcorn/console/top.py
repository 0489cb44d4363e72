"""`twistcorn top`: the server, live in a terminal.

Law: waits for the server, the keys and the terminal at once, and draws after each event. `screen` knows what is drawn,
`view` what a key means.
"""

from __future__ import annotations

import os
import select
from dataclasses import replace

from ..client import Client, result
from ..errors import OperationError, UnreachableError
from .screen import JSON, plain, render
from .terminal import Terminal, usable
from .view import Action, View, done, keys, press

#: For the first snapshot.
FIRST_SNAPSHOT_SECONDS = 10.0


def run_top(client: Client) -> int:
    """Show the server until the user quits.

    :return: the exit code.
    :raises UnreachableError: the server has exited.
    """
    if not usable(os.environ):
        print("\n".join(plain(client.ask("snapshot"))))
        return 0
    client.send("watch")
    first: JSON = result(client.receive(FIRST_SNAPSHOT_SECONDS))
    with Terminal() as terminal:
        Top(client, terminal, first).run()
    return 0


class Top:
    """The live view.

    :param client: has sent `watch`.
    :param first: the first snapshot.
    """

    def __init__(self, client: Client, terminal: Terminal, first: JSON) -> None:
        self._client = client
        self._terminal = terminal
        self._snapshot = first
        self._previous: JSON | None = None
        self._view = View()
        #: The connection of an action without an answer yet: a reload takes seconds.
        self._asked: Client | None = None
        self._action: Action | None = None

    def run(self) -> None:
        """Draw until the user quits."""
        try:
            while not self._view.over:
                self._draw()
                self._wait()
        finally:
            if self._asked is not None:
                self._asked.close()

    def _draw(self) -> None:
        width, height = self._terminal.size()
        self._terminal.show(render(self._snapshot, self._previous, width, height, self._view), width)

    def _wait(self) -> None:
        """Wait for an event, and handle it."""
        sources = [self._client, self._terminal.keys, self._terminal.wake]
        ready, _, _ = select.select([*sources, *([self._asked] if self._asked else [])], [], [])
        if self._terminal.wake in ready:
            self._terminal.woken()
        if self._client in ready:
            self._take_snapshots()
        if self._asked is not None and self._asked in ready:
            self._answered(self._asked)
        if self._terminal.keys in ready:
            self._typed(self._terminal.read())

    def _take_snapshots(self) -> None:
        try:
            snapshots = [result(line) for line in self._client.arrived()]
        except OperationError:
            raise UnreachableError("connection lost: the server has exited") from None
        for snapshot in snapshots if not self._view.paused else ():
            self._previous, self._snapshot = self._snapshot, snapshot

    def _typed(self, data: bytes) -> None:
        if not data:
            self._view = replace(self._view, over=True)
        for key in keys(data):
            self._view, action = press(self._view, key, self._snapshot, self._previous)
            if action is not None:
                self._ask(action)

    def _ask(self, action: Action) -> None:
        if self._asked is not None:
            self._show_message("the previous action is still running")
            return
        try:
            self._asked = Client(self._client.path)
            self._asked.send(action.command, **action.arguments)
            self._action = action
        except OSError as error:
            self._show_message(str(error.strerror or error))
            return
        self._show_message(f"{action.command} ...")

    def _answered(self, asked: Client) -> None:
        try:
            lines = asked.arrived()
            if not lines:
                return
            assert self._action is not None
            self._show_message(done(self._action, result(lines[0])))
        except OperationError as error:
            self._show_message(str(error))
        asked.close()
        self._asked = None

    def _show_message(self, message: str) -> None:
        self._view = replace(self._view, message=message)
