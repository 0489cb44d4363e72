"""The master's part of the access log: requests that it answers itself, and those whose answer died with a worker.

Law: logs what the kernel still has of a request and what its slot says; reads no byte and decides nothing. A request
that a dead worker had read is logged by method and path alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ...grammar import TOKEN_BYTES
from ...logs.access import EntryLog
from ...logs.entries import Entry
from ...settings import Settings
from ...wire.scoreboard import Scoreboard, SlotState
from .table import ConnectionRecord

#: The worker's number in the master's lines: no worker has it.
MASTER_NUMBER = 0
#: The status of a response that a dead worker had begun: unknown.
NO_STATUS = 0
#: Bytes of a head that are peeked at: more than a log line needs.
PEEK_BYTES = 8192
_HEAD = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/(1)\.([01])\r\n" % TOKEN_BYTES)


class LoggedLine(NamedTuple):
    """A request line, as far as it is known."""

    method: str
    target: bytes
    path: bytes
    query: bytes
    version: tuple[int, int]


class LoggedFields(NamedTuple):
    """Header fields: names in lower case, and values."""

    headers: tuple[tuple[bytes, bytes], ...]


class AnswerLog(EntryLog):
    """The access log of the master, on or off.

    :param attach: called with the log when it is on, with None when it is off.
    """

    def __init__(self, clock: Any, scoreboard: Scoreboard, attach: Callable[[AnswerLog | None], None]) -> None:
        super().__init__(clock, MASTER_NUMBER, lambda on: attach(self if on else None))
        self._scoreboard = scoreboard

    def configure(self, settings: Settings) -> None:
        """Be as the settings say from now on."""
        self.set(settings.access_log, settings.access_log_format)

    def log_answer(self, connection: ConnectionRecord, status: int, sent: int, unread: bytes, since: float) -> None:
        """Log a request that the master answers, or whose response a dead worker left incomplete.

        :param status: of the answer, or NO_STATUS.
        :param sent: bytes of the answer's body.
        :param unread: the first bytes that wait on the connection.
        :param since: when it began to wait for a worker or a thread, in monotonic seconds; 0.0: it did not wait.
        """
        now, slot = time.monotonic_ns(), self._scoreboard.read_slot(connection.slot)
        ran = status != 503 and slot.state in (SlotState.IN_APP, SlotState.RESPONDING)
        entry = Entry()
        # Where a part of it was taken, what is unread could pass for a head, and is not this request's.
        if ran or (status == 503 and slot.state is not SlotState.CLOSING):
            entry.line, entry.block = read(unread, slot.head if ran else "")
        entry.start, entry.end = slot.since if ran and 0 < slot.since < now else now, now
        entry.queued = max(0.0, now / 1e9 - since) if since else 0.0
        entry.address, entry.code, entry.sent = _address(connection), status, sent
        entry.attempt, entry.keep, entry.whole = connection.attempt + 1, False, status != NO_STATUS
        self.add_entry(entry)


def read(unread: bytes, known: str) -> tuple[LoggedLine | None, LoggedFields | None]:
    """What a log tells of a request.

    :param unread: unread bytes, which begin with the request unless a worker has read it.
    :param known: its method and path, where a worker has noted them.
    """
    found = _HEAD.match(unread.lstrip(b"\r\n"))
    method, _, path = known.partition(" ")
    if found is None or not found[0].startswith(known.encode("latin-1")):
        data = path.encode("latin-1")
        return (LoggedLine(method, data, data, b"", (1, 1)) if method else None), None
    target = found[2]
    path_of, _, query = target.partition(b"?")
    fields, _, _ = unread.partition(b"\r\n\r\n")
    pairs = [line.partition(b":") for line in fields.lstrip(b"\r\n").split(b"\r\n")[1:]]
    headers = tuple((name.lower(), value.strip(b" \t")) for name, colon, value in pairs if colon)
    line = LoggedLine(found[1].decode(), target, path_of, query, (1, int(found[4])))
    return line, LoggedFields(headers)


def _address(connection: ConnectionRecord) -> str:
    """The peer's address; proxy headers are not read here."""
    try:
        name = connection.sock.getpeername()
    except OSError:
        return ""
    return str(name[0]) if isinstance(name, tuple) else ""
