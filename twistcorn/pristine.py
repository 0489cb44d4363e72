"""The standard library as it was before the application came.

Law: copies of whole modules, taken when this one is first imported, which in a worker is before the application is.
What an application puts in the place of a function or a class of these modules (a proxy's library a socket class,
a test tool a clock) is its own affair: nothing of the server in a worker goes through a name that it can replace.
What lives in the interpreter and not in a name (a default time-out, a signal's handler) is not held off here.
"""

from __future__ import annotations

from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os as os
    import select as select
    import signal as signal
    import socket as socket
    import threading as threading
    import time as time
else:
    import os as _os
    import select as _select
    import signal as _signal
    import socket as _socket
    import threading as _threading
    import time as _time

#: The built-in `open`, by a name that nobody else has.
open_file = open


def _copy(module: ModuleType) -> ModuleType:
    """A module with the same contents, which nobody else has."""
    copy = ModuleType(module.__name__, module.__doc__)
    copy.__dict__.update(module.__dict__)
    return copy


def _bind(module: ModuleType, name: str) -> None:
    """Give a copied module a class of its own, whose methods go through the copy's names, not the original's."""
    original = getattr(module, name)
    body = {
        key: FunctionType(value.__code__, module.__dict__, value.__name__, value.__defaults__, value.__closure__)
        if isinstance(value, FunctionType) else value
        for key, value in vars(original).items() if key not in ("__dict__", "__weakref__")
    }  # fmt: skip
    setattr(module, name, type(name, original.__bases__, body))


if not TYPE_CHECKING:
    os, select, signal, socket = _copy(_os), _copy(_select), _copy(_signal), _copy(_socket)
    threading, time = _copy(_threading), _copy(_time)
    # They make locks by a name of their module. A `Thread` stays the original's: `threading.enumerate` shows ours, too.
    _bind(threading, "Condition")
    _bind(threading, "Event")
