"""Loads the callable that --app names, or raises one message that says what to do about it.

Law: owns importing the app, and with it sys.path and Django's settings variable. Every failure leaves as a complete
AppLoadError. Never serves, never retries, and never shows a frame that is not the app's.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from twistcorn.errors import AppLoadError
from twistcorn.worker.loading import discovery, hints
from twistcorn.worker.process import forks

from ...pristine import os


@dataclass(frozen=True)
class Loaded:
    """A loaded app.

    :ivar application: the WSGI callable.
    :ivar target: the place it was loaded from, like "app:app".
    :ivar how: why it was chosen, as a clause; "" if --app named it.
    """

    application: Callable[..., Any]
    target: str
    how: str


@dataclass(frozen=True)
class _Target:
    """The parsed value of --app.

    :ivar names: the dotted path within the module; empty means `application`, then `app`.
    :ivar call: the source of the call, like `("x", key=1)`; "" without a call.
    """

    module: str
    names: tuple[str, ...] = ()
    call: str = ""
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return ":".join(filter(None, (self.module, self.expression)))

    @property
    def expression(self) -> str:
        return ".".join(self.names) + self.call


def load(target: str, directory: str, pythonpath: Sequence[str] = ()) -> Loaded:
    """Find and import the app.

    :param target: `module`, `module:name`, `module:name.attribute`, `module:factory("literal", key=1)`, or
        "" to search the directory for an app.
    :param directory: the working directory, searched first for modules.
    :param pythonpath: folders searched next.
    :raises AppLoadError: there is no app to serve; with a message for the operator.
    """
    first = [directory, *(os.path.join(directory, entry) for entry in pythonpath)]
    sys.path[:] = first + [entry for entry in sys.path if entry not in first]
    importlib.invalidate_caches()
    target = target.strip()
    if target:
        return _Loader(f"the app `{target}`", directory).load(target)
    found = discovery.find(directory, os.environ)
    how = found.how
    if found.problem:
        raise AppLoadError(f"cannot load the app: {found.problem}")
    if found.settings:
        asked = f"the app (no --app given: {how} with {discovery.SETTINGS_KEY}={found.settings})"
        target, how = _Loader(asked, directory).django(found.settings, how)
    target = target or found.target
    loaded = _Loader(f"the app `{target}` (no --app given: {how})", directory).load(target)
    return Loaded(loaded.application, loaded.target, how)


class _Loader:
    """One attempt to load one app; knows how its error messages begin.

    :ivar asked: what was asked for, as every message names it.
    """

    def __init__(self, asked: str, directory: str) -> None:
        self.asked = asked
        self.directory = directory

    def load(self, text: str) -> Loaded:
        target = self.parse(text)
        module = self.imported(target.module, target.expression)
        if not target.names:
            target = self.default(target, module)
        value = self.resolved(target, module)
        if target.call:
            value = self.called(target, value)
        self.check(target, module, value)
        return Loaded(value, str(target), "")

    def fail(self, why: str, *more: str) -> AppLoadError:
        """Build the error: what was asked for, why it failed, and further sentences, some of them perhaps empty."""
        return AppLoadError(" ".join(filter(None, (f"cannot load {self.asked}: {why}", *more))))

    def failed(self, what: str, exc: BaseException) -> AppLoadError:
        """Build the error for an exception of the app: summary, the app's traceback, what to do."""
        lines = (
            f"cannot load {self.asked}: {what} failed: {hints.summary(exc)}",
            hints.own_traceback(exc),
            hints.advice(exc, self.directory),
        )
        return AppLoadError("\n".join(filter(None, lines)))

    def parse(self, text: str) -> _Target:
        module, colon, expression = (part.strip() for part in text.partition(":"))
        self.check_module_name(module, expression)
        if not colon:
            return _Target(module)
        try:
            node = ast.parse(expression, mode="eval").body
        except (SyntaxError, ValueError):
            raise self.fail(self.syntax(module, expression)) from None
        target = _Target(module)
        if isinstance(node, ast.Call):
            arguments, keywords = self.literals(node)
            call = expression.encode()[node.func.end_col_offset or 0 :].decode().strip()
            target = _Target(module, (), call, arguments, keywords)
            node = node.func
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            raise self.fail(self.syntax(module, expression))
        return replace(target, names=(node.id, *names))

    def literals(self, node: ast.Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        try:
            if any(keyword.arg is None for keyword in node.keywords):
                raise ValueError("** is no literal")
            keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
            return tuple(ast.literal_eval(argument) for argument in node.args), keywords
        except (ValueError, TypeError):
            raise self.fail(
                f"the arguments of `{ast.unparse(node)}` must be literals: strings, numbers, None, True, "
                "False, or tuples, lists, dicts and sets of them."
            ) from None

    def syntax(self, module: str, expression: str) -> str:
        """Explain the fault after the colon."""
        if not expression:
            return f"nothing follows the colon. Did you mean `{module}`?"
        first = expression.partition(":")[0].strip()
        if first != expression and all(part.isidentifier() for part in first.split(".")):
            return f"it has one colon too many. Did you mean `{module}:{first}`?"
        return (
            f"`{expression}` is neither a name nor a call. "
            f'Write `{module}:name`, `{module}:name.attribute` or `{module}:factory("argument")`.'
        )

    def check_module_name(self, module: str, expression: str) -> None:
        if module[:1] in ("'", '"'):
            bare = f"{module}:{expression}".strip("'\":")
            raise self.fail(f"the quotes are part of the value. Did you mean `{bare}`?")
        is_path = "/" in module or os.sep in module
        if module.endswith(".py") or is_path:
            raise self.fail(self.file_name(module, expression))
        if not module:
            raise self.fail("there is no module name before the colon. Write `module:name`.")
        if any(char.isspace() for char in module) or not all(module.split(".")):
            raise self.fail(f"`{module}` is not a module name. Write `module:name` or `package.module:name`.")

    def file_name(self, path: str, expression: str) -> str:
        """Explain that a file was named, and which module it is, seen from the directory."""
        full = os.path.normpath(os.path.join(self.directory, path))
        if os.path.isdir(full):
            return f"`{path}` is a directory. Did you mean --chdir {full}?"
        stem = full.removesuffix(".py")
        relative = os.path.relpath(stem, self.directory)
        chdir = ""
        if relative.startswith(".."):
            chdir = f"--chdir {os.path.dirname(full)} and "
            relative = os.path.basename(stem)
        module = relative.replace(os.sep, ".").removesuffix(".__init__")
        name = expression or discovery.read(f"{stem}.py").guess() or "app"
        return f"`{path}` is a file name, not a module. Did you mean {chdir}`{module}:{name}`?"

    def imported(self, name: str, expression: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:
            forks.leave_if_forked(exc)
            if isinstance(exc, ModuleNotFoundError) and not hints.app_frames(exc):
                missing = exc.name or name
                package = sys.modules.get(missing.rpartition(".")[0])
                said = discovery.no_module(missing, name, expression, self.directory, package)
                raise self.fail(*said) from None
            raise self.failed(f"importing {name}", exc) from None

    def default(self, target: _Target, module: ModuleType) -> _Target:
        for name in discovery.APP_NAMES:
            try:
                getattr(module, name)
            except AttributeError:
                continue
            except Exception as exc:
                raise self.failed(f"reading `{name}`", exc) from None
            return replace(target, names=(name,))
        neither = "neither `application` nor `app`"
        raise self.fail(*hints.no_name(module, "app", neither, self.directory))

    def resolved(self, target: _Target, module: ModuleType) -> Any:
        value: Any = module
        for depth, name in enumerate(target.names):
            try:
                value = getattr(value, name)
            except AttributeError:
                rest = "".join(f".{later}" for later in target.names[1:]) + target.call
                so_far = str(replace(target, names=target.names[:depth], call=""))
                if depth == 0:
                    raise self.fail(
                        *hints.no_name(module, name, f"no `{name}`", self.directory, rest)
                    ) from None
                raise self.fail(*hints.no_attribute(so_far, value, name)) from None
            except Exception as exc:
                raise self.failed(f"reading `{name}`", exc) from None
        return value

    def called(self, target: _Target, factory: Any) -> Any:
        bare = replace(target, call="")
        what = f"`{bare.expression}` is"
        if not callable(factory):
            raise self.fail(f"{what} {hints.kind(factory)}, which cannot be called.")
        plain = not target.arguments and not target.keywords and not inspect.isclass(factory)
        if plain and hints.looks_wsgi(factory):
            raise self.fail(f"{what} the app, not a factory. Did you mean `{bare}`?")
        try:
            value = factory(*target.arguments, **target.keywords)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:
            forks.leave_if_forked(exc)
            raise self.failed(f"calling {target.expression}", exc) from None
        if inspect.iscoroutine(value):
            value.close()  # or Python warns that it was never awaited
            raise self.fail(f"{what} an async function; a factory must be a plain function.")
        return value

    def check(self, target: _Target, module: ModuleType, value: Any) -> None:
        """Raise unless a value can be called as a WSGI app."""
        what = f"`{target.expression}` {'returned' if target.call else 'is'}"
        why: tuple[str, ...] = ()
        if value is None and target.call:
            why = f"{what} None.", "Does it return the app?"
        elif isinstance(value, ModuleType):
            why = f"{what} a module, not an app.", hints.others(value, target.names[-1])
        elif not callable(value):
            that = "None" if value is None else f"{hints.kind(value)}, which cannot be called"
            why = f"{what} {that}.", hints.others(module, target.names[-1])
        elif asynchronous := hints.asynchronous(value):
            instead = hints.instead_of_asgi(module, value)
            why = f"{what} an {asynchronous}; twistcorn serves WSGI.", instead
        elif inspect.isclass(value):
            why = self.no_wsgi_class(target, module, value)
        elif not target.call and hints.is_factory(target.names[-1], value):
            why = (hints.factory(str(target), value),)
        elif not hints.takes_two(value):
            taken = ", ".join(hints.required(value))
            why = (f"{what} a callable of ({taken}); a WSGI app takes (environ, start_response).",)
        if why:
            raise self.fail(*why)

    def no_wsgi_class(self, target: _Target, module: ModuleType, value: type) -> tuple[str, ...]:
        if hints.is_wsgi_class(value):
            return ()
        why = f"`{target.expression}` is a class; the app must be an instance."
        if hints.makes_wsgi(value) and not target.call:
            return why, f"Did you mean `{target}()`?"
        return why, hints.others(module, target.names[-1])

    def django(self, settings: str, how: str) -> tuple[str, str]:
        """Read the app from Django's settings: its target, and how it was found."""
        given = os.environ.get(discovery.SETTINGS_KEY)
        os.environ[discovery.SETTINGS_KEY] = settings
        value = getattr(self.imported(settings, ""), "WSGI_APPLICATION", None)
        source = f"{settings}, from {discovery.SETTINGS_KEY}" if given else settings
        if value is None:
            return "django.core.wsgi:get_wsgi_application()", f"{how}: {source} has no WSGI_APPLICATION"
        module, dot, name = str(value).rpartition(".")
        if not dot:
            raise self.fail(f"WSGI_APPLICATION in {settings} is {value!r}, not the dotted name of an app.")
        return f"{module}:{name}", f"{how}: WSGI_APPLICATION in {source}"
