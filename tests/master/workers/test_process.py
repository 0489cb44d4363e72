"""The claims of twistcorn.master.workers.process: what a worker inherits, and how its reports and its death are told.

Law: no process is started; tests/integration starts real ones.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet import error
from twisted.protocols import amp
from twisted.python.failure import Failure

from tests.master.fake_sockets import Sockets
from tests.master.stage import Told
from twistcorn.master.workers import process
from twistcorn.master.workers.process import ExitStatus, WorkerStarter, interpreter_flags
from twistcorn.policy.worker import Worker
from twistcorn.wire import amp_commands

if TYPE_CHECKING:
    from collections.abc import Iterator


class Spawned:
    """In the place of a process transport: notes what is written and closed."""

    pid = 4711

    def __init__(self) -> None:
        self.written: dict[int, bytes] = {}
        self.closed: list[int] = []
        self.signals: list[object] = []
        self.gone = False

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        if descriptor in self.closed:
            raise KeyError(descriptor)
        self.written[descriptor] = self.written.get(descriptor, b"") + data

    def closeChildFD(self, descriptor: int) -> None:
        self.closed.append(descriptor)

    def loseConnection(self) -> None:
        """As IProcessTransport."""

    def signalProcess(self, number: object) -> None:
        if self.gone:
            raise error.ProcessExitedAlready
        self.signals.append(number)


class Spawning(Sockets):
    """A reactor that starts no process, and notes with what it would have."""

    def spawn(self, reactor: object, argv: list[str], protocol: Any, descriptors: dict[int, Any]) -> None:
        # As Python 3.12 and later say where other threads run, and some do: those that write logs.
        text = "This process (pid=1) is multi-threaded, use of fork() may lead to deadlocks in the child."
        warnings.warn(text, DeprecationWarning, stacklevel=1)
        self.argv, self.descriptors = argv, descriptors
        self.files = {number: os.fstat(fd) for number, fd in descriptors.items() if isinstance(fd, int)}
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        self.protocol = protocol
        self.child = Spawned()
        protocol.makeConnection(self.child)

    def dies(self, code: int | None = None, number: int | None = None) -> None:
        """The process ends."""
        self.child.gone = True
        self.protocol.processExited(Failure(error.ProcessTerminated(code, number)))


class TestExitStatus:
    @pytest.mark.parametrize(
        ("code", "number", "text"),
        [
            (0, None, "exit code 0"),
            (3, None, "exit code 3"),
            (None, 9, "SIGKILL"),
            (None, 11, "SIGSEGV"),
            (None, 60, "signal 60"),
        ],
    )
    def test_text(self, code: int | None, number: int | None, text: str) -> None:
        """A signal has its name, if it has one."""
        assert str(ExitStatus(code, number)) == text


class TestInterpreterFlags:
    def flags(self, **changed: int) -> SimpleNamespace:
        names = ("optimize", "dont_write_bytecode", "isolated", "ignore_environment", "no_user_site")
        return SimpleNamespace(**{**dict.fromkeys(names, 0), **changed})

    @pytest.mark.parametrize(
        ("changed", "warnings", "implementation", "expected"),
        [
            ({}, [], {}, []),
            ({"optimize": 2, "dont_write_bytecode": 1}, [], {}, ["-OOB"]),
            ({"isolated": 1, "ignore_environment": 1, "no_user_site": 1}, [], {}, ["-I"]),
            ({"ignore_environment": 1, "no_user_site": 1}, [], {}, ["-Es"]),
            ({}, ["error", "ignore::x.Y"], {}, ["-Werror", "-Wignore::x.Y"]),
            ({}, [], {"dev": True, "utf8": "1"}, ["-Xdev", "-Xutf8=1"]),
        ],
    )
    def test_operator_gave_some(
        self,
        monkeypatch: pytest.MonkeyPatch,
        changed: dict[str, int],
        warnings: list[str],
        implementation: dict[str, Any],
        expected: list[str],
    ) -> None:
        """A worker's interpreter gets what the master's got."""
        faked = SimpleNamespace(flags=self.flags(**changed), warnoptions=warnings, _xoptions=implementation)
        monkeypatch.setattr(process, "sys", faked)

        assert interpreter_flags() == expected


class TestSpawn:
    @pytest.fixture
    def reactor(self) -> Spawning:
        return Spawning()

    @pytest.fixture
    def spawned(self, reactor: Spawning, worker: Worker, told: Told) -> Iterator[process.WorkerProcess]:
        """A worker's process, as the supervisor gets it."""
        board = os.memfd_create("scoreboard")
        made = WorkerStarter(reactor, board, reactor.spawn).spawn(worker, told)
        self.board = os.fstat(board)
        os.close(board)
        yield made
        made.channel.close()

    def test_what_it_inherits(self, reactor: Spawning, spawned: process.WorkerProcess) -> None:
        """Nothing to read, the master's output, AMP's pipes, channel, scoreboard, last words; and nothing more."""
        assert list(reactor.descriptors) == [0, 1, 2, 3, 4, 5, 6, 7]
        assert [reactor.descriptors[number] for number in (1, 2, 3, 4)] == [1, 2, "w", "r"]
        assert reactor.files[0].st_rdev == os.stat(os.devnull).st_rdev
        assert reactor.files[6].st_ino == self.board.st_ino

    def test_last_words(self, reactor: Spawning, spawned: process.WorkerProcess) -> None:
        """What it wrote into its last descriptor is read when it is dead, once."""
        os.write(spawned.box, b"Fatal Python error: Segmentation fault")
        assert spawned.last_words() == "Fatal Python error: Segmentation fault"

    def test_interpreter(self, reactor: Spawning, spawned: process.WorkerProcess) -> None:
        """The same interpreter, and of the command line the program's name alone."""
        assert reactor.argv[0] == sys.executable
        assert reactor.argv[-2] == sys.argv[0]
        package = Path(process.__file__).parents[2]
        assert os.path.samefile(os.path.join(reactor.argv[-1], "twistcorn"), package)

    def test_signals_of_the_terminal(self, reactor: Spawning, spawned: process.WorkerProcess) -> None:
        """They are blocked while it starts, as until it ignores them they would kill it; and only then."""
        assert set(process.GROUP_SIGNALS) <= reactor.mask
        assert not set(process.GROUP_SIGNALS) & signal.pthread_sigmask(signal.SIG_BLOCK, [])

    def test_channel(self, reactor: Spawning, spawned: process.WorkerProcess, told: Told) -> None:
        """The master's end is watched, and the worker's end is the worker's alone: its death is the end."""
        (reader,) = reactor.readers
        assert reader.fileno() == spawned.channel.fileno()
        assert spawned.channel.recv(100) == b""

    def test_order(self, reactor: Spawning, spawned: process.WorkerProcess) -> None:
        """It goes into the pipe that the worker reads."""
        spawned.order(amp_commands.Stop, quick=True)
        (box,) = amp.parseString(reactor.child.written[3])

        assert (box[b"_command"], box[b"quick"]) == (b"Stop", b"True")

    def test_order_with_an_answer(self, reactor: Spawning, spawned: process.WorkerProcess) -> None:
        """It is the worker's, by the pipe."""
        answers: list[dict[str, Any]] = []
        spawned.ask(amp_commands.Stack).addCallback(answers.append)
        (box,) = amp.parseString(reactor.child.written[3])
        told = amp.Box({b"_answer": box[b"_ask"], b"text": b"thread a:"})
        reactor.protocol.childDataReceived(4, told.serialize())

        assert answers == [{"text": "thread a:"}]

    def test_worker_closed_its_pipe(self, reactor: Spawning, spawned: process.WorkerProcess) -> None:
        """An order is lost, and no error: the exit will be told."""
        reactor.child.closed.append(3)
        spawned.order(amp_commands.Drain)

        assert reactor.child.written == {}

    def test_it_dies(self, reactor: Spawning, spawned: process.WorkerProcess, told: Told) -> None:
        """The owner is told by the exit itself; a grandchild with a copy of a pipe hides nothing."""
        reactor.dies(number=signal.SIGSEGV)
        assert told.said == [("exited", 7, "SIGSEGV")]

        reactor.protocol.processEnded(Failure(error.ProcessTerminated(None, signal.SIGSEGV)))
        assert len(told.said) == 1

    def test_it_dies_before_it_answers(self, reactor: Spawning, spawned: process.WorkerProcess) -> None:
        """Whoever asked is told so."""
        failures: list[Failure] = []
        spawned.ask(amp_commands.Stack).addErrback(failures.append)
        reactor.dies(number=signal.SIGKILL)
        assert [failure.type for failure in failures] == [error.ConnectionDone]

    def test_order_after_its_death(self, reactor: Spawning, spawned: process.WorkerProcess) -> None:
        """Orders and signals to a dead process do nothing."""
        reactor.dies(code=0)
        spawned.order(amp_commands.Drain)
        spawned.kill(signal.SIGKILL)

        assert reactor.child.signals == []

    def test_kill(self, reactor: Spawning, spawned: process.WorkerProcess) -> None:
        """The signal is sent, and the pid is the process's."""
        spawned.kill(signal.SIGKILL)

        assert reactor.child.signals == [signal.SIGKILL]
        assert spawned.pid == 4711

    def test_end(self, reactor: Spawning, spawned: process.WorkerProcess) -> None:
        """Nothing is watched or open any more."""
        reactor.dies(code=0)
        spawned.end()

        assert reactor.readers == set()
        assert spawned.channel.fileno() == -1


class Refusing(Sockets):
    """A reactor that can start no process."""

    def spawn(self, *arguments: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


class TestRefused:
    def test_system_has_no_process_left(self, told: Told, worker: Worker) -> None:
        """The error is the caller's to answer; nothing stays open or watched, and the signals are as before."""
        reactor = Refusing()
        before = set(os.listdir("/proc/self/fd"))
        with pytest.raises(BlockingIOError):
            WorkerStarter(reactor, 2, reactor.spawn).spawn(worker, told)

        assert set(os.listdir("/proc/self/fd")) == before
        assert reactor.readers == set()
        assert not set(process.GROUP_SIGNALS) & signal.pthread_sigmask(signal.SIG_BLOCK, [])
