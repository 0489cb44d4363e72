"""The claims of twistcorn.master.assembly: what of the settings depends on the machine."""

from __future__ import annotations

import contextlib
import os
import resource
from typing import TYPE_CHECKING, Any

import pytest

from tests.master.fake_sockets import Sockets
from twistcorn.master.admin.http_server import MAX_CONNECTIONS
from twistcorn.master.assembly import (
    DEFAULT_CONNECTIONS,
    DESCRIPTORS_OF_A_WORKER,
    DESCRIPTORS_OF_ADMIN,
    RESERVED_DESCRIPTORS,
    Assembly,
)
from twistcorn.master.control.socket import MAX_CLIENTS
from twistcorn.settings import Settings
from twistcorn.syntax import MAX_WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def assemble() -> Iterator[Callable[..., Assembly]]:
    """Assembles a master from options by field name."""
    made: list[Assembly] = []

    def make(**options: Any) -> Assembly:
        made.append(Assembly(Sockets(), Settings(**options)))
        return made[-1]

    yield make
    for assembly in made:
        assembly.stop(quick=True)


@contextlib.contextmanager
def limit_of_files(count: int) -> Iterator[None]:
    """This process may open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestConnections:
    def test_operator_says(self, assemble: Callable[..., Assembly]) -> None:
        """As many slots as wanted."""
        assert assemble(max_connections=100).scoreboard.slots == 100

    def test_operator_says_nothing(self, assemble: Callable[..., Assembly]) -> None:
        """As many as the limit of open files leaves, besides the master's own and each worker's."""
        with limit_of_files(1000):
            slots = assemble(workers=10).scoreboard.slots

        assert slots == 1000 - RESERVED_DESCRIPTORS - 10 * DESCRIPTORS_OF_A_WORKER

    def test_admin_and_control_are_crowded(self, assemble: Callable[..., Assembly]) -> None:
        """Their clients, as many as there may be, take no descriptor of the application's."""
        with limit_of_files(1000):
            slots = assemble(workers=10, admin="tcp:0:interface=127.0.0.1").scoreboard.slots
        assert slots == 1000 - RESERVED_DESCRIPTORS - DESCRIPTORS_OF_ADMIN - 10 * DESCRIPTORS_OF_A_WORKER
        assert DESCRIPTORS_OF_ADMIN == MAX_CONNECTIONS
        assert RESERVED_DESCRIPTORS >= 128 + MAX_CLIENTS

    def test_operator_says_too_much(self, assemble: Callable[..., Assembly]) -> None:
        """No more than there can be."""
        with limit_of_files(1000):
            assert assemble(max_connections=1_000_000).scoreboard.slots < 1000

    def test_limit_is_high(self, assemble: Callable[..., Assembly], monkeypatch: pytest.MonkeyPatch) -> None:
        """There is a bound all the same; without any limit, too."""
        for limit in (10_000_000, resource.RLIM_INFINITY):
            monkeypatch.setattr(resource, "getrlimit", lambda number, limit=limit: (limit, limit))
            assert assemble().scoreboard.slots == DEFAULT_CONNECTIONS


class TestWorkers:
    def test_operator_says(self, assemble: Callable[..., Assembly]) -> None:
        """It is so."""
        assert assemble(workers=3).settings.workers == 3

    def test_auto(self, assemble: Callable[..., Assembly], monkeypatch: pytest.MonkeyPatch) -> None:
        """As many as this process may use of the machine, and at least one."""
        assert 1 <= assemble(workers=0).settings.workers <= len(os.sched_getaffinity(0))

        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(100_000))
        monkeypatch.setattr("twistcorn.master.procfs.read", lambda path: None)
        assert assemble(workers=0).settings.workers == MAX_WORKERS


class TestDirectory:
    def test_shell_came_by_a_link(
        self, assemble: Callable[..., Assembly], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The link stays in the name: when it points elsewhere, the next worker goes there."""
        (tmp_path / "release-1").mkdir()
        (tmp_path / "current").symlink_to("release-1")
        monkeypatch.chdir(tmp_path / "current")
        monkeypatch.setenv("PWD", str(tmp_path / "current"))

        assert assemble().settings.chdir == str(tmp_path / "current")
        assert assemble(chdir="shop").settings.chdir == str(tmp_path / "current" / "shop")

    @pytest.mark.parametrize("name", ["/", "/nonexistent", ""])
    def test_shell_is_wrong(
        self, assemble: Callable[..., Assembly], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
    ) -> None:
        """The kernel knows where we are."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PWD", name)

        assert assemble().settings.chdir == os.path.realpath(tmp_path)

    def test_operator_names_one(self, assemble: Callable[..., Assembly]) -> None:
        """An absolute one is taken as it is, links and all."""
        assert assemble(chdir="/srv/current").settings.chdir == "/srv/current"


def test_not_started(assemble: Callable[..., Assembly]) -> None:
    """It can be taken apart before anything ran."""
    assembly = assemble(listen=("tcp:1", "tcp:2"))

    assert [listener.index for listener in assembly.listeners] == [0, 1]
    assert assembly.supervisor is None
