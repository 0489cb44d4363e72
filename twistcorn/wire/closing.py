"""How long either process waits for the client of a connection that it closes.

Law: constants only. Closing on unread bytes resets a connection and takes back an answer that is on its way, so what
the client still sends is dropped first, within these bounds.
"""

from __future__ import annotations

#: Time for a round trip or two around the globe, and bytes for what was on its way when the answer came early.
LINGER_SECONDS = 2.0
LINGER_BYTES = 4 << 20
#: Bytes of a refused request that are dropped at least, however small the limit is that it exceeds: a client that sends
#: a photo where a form is allowed reads why not, and so does one behind a proxy. It costs no memory.
MIN_REFUSED_BYTES = 64 << 20
