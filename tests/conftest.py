"""What all tests share: the programs of the system that some of them need, and repeatable examples.

Law: no fixture that starts a process lives here; those are in tests/integration/conftest.py.
"""

from __future__ import annotations

import compileall
import os
import shutil
from pathlib import Path

import hypothesis
import pytest

import twistcorn

#: Debian installs servers where an ordinary user's PATH does not look.
SERVER_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

#: Folders of tests that start servers.
RUNS_THE_PROGRAM = {"integration", "hostile", "upstream"}

#: The same examples each time, unless a seed is named: by continuous integration, which prints it, or by
#: `python -m bench fuzz`.
REPEATABLE = "TWISTCORN_FUZZ_SEED" not in os.environ
hypothesis.settings.register_profile("twistcorn", derandomize=REPEATABLE, deadline=None, database=None)
hypothesis.settings.load_profile("twistcorn")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--require-programs` is for continuous integration, where everything is installed."""
    parser.addoption(
        "--require-programs",
        action="store_true",
        help="fail, rather than skip, a test that needs a program which is not installed",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The tests start some thousand processes, which may write no bytecode: compiling takes a third of their start."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(twistcorn.__file__).parent, quiet=1)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Whatever runs the real program is slow, so that `-m "not slow"` is done within a minute."""
    if item.path.relative_to(item.config.rootpath).parts[1] in RUNS_THE_PROGRAM:
        item.add_marker(pytest.mark.slow)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Each `needs(program, package)` marker is met, or the test says what to install."""
    for marker in item.iter_markers("needs"):
        program, package = marker.args
        if find_program(program) is None:
            without(program, package, required=item.config.getoption("--require-programs"))


def find_program(name: str) -> str | None:
    """The path of a program, also of one that only root's PATH has."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SERVER_FOLDERS))
    return shutil.which(name, path=path)


def without(program: str, package: str, *, required: bool) -> None:
    """End a test whose program is not there."""
    reason = f"{program} is not installed (Debian package {package})"
    if required:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(params=["inline", "pool"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a worker of `tests.http.served` runs the application: its leader's thread, or another."""
    chosen: str = request.param
    monkeypatch.setattr("tests.http.served.MODE", chosen)
    return chosen
