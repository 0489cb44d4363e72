"""What is known to be wrong with the product: the tests that fail because of it, in one list.

Law: a key is the name of a case of the corpus or of a claim in tests/worker; its tests are expected to fail, strictly,
so that whoever mends the fault takes the entry out with it.
"""

from __future__ import annotations

import pytest

ENDED = "the end of the stream behind part of a line is not noticed: 30 s of body timeout instead of an end"

#: Name of the case or claim: what is wrong.
KNOWN: dict[str, str] = {
    "chunked in front of blanks": "llhttp refuses white space behind `chunked`; RFC 9112 5.1 strips it",
    'size line 5;a="b\\\\"c"': "a quoted-pair in a chunk extension is refused; RFC 9112 7.1.1 and 9110 5.6.4 allow it",
    'size line 5;a="\\\\"': "a quoted string that a quoted-pair leaves open is accepted; RFC 9110 5.6.4",
    "chunked body that ends within the CRLF behind data": ENDED,
    "chunked body that ends within a size": ENDED,
    "chunked body that ends within the first size": ENDED,
    "chunked body that ends within a trailer": ENDED,
    "chunked body that ends within its last CRLF": ENDED,
}


def known(name: str) -> pytest.MarkDecorator:
    """The mark for a test of this name: an expected failure while the name is listed, nothing otherwise."""
    return pytest.mark.xfail(name in KNOWN, reason=KNOWN.get(name, "fixed"), strict=True)
