"""What is known to be wrong with the product: the tests that fail because of it, in one list.

Law: a key is the name of a case of the corpus or of a claim in tests/worker; its tests are expected to fail, strictly,
so that whoever mends the fault takes the entry out with it.
"""

from __future__ import annotations

import pytest

#: Name of the case or claim: what is wrong.
KNOWN: dict[str, str] = {}


def known(name: str) -> pytest.MarkDecorator:
    """The mark for a test of this name: an expected failure while the name is listed, nothing otherwise."""
    return pytest.mark.xfail(name in KNOWN, reason=KNOWN.get(name, "fixed"), strict=True)
