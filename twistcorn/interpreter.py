"""Requirements of the server on its Python interpreter.

Law: checks, and refuses in one line; changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from .errors import SettingsError

#: Python 3.13 and later have it; before, there is always a lock.
_has_lock: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)


def require_lock(has_lock: Callable[[], bool] = _has_lock) -> None:
    """Refuse a free-threaded Python (PEP 703): see "Without the interpreter lock" in docs/design.md.

    :raises SettingsError: there is no interpreter lock.
    """
    if not has_lock():
        raise SettingsError(
            "twistcorn does not support free-threaded Python yet: use a Python with the interpreter lock, or set"
            " PYTHON_GIL=1"
        )
