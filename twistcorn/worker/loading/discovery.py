"""Finds the app from the files on disk.

Law: owns every search of the app's directory, and reads sources as text. Never imports or runs a file, never changes
the process, and treats an unreadable file as empty, never as an error.
"""

from __future__ import annotations

import ast
import difflib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType

from ...pristine import open_file, os

SETTINGS_KEY = "DJANGO_SETTINGS_MODULE"
APP_NAMES = ("application", "app")
FACTORY_NAMES = ("create_app", "make_app")
DEMO = "twistcorn.demo:app"
_FILES = ("wsgi", "app", "main")
_SKIPPED = ("__pycache__", "node_modules")


@dataclass(frozen=True)
class SourceFile:
    """The top-level names of one file.

    :ivar names: each name and how it is defined: "import", "call" (assigned from one), "function", "needy"
        (a function with required parameters) or "other".
    :ivar opaque: whether the names are unknown without running it: a star import, or invalid syntax.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    opaque: bool = False

    def guess(self) -> str:
        """The expression after the colon that is most likely the app, or ""."""
        for name in APP_NAMES:
            if name in self.names:
                return name
        for name in FACTORY_NAMES:
            if self.names.get(name, "needy") != "needy":
                return f"{name}()"
        return ""


@dataclass(frozen=True)
class FoundApp:
    """The choice of discovery if no app was named; exactly one of target, settings and problem is set.

    :ivar settings: Django's settings module, whose WSGI_APPLICATION is the app.
    :ivar problem: why nothing there can be served, for a message.
    """

    how: str = ""
    target: str = ""
    settings: str = ""
    problem: str = ""


def find(directory: str, environ: Mapping[str, str]) -> FoundApp:
    """Choose the app of a directory, from manage.py, wsgi.py, app.py, main.py, or the built-in demo."""
    found, complaints = _django(directory, environ)
    if found:
        return found
    for module in _FILES:
        path = os.path.join(directory, f"{module}.py")
        if not os.path.isfile(path):
            continue
        source = read(path)
        guess = source.guess()
        if guess:
            return FoundApp(how=f"found {guess} in {module}.py", target=f"{module}:{guess}")
        if source.opaque and module != "main":
            return FoundApp(how=f"found {module}.py", target=module)
        if module != "main":
            complaints.append(_without_app(module, source))
    if complaints:
        return FoundApp(problem=f"no --app given, and in {directory} " + "; ".join(complaints))
    how = f"no --app given and no manage.py, wsgi.py or app.py in {directory}: serving the built-in demo"
    return FoundApp(how=how, target=DEMO)


def read(path: str) -> SourceFile:
    """Read the top-level names of a Python file, without running it."""
    tree = _parse(path)
    if tree is None:
        return SourceFile(opaque=os.path.isfile(path))
    names: dict[str, str] = {}
    for node in _top_level(tree.body):
        names.update(_defined(node))
    opaque = names.pop("*", "") != ""
    return SourceFile(names, opaque)


def modules_in(directory: str) -> list[str]:
    """The names of the modules and packages in a directory."""
    names = []
    for entry in _listing(directory):
        stem, extension = os.path.splitext(entry)
        path = os.path.join(directory, entry)
        if extension == ".py" and not stem.startswith("__") and os.path.isfile(path):
            names.append(stem)
        elif entry.isidentifier() and any(inner.endswith(".py") for inner in _listing(path)):
            names.append(entry)
    return names


def file_of(module: str, root: str) -> str:
    """The file of a dotted module name under a root, or ""."""
    base = os.path.join(root, *module.split("."))
    for path in (f"{base}.py", os.path.join(base, "__init__.py")):
        if os.path.isfile(path):
            return path
    return ""


def near(module: str, directory: str) -> tuple[str, str]:
    """Find a module one folder below a directory or one above: its file and the folder to start from."""
    below = [os.path.join(directory, entry) for entry in _listing(directory)]
    for root in [*filter(_is_searched, below), os.path.dirname(directory)]:
        path = file_of(module, root) if root != directory else ""
        if path:
            return path, root
    return "", ""


def apps_below(folder: str, prefix: str) -> str:
    """A "did you mean" for the apps in the modules of a folder, or ""."""
    guesses = [(name, read(file_of(name, folder)).guess()) for name in modules_in(folder)]
    targets = [f"`{prefix}{name}:{guess}`" for name, guess in guesses if guess]
    return f"Did you mean {' or '.join(targets[:3])}?" if targets else ""


def virtualenv_in(directory: str) -> str:
    """The virtualenv in a directory, under one of the usual names, or ""."""
    for name in (".venv", "venv", "env"):
        if os.path.isfile(os.path.join(directory, name, "pyvenv.cfg")):
            return os.path.join(directory, name)
    return ""


def close(word: str, names: Iterable[str]) -> str:
    """The name that a word is most likely a misspelling of, or ""."""
    folded = {name.casefold(): name for name in names}
    hits = difflib.get_close_matches(word.casefold(), folded, 1, 0.6)
    return folded[hits[0]] if hits else ""


def no_module(
    missing: str, module: str, expression: str, directory: str, package: ModuleType | None
) -> tuple[str, str]:
    """Explain where a module was searched, and what may have been meant.

    :param missing: the part of the module's dotted name that was not found.
    :param package: the imported parent of that part, if any.
    """
    parent, _, last = missing.rpartition(".")
    where = f"no module named `{missing}` in {directory} (searched first, then sys.path)."
    folder = directory
    if package is not None:
        told = vars(package)  # not getattr, which may run the package's own __getattr__
        folder = next(iter(told.get("__path__") or ()), "")
        where = f"no module named `{last}` in the package `{parent}` ({folder})."
        if not folder:
            where = f"`{parent}` is not a package but the module {told.get('__file__', '')}."
        if (expression or last) in told:
            return where, f"Did you mean `{parent}:{expression or last}`?"
    colon = f":{expression}" if expression else ""
    path, root = near(module, directory)
    if path:
        name = os.path.basename(root)
        below = os.path.dirname(root) == directory and file_of(name, directory)
        return (
            where,
            f"Found at {path}: did you mean {f'`{name}.{module}{colon}`' if below else f'--chdir {root}'}?",
        )
    modules = [name for name in modules_in(folder) if name != "asgi"] if folder else []
    prefix = f"{parent}." if package is not None else ""
    hit = close(last, modules)
    if hit:
        return where, f"Did you mean `{prefix}{hit}{module[len(missing) :]}{colon}`?"
    return where, _what_is_in(folder, prefix, modules) if folder else ""


def _what_is_in(folder: str, prefix: str, modules: list[str]) -> str:
    """List the modules of a folder, preferably those that have an app."""
    if not modules:
        return "There are no Python files there: check --chdir."
    return apps_below(folder, prefix) or "Modules there: " + ", ".join(modules[:8]) + (
        ", ..." if len(modules) > 8 else "."
    )


def _without_app(module: str, source: SourceFile) -> str:
    needy = [name for name in FACTORY_NAMES if source.names.get(name) == "needy"]
    if needy:
        return f"`{needy[0]}` in {module}.py needs arguments: give --app '{module}:{needy[0]}(...)' with its arguments"
    made = [f"{module}:{name}" for name, kind in source.names.items() if kind == "call" and name[0] != "_"]
    hint = "Did you mean --app " + " or ".join(made[:3]) + "?" if made else "Name the app with --app"
    return f"{module}.py has no application, app, create_app() or make_app(). {hint}"


def _is_searched(folder: str) -> bool:
    name = os.path.basename(folder)
    hidden = name.startswith(".") or name in _SKIPPED
    return not hidden and os.path.isdir(folder) and not os.path.exists(os.path.join(folder, "pyvenv.cfg"))


def _listing(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _parse(path: str) -> ast.Module | None:
    try:
        with open_file(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the import shows them, once
            return ast.parse(file.read())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that an import executes, except those under `if __name__ == "__main__"`."""
    for node in body:
        if isinstance(node, ast.If):
            guarded = any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(node.test))
            yield from _top_level([] if guarded else [*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handlers = [inner for handler in node.handlers for inner in handler.body]
            yield from _top_level([*node.body, *handlers, *node.orelse, *node.finalbody])
        elif isinstance(node, ast.With):
            yield from _top_level(node.body)
        else:
            yield node


def _defined(node: ast.stmt) -> dict[str, str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name: "needy" if _required(node.args) else "function"}
    if isinstance(node, ast.ClassDef):
        return {node.name: "other"}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0]: "import" for alias in node.names}
    if isinstance(node, ast.Assign) or (isinstance(node, ast.AnnAssign) and node.value):
        kind = "call" if isinstance(node.value, ast.Call) else "other"
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        parts = [part for target in targets for part in ast.walk(target)]
        return {n.id: kind for n in parts if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return {}


def _required(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    return positional > len(arguments.defaults) or None in arguments.kw_defaults


def _django(directory: str, environ: Mapping[str, str]) -> tuple[FoundApp | None, list[str]]:
    """Read the settings module that manage.py names, or complain that it names none."""
    path = os.path.join(directory, "manage.py")
    if not os.path.isfile(path):
        return None, []
    tree = _parse(path)
    values = list(_settings_values(tree)) if tree else []
    literal = next((value for value in values if value), "")
    if environ.get(SETTINGS_KEY):
        return FoundApp(how="found manage.py", settings=environ[SETTINGS_KEY]), []
    if literal:
        return FoundApp(how="found manage.py", settings=literal), []
    if values:
        why = f"no --app given, and manage.py computes {SETTINGS_KEY}: set that variable, or give --app"
        return FoundApp(problem=why), []
    return None, [f"manage.py sets no {SETTINGS_KEY}"]


def _settings_values(tree: ast.Module) -> Iterator[str]:
    """Yield each value that a manage.py assigns to the settings variable; "" for one known only at run time."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "setdefault" and len(node.args) == 2 and _is_key(node.args[0]):
                yield _literal(node.args[1])
        elif isinstance(node, ast.Assign):
            target = node.targets[0]
            if isinstance(target, ast.Subscript) and _is_key(target.slice):
                yield _literal(node.value)


def _is_key(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == SETTINGS_KEY


def _literal(node: ast.expr) -> str:
    """The string literal of an expression, or the default of a get()."""
    if isinstance(node, ast.Call) and len(node.args) == 2:
        node = node.args[1]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
