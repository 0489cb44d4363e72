"""One worker process on ampoule: how it is spawned, what it inherits, and how its death is reported.

Law: ampoule is used here and nowhere else in the master. Nothing here decides: the supervisor says when a process
starts and ends. A worker inherits stdout and stderr, ampoule's AMP pipes (3, 4), the channel (5), the scoreboard (6)
and the memory file for its last words (7), and nothing more. Death is `processExited`: a grandchild with a copy of a
pipe cannot hide it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ampoule import iampoule
from ampoule.main import FROM_CHILD, TO_CHILD, AMPConnector, ProcessStarter
from twisted.internet import error
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure
from zope.interface import implementer

from ...policy.worker import Worker
from ...wire import amp_commands, channel
from .forked import Forked

#: The worker's bootstrap. The first entry of the path is the current directory, where a file of the application
#: could hide a module that the worker needs before it loads the application; it goes. The arguments are the program's
#: name, which is all that an application that reads its command line finds, and the directory of this package, for a
#: master that was not installed.
BOOTSTRAP = """\
import sys
sys.path[:] = [entry for entry in sys.path if entry]
package = sys.argv.pop()
if package not in sys.path:
    sys.path.append(package)
sys.argv[0] = sys.argv.pop()
del package
from twistcorn.worker.__main__ import main
main()
"""

#: Signals that reach the whole process group, blocked while a worker starts: until it ignores them they would kill it.
#: TERM as well, or the master's handler would take it between fork(2) and execve(2).
GROUP_SIGNALS = (
    signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGTERM,
    signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH,
)  # fmt: skip

#: Bytes of last words that are read: a traceback of a hundred threads.
MAX_LAST_WORDS_BYTES = 1 << 16

#: Messages read from a channel before other descriptors get their turn.
MESSAGES_AT_ONCE = 64


class Owner(Protocol):
    """The receiver of a worker's reports: the supervisor."""

    def booted(self, worker: Worker, app: str, how: str) -> None: ...

    def boot_failed(self, worker: Worker, message: str) -> None: ...

    def leaving(self, worker: Worker) -> None: ...

    def emptied(self, worker: Worker) -> Deferred[None]: ...

    def stuck(self, worker: Worker, requests: dict[int, int]) -> None: ...
    def overdue(self, worker: Worker, name: str, age: float) -> None: ...
    def reported(self, worker: Worker, data: bytes) -> None: ...

    def exported(self, worker: Worker, data: bytes, last: bool) -> None: ...

    def exited(self, worker: Worker, status: ExitStatus) -> None: ...


@dataclass(frozen=True)
class ExitStatus:
    """How a process ended: by an exit code or by a signal.

    :ivar code: the exit code, None when a signal ended it.
    :ivar signal: the signal's number, None when it exited.
    """

    code: int | None
    signal: int | None

    def __str__(self) -> str:
        if self.signal is None:
            return f"exit code {self.code}"
        try:
            return signal.Signals(self.signal).name
        except ValueError:
            return f"signal {self.signal}"


class MasterProtocol(amp_commands.QuietAMP):
    """The master's end of a worker's AMP: takes the reports of one worker."""

    def __init__(self, worker: Worker, owner: Owner) -> None:
        super().__init__()
        self._worker = worker
        self._owner = owner

    @amp_commands.Ready.responder
    def ready(self, app: str, how: str) -> dict[str, object]:
        self._owner.booted(self._worker, app, how)
        return {}

    @amp_commands.BootFailed.responder
    def boot_failed(self, message: str) -> dict[str, object]:
        self._owner.boot_failed(self._worker, message)
        return {}

    @amp_commands.Leaving.responder
    def leaving(self) -> dict[str, object]:
        self._owner.leaving(self._worker)
        return {}

    @amp_commands.Emptied.responder
    def emptied(self) -> Deferred[dict[str, object]]:
        return self._owner.emptied(self._worker).addCallback(lambda _: {})

    @amp_commands.Exported.responder
    def exported(self, data: bytes, last: bool) -> dict[str, object]:
        self._owner.exported(self._worker, data, last)
        return {}

    @amp_commands.Stuck.responder
    def stuck(self, requests: list[dict[str, int]]) -> dict[str, object]:
        self._owner.stuck(self._worker, {each["slot"]: each["since"] for each in requests})
        return {}

    @amp_commands.Overdue.responder
    def overdue(self, name: str, age: int) -> dict[str, object]:
        self._owner.overdue(self._worker, name, age / 1000)
        return {}


class Connector(AMPConnector):  # type: ignore[misc]
    """ampoule's connector, which reports death when the process exits and leaves the worker's output alone."""

    def connectionMade(self) -> None:
        self.amp.makeConnection(self)

    def write(self, data: bytes) -> None:
        # The worker may have closed its end already; its exit follows.
        with contextlib.suppress(KeyError):
            self.transport.writeToChild(TO_CHILD, data)

    def writeSequence(self, data: list[bytes]) -> None:
        self.write(b"".join(data))

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD == FROM_CHILD:
            self.amp.dataReceived(data)

    def processExited(self, reason: Failure) -> None:
        self.loseConnection()
        self.amp.connectionLost(Failure(error.ConnectionDone()))
        value: Any = reason.value
        self.finished.callback(ExitStatus(value.exitCode, value.signal))

    def processEnded(self, status: Failure) -> None:
        """`processExited` has reported everything."""


class ChannelReader(FileDescriptor):
    """Reads a worker's reports from the master's end of its channel."""

    def __init__(self, reactor: Any, sock: socket.socket, worker: Worker, owner: Owner) -> None:
        super().__init__(reactor)
        self._sock = sock
        self._worker = worker
        self._owner = owner
        self._ended = False

    def fileno(self) -> int:
        return self._sock.fileno()

    def doRead(self) -> None:
        for _ in range(MESSAGES_AT_ONCE):
            data = self._receive()
            if data is None:
                return
            if not data:
                self._ended = True
                self.stopReading()
                return
            self._owner.reported(self._worker, data)

    def _receive(self) -> bytes | None:
        """One message; None when there is none now, empty at the end."""
        while True:
            try:
                return self._sock.recv(channel.REPORTS_SIZE)
            except BlockingIOError:
                return None
            except ConnectionResetError:
                # Reported once when the worker died with lends unread; its reports are still queued behind.
                continue

    def read_to_end(self) -> None:
        """The worker is dead: take what it still reported, then close."""
        while not self._ended and (data := self._receive()):
            self._owner.reported(self._worker, data)
        self.stopReading()
        self._sock.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The reactor found an error on the socket: the exit of the process will end this reader."""
        self.stopReading()


class WorkerProcess:
    """A live worker: its AMP, its channel, its signals.

    :ivar channel: the master's end of the channel; `box`: the file for its last words.
    """

    def __init__(self, connector: Connector, sock: socket.socket, reader: ChannelReader, box: int) -> None:
        self._connector = connector
        self._reader = reader
        self.box = box
        self.channel = sock

    @property
    def pid(self) -> int:
        """The process id."""
        return int(self._connector.transport.pid or 0)

    def order(self, command: type[amp.Command], **arguments: object) -> None:
        """Send an order. An order to a dying worker is lost, as its exit says."""
        self.ask(command, **arguments).addErrback(lambda failure: None)

    def ask(self, command: type[amp.Command], **arguments: object) -> Deferred[Any]:
        """Send an order that has an answer; fails when the worker dies before it answers."""
        answer: Deferred[Any] = self._connector.amp.callRemote(command, **arguments)
        return answer

    def kill(self, number: int) -> None:
        """Send a signal, if the process is still there."""
        with contextlib.suppress(error.ProcessExitedAlready):
            self._connector.signalProcess(number)

    def catch_up(self) -> None:
        """Take the reports that are there now."""
        self._reader.doRead()

    def end(self) -> None:
        """The process is dead: read the channel to its end and close everything."""
        self._reader.read_to_end()

    def last_words(self) -> str:
        """What faulthandler wrote when it died; asked once, when it is dead."""
        try:
            return os.pread(self.box, MAX_LAST_WORDS_BYTES, 0).decode("utf-8", "replace")
        finally:
            os.close(self.box)


def interpreter_flags() -> list[str]:
    """The interpreter's own options that a worker keeps: -O, -B, -I, -E, -s, -W and -X (python(1))."""
    flags = sys.flags
    letters = "O" * flags.optimize + "B" * flags.dont_write_bytecode
    letters += "I" if flags.isolated else "E" * flags.ignore_environment + "s" * flags.no_user_site
    options = [f"-{letters}"] if letters else []
    options += [f"-W{option}" for option in sys.warnoptions]
    return options + [
        f"-X{name}" if value is True else f"-X{name}={value}" for name, value in sys._xoptions.items()
    ]


@contextlib.contextmanager
def _group_signals_blocked() -> Iterator[None]:
    """A child starts with the signal mask of its parent (execve(2)); the worker unblocks them once it ignores them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@implementer(iampoule.IStarter)
class WorkerStarter(ProcessStarter):  # type: ignore[misc]
    """ampoule's starter, with the descriptors that a worker inherits and the operator's environment.

    :param reactor: spawns the process and watches its pipes.
    :param scoreboard: the descriptor of the scoreboard.
    :param process: starts a process, as `Forked` does.
    """

    connectorFactory = Connector

    def __init__(self, reactor: Any, scoreboard: int, process: Callable[..., object] = Forked) -> None:
        super().__init__(bootstrap=BOOTSTRAP, childReactor="epoll")
        self._reactor = reactor
        self._scoreboard = scoreboard
        self._spawn_process = process
        self._descriptors: dict[int, int] = {}

    def spawn(self, worker: Worker, owner: Owner) -> WorkerProcess:
        """Start the process of a worker; `owner` gets every report that follows."""
        if not os.access(sys.executable, os.X_OK):
            raise FileNotFoundError(errno.ENOENT, f"there is no interpreter {sys.executable}")
        box = os.memfd_create("twistcorn-last-words", os.MFD_CLOEXEC)
        ours, theirs = channel.pair()
        self._descriptors = {5: theirs.fileno(), 6: self._scoreboard, 7: box}
        try:
            protocol, finished = self.startAMPProcess(
                "twistcorn.worker", ampParent=lambda: MasterProtocol(worker, owner)
            )
        except BaseException:
            ours.close()
            os.close(box)
            raise
        finally:
            theirs.close()
        reader = ChannelReader(self._reactor, ours, worker, owner)
        reader.startReading()
        finished.addCallback(lambda status: owner.exited(worker, status))
        return WorkerProcess(protocol.transport, ours, reader, box)

    def startAMPProcess(self, ampChild: str, ampParent: Any = None, ampChildArgs: tuple[str, ...] = ()) -> Any:
        """As ampoule's; the child's protocol is given by the name of its package, which the master never imports."""
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
        return self.startPythonProcess(self.connectorFactory(ampParent()), sys.argv[0], package, *ampChildArgs)

    def startPythonProcess(self, prot: Any, *args: str) -> Any:
        """Spawn the interpreter, as named now: a path through a symbolic link may lead to a new release."""
        argv = [sys.executable, *interpreter_flags(), "-c", self.bootstrap, *args]
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with _group_signals_blocked(), warnings.catch_warnings():
                # Python warns of a fork with threads, for children that keep running its code; ours calls execve(2).
                warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
                descriptors = {0: null, 1: 1, 2: 2, TO_CHILD: "w", FROM_CHILD: "r", **self._descriptors}
                self._spawn_process(self._reactor, argv, prot, descriptors)
        finally:
            os.close(null)
        return prot.amp, prot.finished
