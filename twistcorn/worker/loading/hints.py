"""Explains to the operator why an object or an exception is not a WSGI app.

Law: inspects only: never imports, calls or changes anything of the app, and never raises for an object that resists
inspection. `application` decides whether something is an error.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from twistcorn.worker.loading import discovery

from ...pristine import os

_FACTORY = re.compile(r"(create|make|build|get|init|setup)_?(\w+_)?(app|application)$|app\w*_factory$", re.I)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_HERE = os.path.dirname(discovery.find.__code__.co_filename)
_NOT_THE_APPS = {
    importlib.__file__,
    *(os.path.join(_HERE, name) for name in ("application.py", "discovery.py", "hints.py")),
}
_MAX_FRAMES = 30


def parameters(value: Any, unwrap: bool = False) -> list[inspect.Parameter] | None:
    """The parameters of a callable, None if unknown.

    :param unwrap: inspect the function behind functools.wraps, not the wrapper.
    """
    try:
        return list(inspect.signature(value, follow_wrapped=unwrap).parameters.values())
    except Exception:  # a proxy, a callable written in C, an annotation that cannot be evaluated
        return None


def required(value: Any) -> list[str]:
    """The names of a callable's required parameters."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters(value) or () if p.default is p.empty and p.kind not in variadic]


def takes_two(value: Any) -> bool:
    """Whether a callable can be called with (environ, start_response), as far as is known."""
    known = parameters(value)
    if known is None:
        return True
    positional = [p for p in known if p.kind in _POSITIONAL]
    more = any(p.kind is p.VAR_POSITIONAL for p in known)
    needed = [p for p in known if p.default is p.empty and p.kind in (*_POSITIONAL, p.KEYWORD_ONLY)]
    only_named = any(p.kind is p.KEYWORD_ONLY for p in needed)
    return (len(positional) >= 2 or more) and len(needed) <= 2 and not only_named


def looks_wsgi(value: Any) -> bool:
    """Whether a callable takes two parameters with names like WSGI's."""
    if not callable(value) or not takes_two(value) or asynchronous(value):
        return False
    names = [p.name for p in parameters(value) or () if p.kind in _POSITIONAL]
    return len(names) >= 2 and ("env" in names[0] or "start" in names[1])


def asynchronous(value: Any) -> str:
    """"ASGI application" or "async function" for what WSGI cannot call, else ""."""
    routine = inspect.isroutine(value) or isinstance(value, functools.partial)
    call = value if routine else _call_of(value if inspect.isclass(value) else type(value))
    if call is None:
        return ""
    names = [p.name for p in parameters(call, unwrap=True) or ()][0 if routine else 1 :]
    if names[:3] == ["scope", "receive", "send"]:
        return "ASGI application"
    if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
        return "async function" if routine and len(names) != 3 else "ASGI application"
    return ""


def is_wsgi_class(value: type) -> bool:
    """Whether calling the class itself is calling an app, as in PEP 3333's AppClass."""
    return takes_two(value) and (hasattr(value, "__iter__") or looks_wsgi(value))


def makes_wsgi(value: type) -> bool:
    """Whether a class needs no arguments and its instances are apps."""
    call = _call_of(value)
    names = [p.name for p in parameters(call) or ()][1:] if call else []
    return len(names) == 2 and not asynchronous(value) and not required(value)


def is_factory(name: str, value: Any) -> bool:
    """Whether a callable creates the app instead of being it: by its name, or because it takes no argument."""
    if not inspect.isroutine(value) and not isinstance(value, functools.partial):
        return False
    if looks_wsgi(value) or {"app", "application"} & set(required(value)):
        return (
            False  # an app, or a function that takes one, like init_app(app) of Flask's extensions
        )
    named = _FACTORY.search(name) or _FACTORY.search(getattr(value, "__name__", ""))
    return bool(named) or (not takes_two(value) and not required(value))


def apps_in(module: ModuleType) -> list[str]:
    """The names in a module that look like WSGI apps."""
    return [name for name, value in _public(module) if not inspect.isclass(value) and looks_wsgi(value)]


def factories_in(module: ModuleType) -> list[str]:
    """The functions in a module that are named like app factories."""
    return [name for name, value in _public(module) if _FACTORY.search(name) and is_factory(name, value)]


def callables_in(module: ModuleType) -> list[str]:
    """The callables of a module that could be an app or a factory."""
    plain = [(name, value) for name, value in _public(module) if callable(value)]
    return [name for name, value in plain if not inspect.isclass(value) or is_wsgi_class(value)]


def others(module: ModuleType, word: str, rest: str = "") -> str:
    """A "did you mean" for a word, from the names of a module; "" if nothing in it looks like an app.

    :param rest: what follows the word in the target, like ".wsgi_app" or "()".
    """
    apps = [name for name in apps_in(module) if name != word]
    factories = [name for name in factories_in(module) if name != word]
    plain = [name for name in callables_in(module) if name != word]
    hit = discovery.close(word, [*apps, *factories]) or discovery.close(word, plain)
    made = hit or ("" if apps or not factories else factories[0])
    if made in factories and not rest:
        return factory(f"{module.__name__}:{made}", getattr(module, made))
    if hit:
        return f"Did you mean `{module.__name__}:{hit}{'' if hit in apps and rest[:1] == '(' else rest}`?"
    listed = " or ".join(f"`{module.__name__}:{name}`" for name in apps[:4])
    return f"Did you mean {listed}?" if listed else ""


def factory(target: str, value: Any) -> str:
    """Explain that a target is a factory, and how to call it."""
    name, needed = target.partition(":")[2], required(value)
    if needed:
        return f"`{name}` is a factory: did you mean `{target}(...)`, with literals for {', '.join(needed)}?"
    return f"`{name}` is a factory: did you mean `{target}()`?"


def no_name(module: ModuleType, word: str, lacks: str, directory: str, rest: str = "") -> tuple[str, str]:
    """Explain that a module lacks a name, and what may have been meant."""
    file = vars(module).get("__file__")
    folders = list(vars(module).get("__path__") or ())
    place = file or next(iter(folders), "built in")
    where = f"the module `{module.__name__}` ({place}) has {lacks}."
    expected = discovery.file_of(module.__name__, directory)
    if expected and (not file or os.path.realpath(expected) != os.path.realpath(file)):
        return where, f"It is not {expected}, because another module has that name: rename the file."
    inner = discovery.file_of(word, folders[0]) if folders else ""
    if inner:
        name = rest.lstrip(".") or discovery.read(inner).guess() or "app"
        return where, f"Did you mean `{module.__name__}.{word}:{name}`?"
    below = discovery.apps_below(folders[0], f"{module.__name__}.") if folders else ""
    return where, others(module, word, rest) or below


def no_attribute(target: str, value: Any, word: str) -> tuple[str, str]:
    """Explain that an object in a module lacks an attribute, and what may have been meant."""
    hit = discovery.close(word, [name for name in dir(value) if not name.startswith("_")])
    where = f"`{target}` is {kind(value)} and has no attribute `{word}`."
    return where, f"Did you mean `{target}.{hit}`?" if hit else ""


def kind(value: Any) -> str:
    """The type name of a value, with its article."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} `{name}`"


def instead_of_asgi(module: ModuleType, value: Any) -> str:
    """Suggest what to serve instead of an ASGI application."""
    parent, _, last = module.__name__.rpartition(".")
    file = os.path.join(os.path.dirname(getattr(module, "__file__", None) or ""), "wsgi.py")
    if last == "asgi" and os.path.isfile(file):
        name = discovery.read(file).guess() or "application"
        return f"Did you mean `{parent}{'.' if parent else ''}wsgi:{name}`?"
    if type(value).__module__.startswith("django."):
        return "Django's WSGI app comes from django.core.wsgi.get_wsgi_application()."
    return "Use an ASGI server, such as uvicorn, or wrap it in a2wsgi.ASGIMiddleware."


def summary(exc: BaseException) -> str:
    """One line for an exception: its type and the first line of its message."""
    raised = type(exc)
    name = raised.__qualname__
    if raised.__module__ != "builtins":
        name = f"{raised.__module__}.{name}"
    try:
        first, more, _ = str(exc).strip().partition("\n")
    except Exception:
        return name
    return f"{name}: {first}{' ...' if more else ''}" if first else name


def own_traceback(exc: BaseException) -> str:
    """The traceback, cut to the app's frames; "" if it has none and the summary says it all."""
    told = traceback.TracebackException.from_exception(exc)
    left_out = sum(_cut(part) for part in _chain(told))
    if not told.stack and not isinstance(exc, SyntaxError) and not told.__cause__:
        return ""
    lines = "".join(told.format() if told.stack else told.format_exception_only())
    if left_out:
        lines += f"({left_out} frames in the middle omitted)\n"
    return "\n".join("  " + line if line else line for line in lines.rstrip("\n").split("\n"))


def app_frames(exc: BaseException) -> list[str]:
    """The files of the app's frames that an exception went through, innermost last."""
    files = [frame.filename for frame in traceback.extract_tb(exc.__traceback__)]
    return [file for file in files if _is_the_apps(file)]


def advice(exc: BaseException, directory: str) -> str:
    """What to do about an exception during the app's import; "" if its own message must suffice."""
    link: BaseException | None = exc
    while link is not None:
        said = _advice(link, directory)
        if said:
            return said
        link = link.__cause__
    return ""


def hidden_by(module: str, directory: str) -> str:
    """The file in the app's directory that hides an installed or standard module of its name, or ""."""
    top = module.partition(".")[0]
    path = discovery.file_of(top, directory) if top else ""
    return path if path and (top in sys.stdlib_module_names or _is_elsewhere(top, directory)) else ""


def _advice(exc: BaseException, directory: str) -> str:
    if isinstance(exc, SystemExit):
        return 'Importing it calls exit(): put that call under `if __name__ == "__main__":`.'
    if not isinstance(exc, ImportError | AttributeError):
        return ""
    partial = "partially initialized module" in str(exc)
    named = re.search(r"module '([\w.]+)'", str(exc))
    module = (exc.name if isinstance(exc, ImportError) else "") or (named.group(1) if named else "")
    frames = app_frames(exc)
    top = module.partition(".")[0]
    path = hidden_by(module, directory)
    if path and not (partial and _is_among_own(frames, path, top, directory)):
        return f"{path} shadows the module `{top}`: rename the file."
    if frames and top and os.path.realpath(frames[-1]) == _real(directory, f"{top}.py"):
        return f"{frames[-1]} imports itself: it has the name of the module it needs. Rename the file."
    if partial:
        asker = os.path.basename(frames[-1]) if frames else "it"
        return (
            f"Circular import: {asker} uses `{module}` before its import has finished. "
            "Move one of the two imports into the function that needs it."
        )
    return _missing(module, directory) if isinstance(exc, ModuleNotFoundError) and module else ""


def _is_among_own(frames: list[str], path: str, top: str, directory: str) -> bool:
    """Whether the app's own files import each other: a circle, even if an installed module has the same name."""
    last = frames[-1] if frames else ""
    inside = last.startswith(os.path.join(directory, "")) and "site-packages" not in last
    itself = last == path and os.path.basename(path) != "__init__.py"
    return inside and not itself and top not in sys.stdlib_module_names


def _missing(module: str, directory: str) -> str:
    """What to do about a missing module that the app needs."""
    top = module.partition(".")[0]
    setting = os.environ.get(discovery.SETTINGS_KEY, "")
    if setting and f"{setting}.".startswith(f"{module}."):
        return f"{discovery.SETTINGS_KEY} is `{setting}`: check the name and --chdir."
    path, root = discovery.near(module, directory)
    if path:
        return f"Found at {path}: did you mean --pythonpath {root}?"
    if top in sys.modules or discovery.file_of(top, directory) or _is_elsewhere(top, directory):
        return ""
    venv = discovery.virtualenv_in(directory)
    if venv and os.path.realpath(venv) != os.path.realpath(sys.prefix):
        question = f"use the one in the virtualenv {venv}"
    else:
        question = "is it the one in the app's virtualenv?"
    return f"`{top}` is not installed in this interpreter, {sys.executable}: {question}"


def _call_of(cls: type) -> Any:
    """The unbound __call__ of a class's instances."""
    for base in cls.__mro__:
        if "__call__" in base.__dict__:
            found = base.__dict__["__call__"]
            return found.__func__ if isinstance(found, staticmethod | classmethod) else found
    return None


def _public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in list(vars(module).items()) if not name.startswith("_"))


def _is_elsewhere(top: str, directory: str) -> bool:
    path = [entry for entry in sys.path if os.path.realpath(entry) != os.path.realpath(directory)]
    try:
        spec = importlib.machinery.PathFinder.find_spec(top, path)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def _real(directory: str, name: str) -> str:
    return os.path.join(os.path.realpath(directory), name)


def _is_the_apps(file: str) -> bool:
    return not file.startswith("<frozen importlib") and file not in _NOT_THE_APPS


def _chain(told: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """Yield a formatted exception, its causes and its group members."""
    yield told
    for inner in (told.__cause__, told.__context__, *(getattr(told, "exceptions", None) or ())):
        if inner is not None:
            yield from _chain(inner)


def _cut(told: traceback.TracebackException) -> int:
    """Cut one exception to the app's frames; of very many, keep the outermost and innermost."""
    kept = [frame for frame in told.stack if _is_the_apps(frame.filename)]
    left_out = max(0, len(kept) - _MAX_FRAMES)
    told.stack[:] = kept[: _MAX_FRAMES // 2] + kept[-(_MAX_FRAMES // 2) :] if left_out else kept
    return left_out
