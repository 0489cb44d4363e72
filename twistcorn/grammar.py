"""The small grammar that several rooms share: tokens (RFC 9110 section 5.6.2), and the names in dates (section 5.6.7).

Law: constants only; each is a piece of a regular expression or a word on the wire.
"""

from __future__ import annotations

#: A token, as text and as bytes, for regular expressions.
TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
TOKEN_BYTES = TOKEN.encode("ascii")

#: By the numbers of `time.struct_time`, whatever the locale says; Monday is 0, January is the first.
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
