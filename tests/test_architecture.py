"""The laws of the house: who may import whom, how long a thing may be, what a file opens with.

Law: the code is read, by `ast`, and not run, but for the one question that only running it answers. Each law is
one test, and a broken one names the file and the line. docs/design.md says why; a law that stands in the way is
changed there first.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGIN = ROOT / "twisted" / "plugins" / "twistcorn_plugin.py"

LONGEST_MODULE = 350
LONGEST_FUNCTION = 40
LONGEST_README = 100

#: Each room of the house, and the rooms that it may import. `testing` may import all of them.
MAY_IMPORT = {
    "errors": set[str](),
    "atoms": set[str](),
    "grammar": set[str](),
    "pristine": set[str](),
    "recurring": set[str](),
    "clock": set[str](),
    "steady_reactor": {"clock"},
    "timers": {"clock"},
    "copies": {"pristine"},
    "pidfile": set[str](),
    "interpreter": {"errors"},
    "shelter": {"pristine"},
    "demo": set[str](),
    "syntax": {"grammar"},
    "suggestions": set[str](),
    "foreign": set[str](),
    "groups": set[str](),
    "settings": {"atoms", "syntax", "suggestions", "errors"},
    "helptext": {"groups", "origins", "settings", "syntax"},
    "reference": {"helptext", "settings"},
    "unknown": {"foreign", "logs", "settings", "suggestions"},
    "origins": {"settings", "syntax"},
    "sources": {"interpreter", "settings", "origins", "unknown", "errors"},
    "policy": {"policy", "errors"},
    "wire": {"wire", "pristine", "errors"},
    "logs": {"logs", "grammar", "pristine", "recurring", "shelter", "atoms"},
    "worker": {
        "worker", "wire", "logs", "copies", "grammar", "pristine", "recurring", "shelter", "atoms", "settings",
        "errors",
    },
    "master": {
        "master", "policy", "wire", "logs", "copies", "grammar", "recurring", "settings", "origins", "suggestions",
        "syntax", "errors",
    },
    "service": {"interpreter", "logs", "timers", "master", "wire", "origins", "settings", "errors"},
    "client": {"wire", "errors"},
    "console": {"console", "client", "errors"},
    "standalone": {"pidfile", "service", "master", "wire", "logs", "origins", "settings", "errors"},
    "tap": {
        "helptext", "sources", "origins", "standalone", "service", "master", "wire", "settings", "unknown", "errors",
    },
    "__main__": {"cli"},
    "cli": {
        "console", "foreign", "helptext", "logs", "steady_reactor", "sources", "origins", "standalone", "service",
        "master", "wire", "settings", "suggestions", "unknown", "errors",
    },
}

#: The rooms within the two large ones, and the rooms beside them that they may import: what is not named is refused.
#: Modules that stand in no such room (`assembly`, `lifecycle`, ...) bring them together and may import all; only those
#: named in BESIDE are imported by rooms.
FLOORS = {
    "master": {
        "sockets": set[str](),
        "workers": {"sockets"},
        "metrics": {"workers", "sockets"},
        "control": {"metrics", "workers", "sockets"},
        "admin": {"control", "metrics", "workers", "sockets"},
    },
    "worker": {
        "process": set[str](),
        "http": set[str](),
        "loading": {"process"},
        "loop": {"http", "process"},
        "turns": {"loop", "http", "process"},
        "wsgi": {"turns", "loop", "http", "process"},
    },
}

#: Modules of no room that rooms may import: what they need of the kernel and count on the scoreboard.
BESIDE = {"master": {"procfs", "lag"}, "worker": {"counts"}}

#: Module names and public class names that stand twice in the house, and why no other name is better.
TWICE = {
    "__main__": "Python's own name for what `python -m` runs: the command, and a worker",
}

#: What the rooms at the bottom may import from outside, besides the standard library.
OUTSIDE = {
    "errors": set[str](),
    "atoms": set[str](),
    "syntax": set[str](),
    "settings": {"attr", "attrs"},
    "policy": {"attr", "attrs", "automat"},
    "wire": {"attr", "attrs", "twisted.protocols.amp"},
}

#: What has no place in pure code: clocks, processes, threads, sockets, the reactor.
IMPURE = {"asyncio", "multiprocessing", "os", "select", "selectors", "signal", "socket", "subprocess"}
IMPURE |= {"threading", "time", "twisted"}

#: The rooms that run beside the application, and what they take from `pristine` instead: names that it can replace.
BESIDE_THE_APPLICATION = {"worker", "wire", "logs"}
REPLACEABLE = ("os", "select", "signal", "socket", "threading", "time")

#: Where the global reactor may be imported: at the top only where the process is ours from its first line.
REACTOR_IN_FUNCTIONS = {"twistcorn.tap", "twistcorn.cli"}
REACTOR_ANYWHERE = {"twistcorn.worker.__main__"}

#: What `twist`, an embedding application or a shell imports before anybody has chosen a reactor.
FRONT_DOOR = ("", ".settings", ".service", ".standalone", ".tap", ".cli")

REACTOR = "twisted.internet.reactor"

#: Folders that hold nothing of ours.
FOREIGN = re.compile(r"\.git|[.\w-]*venv|build|dist|__pycache__|_trial_temp.*|.*\.egg-info|\.\w+_cache|\.hypothesis")


@dataclass(frozen=True)
class Import:
    """One imported name, in full: `from ..wire.channel import Lend` is `twistcorn.wire.channel.Lend`.

    :ivar at_load: it is imported with the module; not when a function is called or for the type checker alone.
    """

    target: str
    line: int
    at_load: bool

    def is_of(self, *modules: str) -> bool:
        """Whether the name is one of these modules, or within one."""
        return any(f"{self.target}.".startswith(f"{module}.") for module in modules)

    @property
    def room(self) -> str | None:
        """The room of the house that it is from; None for what is not ours, and for the package itself."""
        names = self.target.split(".")
        known = {*MAY_IMPORT, "testing", *(module.room for module in HOUSE)}
        return names[1] if names[0] == "twistcorn" and len(names) > 1 and names[1] in known else None


def runs_later(node: ast.AST) -> bool:
    """Whether what is in a node does not run while its module is loaded."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Module:
    """One file of the house."""

    name: str
    path: Path

    @property
    def room(self) -> str:
        """`policy` for twistcorn.policy.sizing, `tap` for twistcorn.tap, empty for twistcorn itself."""
        return (*self.name.split("."), "")[1]

    @property
    def floor(self) -> str:
        """`loop` for twistcorn.worker.loop.poller and twistcorn.worker.loop; empty where it is in no room of a room."""
        names = self.name.split(".")
        return names[2] if len(names) > 2 and names[2] in FLOORS.get(names[1], {}) else ""

    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"), str(self.path))

    def at(self, line: int) -> str:
        return f"{self.path.relative_to(ROOT)}:{line}"

    def imports(self) -> Iterator[Import]:
        """Every import, also those for the type checker alone: a name that is known couples as well."""
        yield from self._imports(self.tree(), at_load=True)

    def _imports(self, node: ast.AST, at_load: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(name.name, child.lineno, at_load) for name in child.names)
            elif isinstance(child, ast.ImportFrom):
                source = self._source(child)
                yield from (Import(f"{source}.{name.name}", child.lineno, at_load) for name in child.names)
            else:
                yield from self._imports(child, at_load and not runs_later(child))

    def _source(self, node: ast.ImportFrom) -> str:
        """The absolute name of the module that an import, relative or not, is from."""
        if not node.level:
            return str(node.module)
        here = self.name.split(".")
        up = node.level - (self.path.name == "__init__.py")
        return ".".join([*here[: len(here) - up], *([node.module] if node.module else [])])


def modules() -> list[Module]:
    """The modules of the package, by their files."""
    found = []
    for path in sorted((ROOT / "twistcorn").rglob("*.py")):
        names = path.relative_to(ROOT).with_suffix("").parts
        found.append(Module(".".join(names).removesuffix(".__init__"), path))
    return found


HOUSE = modules()


def files(folder: Path = ROOT) -> Iterator[Path]:
    """The files of the repository, without asking git, which a machine that runs the tests may not have."""
    for path in sorted(folder.iterdir()):
        if FOREIGN.fullmatch(path.name):
            continue
        if path.is_dir():
            yield from files(path)
        else:
            yield path


def broken(law: str, offences: list[str]) -> None:
    """Fail, with the law and every place that breaks it."""
    if offences:
        pytest.fail("\n  ".join([law, *offences]), pytrace=False)


def loads(name: str, other: str) -> bool:
    """Whether importing one module, in an interpreter of its own, imports the other."""
    code = f"import {name}, sys; print({other!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip() == "True"


def between(rooms: set[str], targets: set[str]) -> list[str]:
    """The imports by modules of some rooms from some others."""
    return [
        f"{module.at(found.line)} imports {found.target}"
        for module in HOUSE
        if module.room in rooms
        for found in module.imports()
        if found.room in targets
    ]


def circles(needs: dict[str, set[str]]) -> list[list[str]]:
    """One circle for each module that is in any, found by walking from it back to it."""
    found: list[list[str]] = []
    for start in sorted(needs):
        ways, seen = [[start]], {start}
        while ways:
            way = ways.pop(0)
            if start in needs[way[-1]]:
                found.append([*way, start])
                break
            for name in sorted(needs[way[-1]] - seen):
                seen.add(name)
                ways.append([*way, name])
    return found


def twice(names: Iterable[tuple[str, str]]) -> list[str]:
    """The names that stand at several places, with these."""
    places: dict[str, list[str]] = {}
    for name, place in names:
        places.setdefault(name, []).append(place)
    return [f"{name}: {', '.join(at)}" for name, at in sorted(places.items()) if len(at) > 1 and name not in TWICE]


class TestImports:
    def test_master_and_worker(self) -> None:
        """The master and the worker are two processes and know each other by the wire alone."""
        offences = between({"master"}, {"worker"}) + between({"worker"}, {"master"})
        broken("twistcorn.master and twistcorn.worker never import each other:", offences)

    def test_policy(self) -> None:
        """Only the master, and the policy itself, import the policy."""
        others = {module.room for module in HOUSE} - {"master", "policy", "testing"}
        broken("only twistcorn.master imports twistcorn.policy:", between(others, {"policy"}))

    def test_front_door(self) -> None:
        """Nobody imports tap and cli but `python -m`: Twisted and the shell find them by name."""
        rooms = {module.room for module in HOUSE} - {"testing", "__main__"}
        broken("nobody imports twistcorn.tap or twistcorn.cli:", between(rooms, {"tap", "cli"}))

    def test_testing(self) -> None:
        """The fakes may import all of the house, and nobody in it imports them."""
        rooms = {module.room for module in HOUSE} - {"testing"}
        broken("twistcorn.testing is for tests:", between(rooms, {"testing"}))

    def test_one_way(self) -> None:
        """tap and cli import standalone, that service, that master, and that the rest; nothing goes back."""
        offences = []
        for room in sorted({module.room for module in HOUSE} - {"testing", ""}):
            if room not in MAY_IMPORT:
                offences.append(f"twistcorn.{room} has no row in MAY_IMPORT: say what it may import")
                continue
            offences += between({room}, {*MAY_IMPORT, "testing"} - MAY_IMPORT[room] - {room})
        broken("imports go one way, as MAY_IMPORT says:", offences)

    def test_floors(self) -> None:
        """Within the master, and within the worker, imports go one way as well."""
        offences = []
        for module in HOUSE:
            if not module.floor:
                continue
            may = FLOORS[module.room][module.floor] | BESIDE[module.room] | {module.floor}
            offences += [
                f"{module.at(found.line)} imports {found.target}"
                for found in module.imports()
                if found.is_of(f"twistcorn.{module.room}") and (found.target.split(".")[2:3] or [""])[0] not in may
            ]
        broken("rooms within master and worker import as FLOORS and BESIDE say:", offences)

    def test_no_cycle(self) -> None:
        """No module needs, over others, itself: not even for the type checker."""
        names = {module.name for module in HOUSE}
        needs = {
            module.name: {
                name
                for found in module.imports()
                for name in (found.target, found.target.rpartition(".")[0])
                if name in names and name != module.name
            }
            for module in HOUSE
        }
        broken("modules do not import each other in a circle:", [" -> ".join(circle) for circle in circles(needs)])

    def test_bottom(self) -> None:
        """policy, wire, settings and errors stand on the standard library and little else."""
        offences = [
            f"{module.at(found.line)} imports {found.target}"
            for module in HOUSE
            for found in module.imports()
            if module.room in OUTSIDE
            and not found.is_of("twistcorn", *sys.stdlib_module_names, *OUTSIDE[module.room])
        ]
        broken("the bottom rooms import from outside only what OUTSIDE says:", offences)

    def test_policy_is_pure(self) -> None:
        """The policy has no clock, no process and no socket: time and files come as parameters."""
        offences = [
            f"{module.at(found.line)} imports {found.target}"
            for module in HOUSE
            for found in module.imports()
            if module.room == "policy" and found.is_of(*IMPURE) and not found.is_of("signal.Signals")
        ]
        broken("twistcorn.policy is pure:", offences)

    def test_pristine(self) -> None:
        """What runs in a worker goes through no name of the standard library that the application can replace."""
        offences = [
            f"{module.at(found.line)} imports {found.target}"
            for module in HOUSE
            for found in module.imports()
            if module.room in BESIDE_THE_APPLICATION and found.target in REPLACEABLE
        ]
        offences += [
            f"{module.at(node.lineno)} calls {node.func.id}"
            for module in HOUSE
            for node in ast.walk(module.tree())
            if module.room in BESIDE_THE_APPLICATION
            and isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("open", "print")
        ]
        broken("worker, wire and logs take these from twistcorn.pristine:", offences)

    def test_package(self) -> None:
        """Importing the package loads nothing of it: a worker must not get the master with its first import."""
        package = next(module for module in HOUSE if module.name == "twistcorn")
        offences = [package.at(found.line) for found in package.imports() if found.room and found.at_load]
        broken("twistcorn/__init__.py imports no module of the house at its top:", offences)

    def test_plugin(self) -> None:
        """The plugin, which every run of `twist` imports, names twistcorn.tap and imports ServiceMaker alone."""
        plugin = Module("twisted.plugins.twistcorn_plugin", PLUGIN)
        allowed = ("twisted.application.service.ServiceMaker", "__future__")
        offences = [f"{plugin.at(f.line)} imports {f.target}" for f in plugin.imports() if not f.is_of(*allowed)]
        broken("the plugin only declares:", offences)


class TestNames:
    def test_modules(self) -> None:
        """A name finds one module."""
        broken("two modules share a name, and TWICE does not say why:", twice(
            (module.path.stem, module.at(1)) for module in HOUSE if module.path.stem != "__init__"
        ))

    def test_classes(self) -> None:
        """A name finds one class."""
        broken("two public classes share a name, and TWICE does not say why:", twice(
            (node.name, module.at(node.lineno))
            for module in HOUSE
            for node in module.tree().body
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        ))

    def test_reasons(self) -> None:
        """Each exception is still one."""
        names = [module.path.stem for module in HOUSE]
        names += [node.name for module in HOUSE for node in module.tree().body if isinstance(node, ast.ClassDef)]
        broken("TWICE names what stands there once:", [name for name in TWICE if names.count(name) < 2])


class TestReactor:
    def test_global_reactor(self) -> None:
        """The global reactor is imported where a process starts; everywhere else it is a parameter."""
        offences = [
            f"{module.at(found.line)} imports the reactor"
            for module in HOUSE
            for found in module.imports()
            if found.is_of(REACTOR)
            and module.name not in REACTOR_ANYWHERE
            and not (module.name in REACTOR_IN_FUNCTIONS and not found.at_load)
        ]
        broken("the reactor is imported in functions of tap and cli, and in worker/__main__.py:", offences)

    def test_ampoule(self) -> None:
        """ampoule imports the reactor, so the modules that load before one is chosen import it in functions."""
        offences = [
            f"{module.at(found.line)} imports {found.target}"
            for module in HOUSE
            for found in module.imports()
            if f".{module.room}".rstrip(".") in FRONT_DOOR and found.is_of("ampoule") and found.at_load
        ]
        broken("the modules of the front door import no ampoule at their top:", offences)

    @pytest.mark.parametrize("name", FRONT_DOOR)
    def test_importing_the_front_door(self, name: str) -> None:
        """Importing a module of the front door, with all that it imports, installs no reactor."""
        assert not loads(f"twistcorn{name}", REACTOR), f"importing twistcorn{name} installs the default reactor"

    @pytest.mark.parametrize("name", ["cli", "client", "console.subcommands", "console.top"])
    def test_importing_the_command(self, name: str) -> None:
        """The console script starts without Twisted, and without the table of settings: only `run` needs them."""
        for other in ("twisted", "ampoule", "twistcorn.settings"):
            assert not loads(f"twistcorn.{name}", other), f"importing twistcorn.{name} imports {other}"


    def test_importing_the_master(self) -> None:
        """Only a master with an admin endpoint loads Twisted's web server: it costs megabytes."""
        assert not loads("twistcorn.master.assembly", "twisted.web"), "twistcorn.master.assembly imports twisted.web"


class TestShape:
    def test_modules(self) -> None:
        """A module is short enough to be read in one go; a longer one is two things."""
        lengths = [(module, len(module.path.read_text().splitlines())) for module in HOUSE]
        offences = [f"{module.at(1)} has {length}" for module, length in lengths if length > LONGEST_MODULE]
        broken(f"no module has more than {LONGEST_MODULE} lines:", offences)

    def test_functions(self) -> None:
        """A function fits on a screen, its docstring aside."""
        offences = [
            f"{module.at(node.lineno)} {node.name} has {length}"
            for module in HOUSE
            for node in ast.walk(module.tree())
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (length := body_length(node)) > LONGEST_FUNCTION
        ]
        broken(f"no function has more than {LONGEST_FUNCTION} lines:", offences)

    def test_docstrings(self) -> None:
        """Each module, and each module of tests, opens with what it is."""
        tests = [Module(path.stem, path) for path in sorted((ROOT / "tests").rglob("test_*.py"))]
        plugin = Module("twisted.plugins.twistcorn_plugin", PLUGIN)
        offences = [m.at(1) for m in (*HOUSE, *tests, plugin) if not ast.get_docstring(m.tree())]
        broken("every module has a docstring:", offences)

    def test_tests(self) -> None:
        """Tests are in tests/, out of the package that is installed."""
        outside = [path.relative_to(ROOT) for path in files() if re.fullmatch(r"test_.*\.py|conftest\.py", path.name)]
        broken("tests live in tests/:", [str(path) for path in outside if path.parts[0] != "tests"])

    def test_namespace(self) -> None:
        """twisted/ and twisted/plugins/ are parts of Twisted's namespace: an __init__.py would hide the plugin."""
        offences = [str(path.relative_to(ROOT)) for path in (ROOT / "twisted").rglob("__init__.py")]
        broken("there is no __init__.py in twisted/:", offences)

    def test_readme(self) -> None:
        """The README is read to its end."""
        length = len((ROOT / "README.md").read_text(encoding="utf-8").splitlines())
        assert length <= LONGEST_README, f"README.md has {length} lines; {LONGEST_README} are allowed"

    def test_paths(self) -> None:
        """No file names a folder of the machine that it was written on."""
        machine = re.compile(r"(?<![\w.~-])/(work|root|farm)/\w")
        offences = [
            f"{path.relative_to(ROOT)}:{number}"
            for path in files()
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
            if machine.search(line)
        ]
        broken("no absolute path of one machine:", offences)


def body_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines from the first statement after the docstring to the last."""
    body = node.body[ast.get_docstring(node) is not None :]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
