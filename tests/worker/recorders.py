"""A worker whose scoreboard, sockets, epoll and reports write into one journal, in the order in which things happen.

Law: what is recorded is also done: the kernel and the memory are the real ones.
"""

from __future__ import annotations

import select
import socket
from typing import Any

from tests.http.served import UNIX, Client, Served
from twistcorn.settings import Settings
from twistcorn.wire.channel import Kind
from twistcorn.wire.scoreboard import (
    CONSUMED,
    S_ATTEMPT,
    S_CONSUME_TO,
    S_CONSUMED0,
    S_DEADLINE,
    S_SINCE,
    S_STATE,
    S_THREAD,
    S_WRITTEN0,
    S_WRITTEN_END,
    Scoreboard,
    SlotState,
)
from twistcorn.worker.loop.addresses import Address
from twistcorn.worker.wsgi.call import Application

#: The words of a slot, as the journal calls them.
WORDS = {
    S_ATTEMPT: "attempt", S_SINCE: "since", S_DEADLINE: "deadline", S_WRITTEN0: "written0",
    S_WRITTEN_END: "written_end", S_CONSUME_TO: "consume_to", S_THREAD: "thread", S_CONSUMED0: "consumed0",
}  # fmt: skip

#: What happened: a verb and its argument.
Entry = tuple[str, Any]


class Words:
    """The words of a scoreboard; those of slot 0 are recorded when they are set."""

    def __init__(self, words: Any, base: int, journal: list[Entry]) -> None:
        self._words = words
        self._base = base
        self._journal = journal

    def __getitem__(self, index: int) -> int:
        value: int = self._words[index]
        return value

    def __setitem__(self, index: int, value: int) -> None:
        self._words[index] = value
        word = index - self._base
        if word == S_STATE:
            state = SlotState(value & 0xFF)
            self._journal.append((state.name, "consumed" if value & CONSUMED else ""))
        elif word in WORDS:
            self._journal.append((WORDS[word], value))

    def release(self) -> None:
        self._words.release()


class RecordingBoard(Scoreboard):
    """A scoreboard with a journal."""

    def __init__(self, fd: int, workers: int, slots: int, journal: list[Entry] | None = None) -> None:
        super().__init__(fd, workers, slots)
        self.journal: list[Entry] = [] if journal is None else journal
        self.words: Any = Words(self.words, self.slot_base(0), self.journal)


class RecordingSocket(socket.socket):
    """A socket that records what changes the streams; looking does not."""

    journal: list[Entry]

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = super().recv(size, flags)
        if not flags & socket.MSG_PEEK:
            self.journal.append(("take", len(data)))
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        taken = super().recv_into(buffer, size, flags)
        self.journal.append(("take", taken))
        return taken

    def send(self, data: Any, flags: int = 0) -> int:
        sent = super().send(data, flags)
        self.journal.append(("send", sent))
        return sent

    def sendmsg(self, buffers: Any, *rest: Any) -> int:
        sent = super().sendmsg(buffers, *rest)
        self.journal.append(("send", sent))
        return sent

    def shutdown(self, how: int) -> None:
        self.journal.append(("shutdown", how))
        super().shutdown(how)

    def close(self) -> None:
        self.journal.append(("close", self.fileno()))
        super().close()


class RecordingEpoll:
    """An epoll that records which descriptors leave it."""

    def __init__(self, epoll: select.epoll, journal: list[Entry]) -> None:
        self._epoll = epoll
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._epoll, name)

    def unregister(self, descriptor: int) -> None:
        self._journal.append(("unregister", descriptor))
        self._epoll.unregister(descriptor)


class Recorded(Served):
    """A worker with a journal; its one connection is in slot 0.

    :ivar journal: what happened, oldest first.
    """

    def __init__(
        self, app: Application, settings: Settings, address: Address = UNIX, board: RecordingBoard | None = None
    ) -> None:
        if board is None:
            created = RecordingBoard.create(1, 1)
            assert isinstance(created, RecordingBoard)
            board = created
        self.journal = board.journal
        super().__init__(app, settings, address, board)
        epoll: Any = RecordingEpoll(self.poller.holdings.epoll, self.journal)
        self.poller.holdings.epoll = epoll
        self.descriptor = -1

    def lend(self, server: socket.socket, slot: int = 0, sequence: int = 0, flags: int = 0) -> None:
        super().lend(server, slot, sequence, flags)
        (connection,) = self.connections()
        self.descriptor = connection.stream.sock.fileno()
        recording = RecordingSocket(fileno=connection.stream.sock.detach())
        recording.journal = self.journal
        connection.stream.sock = recording

    def connect(self, slot: int = 0, flags: int = 0) -> Client:
        client = super().connect(slot, flags)
        self.journal.clear()
        return client

    def _report(self, kind: Kind, slot: int, sequence: int) -> None:
        super()._report(kind, slot, sequence)
        self.journal.append(("report", kind))

    def entries(self, *verbs: str) -> list[Entry]:
        """What happened of these kinds."""
        return [entry for entry in self.journal if entry[0] in verbs]

    def verbs(self, *without: str) -> list[str]:
        """What happened, without some of it."""
        return [verb for verb, _ in self.journal if verb not in without]
