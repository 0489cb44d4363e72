"""The standard library as it was before the application was loaded.

Law: copies of whole modules, taken when this one is first imported, in a worker before the application is. An
application may replace functions and classes of these modules (a proxy library the socket class, a test tool the
clock): no server code in a worker uses a name that it can replace. Twisted, and the other packages that the server is
built on, get the same copies (`give`). State in the interpreter itself (a default time-out, a signal's handler) is not
protected here.
"""

from __future__ import annotations

import sys as _sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os as os
    import select as select
    import signal as signal
    import socket as socket
    import sys as sys
    import tempfile as tempfile
    import threading as threading
    import time as time

    _copies: tuple[tuple[ModuleType, ModuleType], ...]
else:
    import os as _os
    import select as _select
    import signal as _signal
    import socket as _socket
    import tempfile as _tempfile
    import threading as _threading
    import time as _time

#: The built-in `open`, under a private name.
open_file = open


def _copy(module: ModuleType) -> ModuleType:
    """A private copy of a module."""
    copy = ModuleType(module.__name__, module.__doc__)
    copy.__dict__.update(module.__dict__)
    return copy


def _at_home(function: FunctionType, module: ModuleType) -> FunctionType:
    """The same function with this module's globals."""
    new = FunctionType(
        function.__code__, module.__dict__, function.__name__, function.__defaults__, function.__closure__
    )
    new.__kwdefaults__ = function.__kwdefaults__
    return new


def _bind(module: ModuleType, name: str) -> None:
    """Give a copied module its own copy of a class, whose methods use the copied module's globals."""
    original = getattr(module, name)
    body = {key: value for key, value in vars(original).items() if key not in ("__dict__", "__weakref__")}
    for key, value in body.items():
        if isinstance(value, FunctionType):
            body[key] = _at_home(value, module)
        elif isinstance(value, property) and isinstance(value.fget, FunctionType):
            body[key] = property(_at_home(value.fget, module))
    setattr(module, name, type(name, original.__bases__, body))


def _own_thread(module: ModuleType) -> type:
    """A subclass of Thread whose methods no application can replace; `isinstance` still works with the original.

    Only the start uses the original's globals: a trace function or thread start that monitoring has replaced must work
    in the threads that run the application.
    """
    original: type = module.Thread
    methods: dict[str, object] = {}
    for key, value in vars(original).items():
        if isinstance(value, FunctionType):
            methods[key] = value if key in ("start", "_bootstrap_inner") else _at_home(value, module)
        elif isinstance(value, property):
            methods[key] = value
    return type(original.__name__, (original,), methods)


def give(*packages: str) -> None:
    """Make the imported modules of these packages use the copies as well."""
    ours = {id(original): copy for original, copy in _copies}
    for name, module in list(_sys.modules.items()):
        if name.partition(".")[0] in packages and isinstance(module, ModuleType):
            for key, value in list(vars(module).items()):
                if id(value) in ours:
                    setattr(module, key, ours[id(value)])


if not TYPE_CHECKING:
    os, select, signal, socket = _copy(_os), _copy(_select), _copy(_signal), _copy(_socket)
    threading, time, sys, tempfile = _copy(_threading), _copy(_time), _copy(_sys), _copy(_tempfile)
    # These create locks through a global of their module.
    _bind(threading, "Condition")
    _bind(threading, "Event")
    threading.Thread = _own_thread(threading)
    for _name, _value in list(vars(tempfile).items()):
        if isinstance(_value, FunctionType) and _value.__module__ == "tempfile":
            setattr(tempfile, _name, _at_home(_value, tempfile))
    _bind(tempfile, "_RandomNameSequence")
    tempfile._os = os
    _copies = (
        (_os, os), (_select, select), (_signal, signal), (_socket, socket), (_threading, threading), (_time, time)
    )  # fmt: skip
