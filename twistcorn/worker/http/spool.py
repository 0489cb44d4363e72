"""The spool: where request bodies are kept, in memory or in files without a name, and how much all of them may take.

Law: knows no connection, and of HTTP the status of a refusal alone. All that the workers keep together is on the
scoreboard: a worker first says what it wants there, then looks at the sum, so that two that look at the same time may
both be refused, and never both be given the last room. A body is counted as its bytes come, and not as its client
announces them: an announcement costs nothing.
"""

from __future__ import annotations

import errno
import io
from typing import IO

from twisted.logger import Logger

from ...errors import HTTPError
from ...pristine import open_file, os, threading, time
from ...settings import Settings
from ...wire.scoreboard import W_SPOOLED, Scoreboard

#: A body up to here stays in memory, as long as there is plenty of that; a larger one goes to a file.
MAX_BODY_MEMORY_BYTES = 1 << 20
#: Bytes that all bodies of one worker may take in memory.
MAX_MEMORY_BYTES = 64 << 20
#: A body may have this part of what is left of that. So many slow ones of a medium size go to files, and leave room.
BODY_DIVISOR = 16
#: Seconds between two lines about files that cannot be written.
LOG_INTERVAL_SECONDS = 60.0
#: Without O_TMPFILE (NFS, some overlays) a file gets a name for a moment.
_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


def find_directory() -> str:
    """What TMPDIR names, or TEMP, or TMP; else /tmp. One that the operator named has no substitute.

    A relative name begins in the directory that the server was started in, which may be gone by now. Then PWD still
    says where it was: a worker starts all the same, and its log tells which directory there should be.
    """
    named = next(filter(None, map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))), "/tmp")
    try:
        return os.path.abspath(named)
    except OSError:
        return os.path.normpath(os.path.join(os.environ.get("PWD", ""), named))


#: The directory as it was named before the application came.
DIRECTORY = find_directory()


class Spool:
    """What this worker keeps of bodies, within its bounds and those of the server.

    :param region: the first word of this worker on the scoreboard.
    :param directory: where the files are.
    :ivar settings: those that count now.
    :ivar asked: bodies that the application may have its client asked for, and that are not whole.
    """

    log = Logger()

    def __init__(self, board: Scoreboard, region: int, settings: Settings, directory: str = "") -> None:
        self._board = board
        self._words, self._word = board.words, region + W_SPOOLED
        self._directory = directory or DIRECTORY
        self._lock = threading.Lock()
        #: Bytes of all bodies here; of those in memory.
        self._kept = self._held = 0
        self._told = -LOG_INTERVAL_SECONDS
        self.asked = 0
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """From now on this much is allowed."""
        self.settings = settings
        self._limit = settings.spool_size
        # With them all threads may wait for clients, and as many others take their places; without stand-ins, half.
        several = min(settings.threads, max(settings.stand_ins, settings.threads // 2))
        self._most_asked = several if settings.threads > 1 and settings.expect == "read" else 0

    def forget(self) -> None:
        """In a child that the application forks: the scoreboard is its parent's alone."""
        self._words, self._word, self._limit = memoryview(bytearray(8)).cast("Q"), 0, 0

    # Room

    def check(self, length: int) -> None:
        """Whether a body of this length can be kept, as far as that is known before it comes.

        :raises HTTPError: 413: never; 503: not now.
        """
        if self._limit:
            self._refuse_if_larger(length)
            if self._total() + length > self._limit:
                raise _full()

    def take(self, size: int, whole: int) -> None:
        """Have room for more of a body.

        :param whole: the body's size with it.
        :raises HTTPError: 413: it is larger than all the room there is; 503: others have it.
        """
        with self._lock:
            self._kept += size
            self._words[self._word] = self._kept
            if not self._limit or self._total() <= self._limit:
                return
            self._kept -= size
            self._words[self._word] = self._kept
        self._refuse_if_larger(whole)
        raise _full()

    def _total(self) -> int:
        return max(self._kept, sum(self._board.column(W_SPOOLED)))

    def _refuse_if_larger(self, whole: int) -> None:
        if whole > self._limit:
            raise HTTPError(413, "request body larger than --spool-size")

    def hold(self, size: int, whole: int, must: bool = False) -> bool:
        """Have memory for more of a body; returns whether there is.

        :param must: it can be kept nowhere else.
        """
        with self._lock:
            left = MAX_MEMORY_BYTES - self._held
            fits = size <= left if must else whole <= min(MAX_BODY_MEMORY_BYTES, left // BODY_DIVISOR)
            if fits:
                self._held += size
            return fits

    def let_go(self, held: int, size: int = 0) -> None:
        """Of so much in memory, and of so much in all."""
        with self._lock:
            self._held -= held
            self._kept -= size
            self._words[self._word] = self._kept

    def may_ask(self) -> bool:
        """Whether one more body may come only when the application asks for it; counts that."""
        with self._lock:
            fits = self.asked < self._most_asked
            self.asked += fits
            return fits

    def has_come(self) -> None:
        """One of those is whole, or will never be."""
        with self._lock:
            self.asked -= 1

    # Files

    def open(self) -> int:
        """A new file that has no name.

        :raises OSError: there is none to be had.
        """
        flags = os.O_RDWR | os.O_CLOEXEC
        try:
            return os.open(self._directory, flags | os.O_TMPFILE, 0o600)
        except OSError as problem:
            if problem.errno not in _NO_TMPFILE:
                raise
        name = os.path.join(self._directory, f"twistcorn-{os.urandom(8).hex()}")
        descriptor = os.open(name, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        os.unlink(name)
        return descriptor

    def tell(self, problem: OSError) -> None:
        """A file could not be had, or not be written."""
        now = time.monotonic()
        with self._lock:
            if now - self._told < LOG_INTERVAL_SECONDS:
                return
            self._told = now
        self.log.error(
            "cannot write request bodies to {directory}: {why}. Each worker keeps up to {most} MiB in memory"
            " and answers 507 beyond that. Free space there, or set TMPDIR to another directory.",
            directory=self._directory, why=problem.strerror or str(problem), most=MAX_MEMORY_BYTES >> 20,
        )  # fmt: skip


def _full() -> HTTPError:
    return HTTPError(503, "other request bodies use all of --spool-size")


class Store:
    """Keeps the bytes of one body.

    :param limit: most bytes allowed, 0 for any number.
    :ivar size: how many there are.
    :ivar file: to read them, once they are all here (`finish`).
    """

    file: IO[bytes]

    def __init__(self, limit: int, spool: Spool) -> None:
        self._limit = limit
        self._spool = spool
        #: They are in memory, or else in a file; so many are counted as in memory.
        self._memory: io.BytesIO | None = io.BytesIO()
        self._held = 0
        self._descriptor = -1
        #: No file could be written.
        self._stays = False
        self._dropped = False
        self.size = 0

    def add(self, data: bytes) -> None:
        """Keep some more. What is raised is the end of the body: what is there of it waits to be dropped.

        :raises HTTPError: 413 past the limit; 503 and 507 where there is no room.
        """
        size = len(data)
        if not size:
            return
        whole = self.size + size
        if self._limit and whole > self._limit:
            raise HTTPError(413, "request body too large")
        self._spool.take(size, whole)
        self.size = whole
        if self._memory is not None and self._hold(size, self._stays):
            self._memory.write(data)
        elif self._stays or not self._write(data):
            self._stay(data)

    def _hold(self, size: int, must: bool) -> bool:
        held = self._spool.hold(size, self.size, must)
        self._held += size * held
        return held

    def _write(self, data: bytes) -> bool:
        """Write to the file, which takes what is in memory as well; returns whether it took all."""
        try:
            if self._memory is not None:
                self._descriptor = self._spool.open()
                _write_all(self._descriptor, self._memory.getvalue())
            _write_all(self._descriptor, data)
        except OSError as problem:
            self._spool.tell(problem)
            return False
        if self._memory is not None:
            self._memory = None
            self._spool.let_go(self._held)
            self._held = 0
        return True

    def _stay(self, data: bytes) -> None:
        """The last resort is memory, as far as that goes.

        :raises HTTPError: 507 (RFC 4918 section 11.5), it does not.
        """
        needed = len(data) if self._memory is not None else self.size
        if self._stays or not self._hold(needed, must=True):
            raise HTTPError(507, "no space left to store the request body")
        self._stays = True
        if self._memory is None:
            self._memory = self._read_back(self.size - len(data))
        self._close_descriptor()
        self._memory.write(data)

    def _read_back(self, size: int) -> io.BytesIO:
        memory = io.BytesIO()
        while (done := memory.tell()) < size:
            try:
                piece = os.pread(self._descriptor, min(MAX_BODY_MEMORY_BYTES, size - done), done)
            except OSError:
                piece = b""
            if not piece:
                raise HTTPError(507, "cannot read the stored request body back")
            memory.write(piece)
        return memory

    def finish(self) -> Store:
        """The body is whole: `file` is read from its start."""
        if self._memory is not None:
            self._memory.seek(0)
            self.file = self._memory
        elif self._descriptor >= 0:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            self.file = open_file(self._descriptor, "rb")
            self._descriptor = -1
        return self

    def drop(self) -> None:
        """The bytes are needed no longer. It may be said again."""
        if self._dropped:
            return
        self._dropped = True
        if self._memory is not None:
            self._memory.close()
        elif self._descriptor < 0:
            self.file.close()
        self._close_descriptor()
        self._spool.let_go(self._held, self.size)

    def _close_descriptor(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, with no buffer of ours in between.

    :raises OSError: the file takes no more.
    """
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
