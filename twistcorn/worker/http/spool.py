"""The spool: stores request bodies in memory or in unnamed files, and limits their total size.

Law: knows no connection, and of HTTP only the status of a refusal. The total of all workers is on the scoreboard: a
worker first claims its bytes there, then reads the sum, so that two which claim at the same time may both be refused,
but never both get the last room. A body counts as its bytes arrive, not as its client announces them: announcing costs
a client nothing.
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

#: A body up to this size stays in memory while there is plenty of that; a larger one goes to a file.
MAX_BODY_MEMORY_BYTES = 1 << 20
#: Bytes of memory for all bodies of one worker.
MAX_MEMORY_BYTES = 64 << 20
#: A body may use one such part of the memory left: many slow bodies of medium size go to files, and leave room.
BODY_DIVISOR = 16
#: Seconds between two lines about files that cannot be written.
LOG_INTERVAL_SECONDS = 60.0
#: Errors of a file system without O_TMPFILE (NFS, some overlays): there a file has a name for a short time.
_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


def find_directory() -> str:
    """The directory in TMPDIR, TEMP or TMP, else /tmp. If the operator named one, no other is tried.

    A relative name starts at the server's working directory, which may be gone by now. PWD still has its path: the
    worker starts all the same, and its log names the missing directory.
    """
    named = next(filter(None, map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))), "/tmp")
    try:
        return os.path.abspath(named)
    except OSError:
        return os.path.normpath(os.path.join(os.environ.get("PWD", ""), named))


#: The directory as named before the application was loaded.
DIRECTORY = find_directory()


class Spool:
    """The bodies that this worker stores, within its own limits and those of the server.

    :param region: the first word of this worker on the scoreboard.
    :param directory: for the files.
    :ivar settings: the current settings.
    :ivar asked: incomplete bodies that the client sends only once the application asks (`Expect`).
    """

    log = Logger()

    def __init__(self, board: Scoreboard, region: int, settings: Settings, directory: str = "") -> None:
        self._board = board
        self._words, self._word = board.words, region + W_SPOOLED
        self._directory = directory or DIRECTORY
        self._lock = threading.Lock()
        #: Bytes of all bodies of this worker; of those in memory.
        self._kept = self._held = 0
        self._told = -LOG_INTERVAL_SECONDS
        self.asked = 0
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Apply the settings."""
        self.settings = settings
        self._limit = settings.spool_size
        # With stand-ins all threads may wait for clients, as others replace them; without, half of them.
        several = min(settings.threads, max(settings.stand_ins, settings.threads // 2))
        self._most_asked = several if settings.threads > 1 and settings.expect == "read" else 0

    def forget(self) -> None:
        """Detach from the scoreboard in a forked child: it belongs to the parent."""
        self._words, self._word, self._limit = memoryview(bytearray(8)).cast("Q"), 0, 0

    # Room

    def check(self, length: int) -> None:
        """Check that a body of this length can be stored, as far as is known before it comes.

        :raises HTTPError: 413: it never can; 503: not now.
        """
        if self._limit:
            self._refuse_if_larger(length)
            if self._total() + length > self._limit:
                raise _full()

    def take(self, size: int, whole: int) -> None:
        """Claim room for more of a body.

        :param whole: the body's size including it.
        :raises HTTPError: 413: the body exceeds the total; 503: other bodies use the room.
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
        """Claim memory for more of a body; returns whether there is enough.

        :param must: there is no other place for it.
        """
        with self._lock:
            left = MAX_MEMORY_BYTES - self._held
            fits = size <= left if must else whole <= min(MAX_BODY_MEMORY_BYTES, left // BODY_DIVISOR)
            if fits:
                self._held += size
            return fits

    def let_go(self, held: int, size: int = 0) -> None:
        """Release bytes: held in memory, and stored in all."""
        with self._lock:
            self._held -= held
            self._kept -= size
            self._words[self._word] = self._kept

    def may_ask(self) -> bool:
        """Whether one more body may wait until the application asks for it; counts it if so."""
        with self._lock:
            fits = self.asked < self._most_asked
            self.asked += fits
            return fits

    def has_come(self) -> None:
        """Uncount one of those: it is complete, or never will be."""
        with self._lock:
            self.asked -= 1

    # Files

    def open(self) -> int:
        """Open a new file without a name.

        :raises OSError: none can be created.
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

    def log_problem(self, problem: OSError) -> None:
        """Log that a file could not be created or written."""
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
    """Stores the bytes of one body.

    :param limit: most bytes allowed, 0 for any number.
    :ivar size: bytes stored.
    :ivar file: to read the complete body from (`close_body`).
    """

    file: IO[bytes]

    def __init__(self, limit: int, spool: Spool) -> None:
        self._limit = limit
        self._spool = spool
        #: The bytes are in memory or in a file; `_held` of them count as memory.
        self._memory: io.BytesIO | None = io.BytesIO()
        self._held = 0
        self._descriptor = -1
        #: No file could be written: the body stays in memory.
        self._stays = False
        self._dropped = False
        self.size = 0

    def append(self, data: bytes) -> None:
        """Store more bytes. After an exception, the body can only be dropped.

        :raises HTTPError: 413 past the limit; 503 and 507 without room.
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
        """Write to the file, first what is in memory; returns whether everything was written."""
        try:
            if self._memory is not None:
                self._descriptor = self._spool.open()
                _write_all(self._descriptor, self._memory.getvalue())
            _write_all(self._descriptor, data)
        except OSError as problem:
            self._spool.log_problem(problem)
            return False
        if self._memory is not None:
            self._memory = None
            self._spool.let_go(self._held)
            self._held = 0
        return True

    def _stay(self, data: bytes) -> None:
        """Keep the body in memory, as a last resort.

        :raises HTTPError: 507 (RFC 4918 section 11.5): memory is full.
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

    def close_body(self) -> Store:
        """Complete the body: `file` is at its start."""
        if self._memory is not None:
            self._memory.seek(0)
            self.file = self._memory
        elif self._descriptor >= 0:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            self.file = open_file(self._descriptor, "rb")
            self._descriptor = -1
        return self

    def drop(self) -> None:
        """Free the bytes; further calls do nothing."""
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
    """Write all of it, unbuffered.

    :raises OSError: the file cannot be written.
    """
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
