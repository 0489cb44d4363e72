"""A client that claims nothing it has not seen: one connection, the bytes on it, and its end.

Law: standard library only, one connection per object, never a second attempt.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple

#: A TCP address, or the path of a UNIX socket.
Address = tuple[str, int] | str

TIMEOUT = 20.0


class Response(NamedTuple):
    """One answer.

    :ivar headers: by name in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Ended(Exception):
    """The server ended the connection before the answer was whole.

    :ivar seen: what came before.
    """

    def __init__(self, seen: bytes) -> None:
        super().__init__(seen)
        self.seen = seen


class Client:
    """One connection."""

    def __init__(self, address: Address) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self._left = b""
        try:
            self.sock.connect(address)
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def ask(
        self,
        target: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: str = "",
        version: str = "1.1",
    ) -> None:
        """Send a request.

        :param headers: further lines, each ending in CRLF.
        """
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {target} HTTP/{version}\r\nHost: localhost\r\n{length}{headers}\r\n"
        self.send(head.encode("latin-1") + (body or b""))

    def get(self, target: str, headers: str = "") -> Response:
        """Ask and read the answer."""
        self.ask(target, headers=headers)
        return self.response()

    def response(self, method: str = "GET") -> Response:
        """Read one answer, and nothing behind it.

        :raises Ended: the connection ended before.
        """
        lines = self.read_to(b"\r\n\r\n")[:-4].decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ", 2)[1])
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        if method == "HEAD" or status in (204, 304) or status < 200:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = b"".join(iter(self.chunk, b""))
        elif "content-length" in headers:
            body = self.read(int(headers["content-length"]))
        else:
            body = self.rest()
        return Response(status, headers, body)

    def chunk(self) -> bytes:
        """Read one chunk of a chunked body; the last one is empty."""
        size = int(self.read_to(b"\r\n"), 16)
        data = self.read(size)
        assert self.read(2) == b"\r\n"
        return data

    def read_to(self, end: bytes) -> bytes:
        """Read up to and with these bytes."""
        while end not in self._left:
            self._more()
        found = self._left.index(end) + len(end)
        data, self._left = self._left[:found], self._left[found:]
        return data

    def read(self, size: int) -> bytes:
        """Read this number of bytes."""
        pieces = [self._left]
        missing = size - len(self._left)
        while missing > 0:
            self._left = b""
            self._more()
            pieces.append(self._left)
            missing -= len(self._left)
        data = b"".join(pieces)
        self._left = data[size:]
        return data[:size]

    def rest(self) -> bytes:
        """Read up to the orderly end of the connection."""
        data, self._left = self._left, b""
        while piece := self.sock.recv(1 << 16):
            data += piece
        return data

    def _more(self) -> None:
        piece = self.sock.recv(1 << 16)
        if not piece:
            raise Ended(self._left)
        self._left += piece

    def ended(self) -> bool:
        """Wait for the end of the connection; False when bytes come instead."""
        try:
            return not self._left and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
