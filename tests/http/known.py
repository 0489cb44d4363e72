"""What is known to be wrong with the product: the tests that fail because of it, in one list.

Law: a key is the name of a case of the corpus, with a comma and a way of feeding it where only that one fails, or of a
claim in tests/worker. Its tests are expected to fail, strictly, so that whoever mends the fault takes the entry out.
"""

from __future__ import annotations

import pytest

#: Name of the case or claim: what is wrong.
KNOWN: dict[str, str] = {}


def known(*names: str) -> pytest.MarkDecorator:
    """The mark for a test of these names: an expected failure while one is listed, nothing otherwise."""
    listed = [name for name in names if name in KNOWN]
    return pytest.mark.xfail(bool(listed), reason=KNOWN[listed[0]] if listed else "fixed", strict=True)
