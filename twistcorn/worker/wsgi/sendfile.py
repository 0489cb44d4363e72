"""Sends a part of a file to the client, without a copy in memory if the kernel can (sendfile(2)).

Law: runs on the turn's thread. A file error is reported as such, never taken for a client that is gone.
"""

from __future__ import annotations

import errno

from ...pristine import os
from ..loop.connection import Connection
from ..loop.stream import SEND_BYTES, ClientGone, Wait

#: Bytes per call: other threads run in between.
FILE_PIECE_BYTES = 1 << 20

#: Errors of the client's connection.
_CLIENT = frozenset((errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTUNREACH,
                     errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ECONNABORTED))  # fmt: skip


def send_file(connection: Connection, descriptor: int, offset: int, size: int, wait: Wait) -> int:
    """Send a part of a file; returns how many bytes the file had of it.

    :raises ClientGone: the client is gone, or read nothing within the write time-out.
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
            # Not every file system supports sendfile; for any other error, reading raises the real one.
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
