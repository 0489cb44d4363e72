"""The phases of a connection in a worker: who uses it, and for what.

Law: a name for each, and nothing else.
"""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """Who uses a connection, and for what."""

    READING = "waiting for a request, or for the rest of its head"
    BODY = "reading a body"
    TURN = "an app thread has it"
    WRITING = "the reactor sends the rest of an answer"
    LINGERING = "closing: waiting for the client to have read"
    CLOSED = "closed"
