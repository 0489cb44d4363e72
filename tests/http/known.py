"""What is known to be wrong with the product: the tests that fail because of it, in one list.

Law: a key is the name of a case of the corpus, with a comma and a way of feeding it where only that one fails, or of a
claim in tests/worker. Its tests are expected to fail, strictly, so that whoever mends the fault takes the entry out.
"""

from __future__ import annotations

import pytest

#: Name of the case or claim: what is wrong.
KNOWN: dict[str, str] = {
    "claim: HEAD of nothing": "Content-Length: 0 is made up for a HEAD; RFC 9110 8.6",
    "claim: 204 with a length": "an application's Content-Length is sent with a 204; RFC 9110 8.6",
    "claim: refused HEAD": "the refusal of a HEAD request has a body; RFC 9110 9.3.2",
    "claim: end within a head": "what is unread of a head makes the close a reset; RFC 9112 9.6",
}


def known(*names: str) -> pytest.MarkDecorator:
    """The mark for a test of these names: an expected failure while one is listed, nothing otherwise."""
    listed = [name for name in names if name in KNOWN]
    return pytest.mark.xfail(bool(listed), reason=KNOWN[listed[0]] if listed else "fixed", strict=True)
