"""Applications and a recording `Out`, for the tests of the call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from twisted.logger import Logger, capturedLogs

from twistcorn.worker.http.responses import Fields
from twistcorn.worker.loop.stream import ClientGone
from twistcorn.worker.wsgi.call import Application, Call

Headers = list[tuple[str, str]]
Start = Callable[..., Any]


class RecordingOut:
    """An `Out` that keeps what it gets, and holds the caller to the order of the protocol.

    :ivar heads: status and field lines, one each time that a response begins.
    :ivar pieces: the pieces of the body; `whole`: whether the first was said to be all.
    :ivar ending: `end`, `cut`, or empty while there is none.
    :param name: the request's.
    :param gone: the number of pieces, the first included, after which the client is gone.
    :param left_at: the look, by its number, that finds the client gone.
    :ivar looks: how often it was looked whether the client is there.
    """

    def __init__(self, name: str = "GET /", gone: int = 0, left_at: int = 0) -> None:
        self.name = name
        self.is_head = name.startswith("HEAD ")
        self.heads: list[tuple[str, str]] = []
        self.pieces: list[bytes] = []
        self.whole = False
        self.ending = ""
        self._gone = gone
        self.looks = 0
        self._left_at = left_at

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def status(self) -> int:
        """The status code of the one response."""
        ((status, _),) = self.heads
        return int(status[:3])

    def begin(self, status: str, fields: Fields, data: bytes, whole: bool) -> None:
        assert not self.heads, "begin twice"
        assert not self.ending
        self.heads.append((status, fields.text))
        self.whole = whole
        self._take(data)

    def more(self, data: bytes) -> None:
        assert self.heads, "more in front of begin"
        assert not self.whole, "more behind the whole"
        assert not self.ending
        assert data, "an empty piece would end a chunked body"
        self._take(data)

    def check_client(self) -> None:
        assert not self.ending
        self.looks += 1
        if self.looks == self._left_at:
            raise ClientGone

    def send_file(self, status: str, fields: Fields, descriptor: int, offset: int, size: int) -> bool:
        raise AssertionError("this out cannot send files")

    def end(self) -> None:
        self._finish("end")

    def cut(self) -> None:
        self._finish("cut")

    def _finish(self, how: str) -> None:
        assert self.heads, f"{how} in front of begin"
        assert not self.ending, f"{how} behind {self.ending}"
        self.ending = how

    def _take(self, data: bytes) -> None:
        self.pieces.append(data)
        if len(self.pieces) == self._gone:
            raise ClientGone


class Body:
    """An iterable that counts its close() calls.

    :param chunks: what it yields; an exception is raised.
    :ivar asked: how many were asked for.
    """

    def __init__(self, *chunks: Any, closing: BaseException | None = None) -> None:
        self._chunks = chunks
        self._closing = closing
        self.asked = 0
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        for chunk in self._chunks:
            self.asked += 1
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk

    def close(self) -> None:
        self.closed += 1
        if self._closing is not None:
            raise self._closing


def app(body: Any, headers: Headers | None = None, status: str = "200 OK") -> Application:
    """An application with this answer."""

    def answer(environ: dict[str, Any], start_response: Start) -> Any:
        start_response(status, headers or [])
        return body

    return answer


def call(
    application: Application, out: RecordingOut | None = None, name: str = "GET /"
) -> tuple[RecordingOut, list[str]]:
    """Call an application; returns what became of it and what was logged."""
    out = RecordingOut(name) if out is None else out
    with capturedLogs() as events:
        Call(out).run(application, {})
    assert all(isinstance(event["log_logger"], Logger) for event in events)
    return out, [_text(event) for event in events]


def _text(event: dict[str, Any]) -> str:
    """What a line says, without whom it is about; of the values only what the application did."""
    text: str = event["log_format"].partition(": ")[2]
    return text.replace("{did}", event.get("did", ""))


def current() -> Any:
    """The exception that is being handled."""
    return sys.exc_info()
