"""Raising an exception in another thread.

Law: the one place that calls into the interpreter by its C interface, and by a documented function of it.
"""

from __future__ import annotations

import ctypes

_set = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set.argtypes = (ctypes.c_ulong, ctypes.py_object)
# The same function; NULL is no object.
_take_back = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)


def set_exception(thread: int, kind: type[BaseException] | None) -> bool:
    """Have an exception raised in a thread as soon as it runs Python code; None takes back what has not come yet.

    :param thread: its `threading.get_ident()`.
    :return: whether there is such a thread.
    """
    return bool(_take_back(thread, None) if kind is None else _set(thread, kind))
