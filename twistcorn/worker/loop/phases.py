"""The phases of a connection in a worker: which thread uses it, and for what.

Law: names only.
"""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """Which thread uses a connection, and for what."""

    READING = "waiting for a request, or for the remainder of its head"
    BODY = "reading a body"
    TURN = "an app thread or the leader answers its request"
    WRITING = "the leader sends the remainder of an answer"
    LINGERING = "closing: waiting until the client has read the answer"
    CLOSED = "closed"
