"""Raises an exception in another thread.

Law: the only place that calls the interpreter's C API, and only a documented function of it.
"""

from __future__ import annotations

import ctypes

_set = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set.argtypes = (ctypes.c_ulong, ctypes.py_object)
# The same function, typed to take NULL.
_take_back = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)


def set_exception(thread: int, kind: type[BaseException] | None) -> bool:
    """Raise an exception in a thread as soon as it runs Python code; None cancels one still pending.

    :param thread: its `threading.get_ident()`.
    :return: whether there is such a thread.
    """
    return bool(_take_back(thread, None) if kind is None else _set(thread, kind))
