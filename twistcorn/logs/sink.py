"""A sink: writes lines on its own thread, so that a blocked reader or disk blocks nothing else.

Law: `write` never waits. The queue is bounded; beyond the limit the newest lines are dropped and counted, and the
number is logged as soon as lines flow again. On a pipe, which several processes share, each piece is small enough for
the kernel to write it atomically. Application threads call `write`, and an exception may hit one at any line (a
time-out, a signal handler): C code takes and releases the lock in one step, waits are in C code, and the counts are
reset whenever the queue is empty.
"""

from __future__ import annotations

import contextlib
import stat
import weakref
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from ..pristine import os, select, threading

#: Lines, and bytes, in the queue: some seconds of a busy access log.
MAX_WAITING_LINES = 65536
MAX_WAITING_BYTES = 8 << 20
#: Bytes that a pipe writes atomically (PIPE_BUF, pipe(7)).
ATOMIC_WRITE_BYTES = 4096
#: Seconds until a failed write is retried.
RETRY_SECONDS = 1.0
#: Seconds for which an ending process waits for the last lines.
FINAL_FLUSH_SECONDS = 2.0


def plain(text: str, lost: int) -> bytes:
    """A line of the sink itself, as plain text."""
    return f"{text}\n".encode()


class Sink:
    """Queues lines and writes them.

    :param path: a file to append to; `reopen` reopens it.
    :param descriptor: or an open descriptor, which the sink does not own.
    :param standby: the descriptor to use when the other was closed or replaced, and in a forked child; -1: none.
    :param say: formats a line of the sink itself like the other lines: takes the text, and the number of dropped lines
        if it reports that; the result ends with a newline.
    :param idle: called on the sink's thread when the queue is empty; may write more. Returns the seconds until it is
        called again; None: after the next write.
    :raises OSError: the file cannot be opened.
    """

    def __init__(
        self, path: str = "", descriptor: int = -1, say: Callable[[str, int], bytes] = plain,
        most_lines: int = MAX_WAITING_LINES, idle: Callable[[], float | None] = lambda: None, standby: int = -1,
    ) -> None:  # fmt: skip
        self._path = path
        self._descriptor = _open(path) if path else descriptor
        self._standby = standby
        self._identity = _identity(self._descriptor)
        self._say = say
        self._most_lines = most_lines
        self._idle = idle
        self._together = not _is_file(self._descriptor)
        self.begin_anew()
        _sinks.add(self)

    def begin_anew(self) -> None:
        """Set up, at first and in a forked child: an empty queue and no thread."""
        # Reentrant, for a signal handler on the same thread.
        self._lock = threading.RLock()
        #: `_news` wakes the thread while `_asleep`; `_end` ends its pause; `_flushing`: fed when all is written.
        self._news: SimpleQueue[None] = SimpleQueue()
        self._asleep = False
        self._end: SimpleQueue[None] = SimpleQueue()
        self._flushing: list[SimpleQueue[None]] = []
        self._waiting: list[tuple[bytes, int]] = []
        self._lines = self._bytes = 0
        self._lost = 0
        #: A new file, and how many queued pieces belong to the old one.
        self._fresh, self._older = -1, 0
        self._closing = False
        self._thread: threading.Thread | None = None

    def write(self, data: bytes, lines: int = 1) -> None:
        """Queue complete lines; `lines` is their number."""
        with self._lock:
            if self._lines + lines > self._most_lines or self._bytes + len(data) > MAX_WAITING_BYTES:
                self._lost += lines
                return
            self._lines += lines
            self._bytes += len(data)
            self._waiting.append((data, lines))
            self._begin()

    def _begin(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="log", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError):
                # No thread can start, now or (at interpreter shutdown) ever; the next line tries again.
                self._write_here()
                return
            self._thread = thread
        elif self._asleep:
            # In this order: one wake-up too many is better than none.
            self._news.put(None)
            self._asleep = False

    def _write_here(self) -> None:
        """Write the queue on this thread, as far as possible without blocking: the last resort."""
        if self._fresh >= 0:
            return
        room = select.poll()
        room.register(self._descriptor, select.POLLOUT)
        while self._waiting and room.poll(0):
            data, lines = self._waiting[0]
            # A writable pipe has room for this much (pipe(7)); a longer line would block.
            if self._together and len(data) > ATOMIC_WRITE_BYTES:
                break
            del self._waiting[0]
            self._lines -= lines
            self._bytes -= len(data)
            self._lost += self._put(data, lines)

    def reopen(self) -> None:
        """Reopen the file by name; if that fails, log the error and keep the old file."""
        if not self._path:
            return
        try:
            fresh = _open(self._path)
        except OSError as problem:
            self.write(self._say(f"cannot reopen {self._path}: {problem.strerror}", 0))
            return
        with self._lock:
            unused, self._fresh = self._fresh, fresh
            self._older = len(self._waiting)
            self._begin()
        if unused >= 0:
            os.close(unused)

    def flush(self, timeout: float = FINAL_FLUSH_SECONDS) -> bool:
        """Wait until everything is written; returns whether it was, within the time-out in seconds."""
        done: SimpleQueue[None] = SimpleQueue()
        with self._lock:
            if not self._lines and not self._lost:
                return True
            self._flushing.append(done)
            self._begin()
        try:
            done.get(timeout=timeout)
        except Empty:
            return False
        return True

    def close(self, timeout: float = FINAL_FLUSH_SECONDS) -> None:
        """Write the queue, within the time-out in seconds, then end the thread."""
        self.flush(timeout)
        with self._lock:
            self._closing = True
            self._begin()
            thread = self._thread
        # Whatever the thread waits for.
        self._end.put(None)
        if thread is not None:
            thread.join(timeout)

    # On its own thread

    def _run(self) -> None:
        try:
            self._write_on()
        finally:
            # If the thread ends with an error, the next line starts another.
            with self._lock:
                self._thread = None

    def _pause(self) -> None:
        """Wait until there is something to do."""
        while True:
            pause = self._idle()
            with self._lock:
                if self._waiting or self._lost or self._closing or self._fresh >= 0:
                    return
                self._asleep = True
            try:
                self._news.get(timeout=pause)
            except Empty:
                continue

    def _write_on(self) -> None:
        while True:
            self._pause()
            with self._lock:
                batch, self._waiting = self._waiting, []
                lost, self._lost = self._lost, 0
                fresh, self._fresh = self._fresh, -1
                older = batch[: self._older] if fresh >= 0 else []
                over = self._closing and not batch and not lost
                lines, size = sum(count for _, count in batch), sum(len(data) for data, _ in batch)
                # Dropped lines count as waiting until they are reported.
                self._lines += bool(lost)
            refused = self._put_all(older)
            if fresh >= 0:
                os.close(self._descriptor)
                self._descriptor = fresh
            if over:
                break
            refused += self._put_all(batch[len(older) :])
            if lost and self._put(self._say(f"{lost} lines dropped: log reader too slow", lost), 1):
                # Still no room: report it later.
                refused += lost
            self._note_written(lines + bool(lost), size, refused)
            # A full disk: retry after a pause, unless the process ends.
            if refused and self._ends_within(RETRY_SECONDS):
                break
        if self._path:
            os.close(self._descriptor)

    def _note_written(self, lines: int, size: int, refused: int) -> None:
        with self._lock:
            self._lines -= lines
            self._bytes -= size
            self._lost += refused
            if not self._waiting:
                # An interrupted `write` may have counted a line without queueing it.
                self._lines = self._bytes = 0
                if not self._lost:
                    flushing, self._flushing = self._flushing, []
                    for each in flushing:
                        each.put(None)

    def _ends_within(self, seconds: float) -> bool:
        try:
            self._end.get(timeout=seconds)
        except Empty:
            return self._closing
        return True

    def _put_all(self, batch: list[tuple[bytes, int]]) -> int:
        return self._put(b"".join(data for data, _ in batch), sum(lines for _, lines in batch)) if batch else 0

    def _put(self, data: bytes, lines: int) -> int:
        """Write lines; returns how many could not be written."""
        if self._standby >= 0 and _identity(self._descriptor) != self._identity:
            # The application has closed the descriptor, and its number may be in use elsewhere by now.
            self._descriptor, self._standby = self._standby, -1
        for piece in _pieces(data) if self._together else (data,):
            left = memoryview(piece)
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:
                    # Another process that shares the pipe has made it non-blocking.
                    waiting = select.poll()
                    waiting.register(self._descriptor, select.POLLOUT)
                    waiting.poll()
                except BrokenPipeError:
                    # The pipe has no reader any more.
                    return 0
                except OSError:
                    return lines
        return 0


def _after_fork() -> None:
    for each in list(_sinks):
        each.begin_anew()
        if each._standby >= 0:
            # To become a daemon, a child closes only its standard descriptors.
            each._descriptor, each._standby = each._standby, -1


#: All sinks: a forked child has none of their threads, but may have a held lock.
_sinks: weakref.WeakSet[Sink] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork)


def _pieces(data: bytes) -> Iterator[bytes]:
    """Complete lines, grouped into pieces that a pipe writes atomically; a longer line alone."""
    start = 0
    while len(data) - start > ATOMIC_WRITE_BYTES:
        end = data.rfind(b"\n", start, start + ATOMIC_WRITE_BYTES) + 1 or data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end
    yield data[start:]


def _open(path: str) -> int:
    """Open to append; a FIFO is opened for reading as well, or open(2) would wait for a reader."""
    mode = os.O_WRONLY
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISFIFO(os.stat(path).st_mode):
            mode = os.O_RDWR
    return os.open(path, mode | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_file(descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    return False
