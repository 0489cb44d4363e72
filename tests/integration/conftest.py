"""Fixtures of the integration tests: the application, the gate to it, and the program that serves it."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.integration.gate import Gate
from tests.integration.harness import FRONTS, Program, Server

PROBE = Path(__file__).with_name("probe.py")
#: A free port of the loopback interface, chosen by the kernel.
ANYWHERE = ("--listen", "127.0.0.1:0")


class Start(Protocol):
    """Starts `twistcorn run ...`, or another front, at the end of the command `before`; it ends with the test."""

    def __call__(
        self,
        *arguments: str,
        front: str = "run",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        listen: Sequence[str] = ANYWHERE,
        before: Sequence[str] = (),
        **more: Any,
    ) -> Server: ...


#: Counts the files that `put_probe` has written: each has a size of its own.
VERSIONS = itertools.count(1)


def put_probe(folder: Path, version: str = "one", end: str = "") -> None:
    """Put the probe into a folder as `app.py`, as code of this version.

    :param end: what it does last when it is imported.
    """
    text = PROBE.read_text().replace('VERSION = "one"', f"VERSION = {version!r}")
    # Written aside and moved: a worker that boots meanwhile reads the one or the other.
    new = folder / "app.py.new"
    # To Python, a file of the same second and size is the one that it has compiled already.
    new.write_text(f"{text}\n{end}\n{'#' * next(VERSIONS)}\n")
    new.replace(folder / "app.py")


def check(programs: Sequence[Program]) -> None:
    """End programs and fail for what they leave behind; their logs show with a failure."""
    problems: list[str] = []
    for program in programs:
        problems += program.end()
        print(f"--- log of {program.pid}, which ended with {program.process.returncode}\n{program.log}")
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def _signals_of_a_terminal() -> None:
    """Programs start with the signals as a terminal gives them, also when a script runs these tests behind itself."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            # A handler, unlike the order to ignore, ends with execve(2).
            signal.signal(number, signal.default_int_handler)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The application's directory, with the probe as `app.py`."""
    here = tmp_path / "site"
    here.mkdir()
    put_probe(here)
    return here


@pytest.fixture
def gate() -> Iterator[Gate]:
    """The gate at which the application waits."""
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture
def start(folder: Path, tmp_path: Path, gate: Gate) -> Iterator[Start]:
    """Starts programs that serve from `folder`."""
    yield from _starter(folder, tmp_path, gate)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Start, Gate]]:
    """As `start`, for programs that all tests of a module use."""
    here = tmp_path_factory.mktemp("shared")
    site = here / "site"
    site.mkdir()
    put_probe(site)
    gate = Gate()
    for start in _starter(site, here, gate):
        yield start, gate
    gate.close()


def _starter(folder: Path, logs: Path, gate: Gate) -> Iterator[Start]:
    programs: list[Server] = []

    def start(
        *arguments: str,
        front: str = "run",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        listen: Sequence[str] = ANYWHERE,
        before: Sequence[str] = (),
        **more: Any,
    ) -> Server:
        server = Server(
            [*before, *FRONTS[front], *arguments, *listen],
            cwd=cwd or folder,
            env={"GATE": gate.name, **(env or {})},
            log=logs / f"program-{len(programs)}.log",
            **more,
        )
        programs.append(server)
        return server

    yield start
    check(programs)
