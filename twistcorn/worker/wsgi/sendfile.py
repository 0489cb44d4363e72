"""A part of a file on its way to the client, without a copy in memory where the kernel can do that (sendfile(2)).

Law: runs on the thread that has the turn. An error of the file is told as what it is, and never taken for a client that
is gone.
"""

from __future__ import annotations

import errno

from ...pristine import os
from ..loop.connection import Connection
from ..loop.stream import SEND_BYTES, ClientGone, Wait

#: One call: others get their turn in between.
FILE_PIECE_BYTES = 1 << 20

#: Errors that are the client's: its connection is broken.
_CLIENT = frozenset((errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTUNREACH,
                     errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ECONNABORTED))  # fmt: skip


def send_file(connection: Connection, descriptor: int, offset: int, size: int, wait: Wait) -> int:
    """Send a part of a file; returns how much of it there was.

    :raises ClientGone: the client is gone, or took nothing for too long.
    :raises OSError: the file cannot be read.
    """
    left = size
    while left > 0:
        try:
            sent = os.sendfile(connection.stream.sock.fileno(), descriptor, offset, min(left, FILE_PIECE_BYTES))
        except BlockingIOError:
            connection.stream.await_client(wait)
            continue
        except OSError as error:
            if error.errno in _CLIENT:
                connection.stream.keep = False
                raise ClientGone from error
            # Not every file system can do it; and what is wrong with a file, reading tells.
            data = os.pread(descriptor, min(left, SEND_BYTES), offset)
            connection.stream.send(b"", data, wait, False)
            sent = len(data)
        else:
            connection.stream.written += sent
        if sent == 0:
            break
        offset += sent
        left -= sent
    return size - left
