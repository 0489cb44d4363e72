"""A sink: lines go out on a thread of their own, so that a reader or a disk that blocks stops nobody.

Law: `write` never waits. What is waiting is bounded; beyond that the newest lines are dropped and counted, and the
number is told as soon as the rest flows again. On a pipe, which several processes share, no piece is larger than what
the kernel keeps whole. Threads of the application's write here, and an exception may come to one at any line (a
time-out of its own, a signal's handler): the lock is taken and given back by C code in one step, waits are C code's,
and the counts are put right whenever nothing waits.
"""

from __future__ import annotations

import contextlib
import stat
import weakref
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

from ..pristine import os, select, threading

#: Lines, and bytes, that may wait for a reader: some seconds of a busy access log.
MAX_WAITING_LINES = 65536
MAX_WAITING_BYTES = 8 << 20
#: Bytes that a pipe keeps together whoever else writes (PIPE_BUF of pipe(7)).
ATOMIC_WRITE_BYTES = 4096
#: Seconds until a file that could not be written is tried again.
RETRY_SECONDS = 1.0
#: Seconds that the end of a process waits for what is still to be written.
FINAL_FLUSH_SECONDS = 2.0


def plain(text: str, lost: int) -> bytes:
    """A line of the sink's own, among others that are plain."""
    return f"{text}\n".encode()


class Sink:
    """Where lines go.

    :param path: a file to append to; `reopen` opens it anew.
    :param descriptor: or one that is open, and belongs to somebody else.
    :param standby: where lines go when that is no longer what it was, and in a child that is forked; -1: nowhere.
    :param say: makes a line of the sink's own, so that it looks like the others: of its text, and how many lines were
        dropped, if that is what it tells; ends with a newline.
    :param idle: called on the sink's thread when nothing is left to write; may write more. Returns after how many
        seconds it is to be called again, None: when something was written.
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
        """Nothing waits, and no thread writes: at first, and in a child that was forked."""
        # One that a signal handler on the same thread may take again.
        self._lock = threading.RLock()
        #: Wakes the thread, which says when it sleeps; ends its pause; each is told when all is written.
        self._news: SimpleQueue[None] = SimpleQueue()
        self._asleep = False
        self._end: SimpleQueue[None] = SimpleQueue()
        self._flushing: list[SimpleQueue[None]] = []
        self._waiting: list[tuple[bytes, int]] = []
        self._lines = self._bytes = 0
        self._lost = 0
        #: A new file, and how many of what waits belong to the old one.
        self._fresh, self._older = -1, 0
        self._closing = False
        self._thread: threading.Thread | None = None

    def write(self, data: bytes, lines: int = 1) -> None:
        """Have whole lines written; so many are in the data."""
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
                # No thread is to be had, now or ever again (at the end of a process): the next line tries anew.
                self._write_here()
                return
            self._thread = thread
        elif self._asleep:
            # In this order: woken once too often is better than never.
            self._news.put(None)
            self._asleep = False

    def _write_here(self) -> None:
        """The last resort: write what waits on this thread, as far as that does not block."""
        if self._fresh >= 0:
            return
        room = select.poll()
        room.register(self._descriptor, select.POLLOUT)
        while self._waiting and room.poll(0):
            data, lines = self._waiting[0]
            # Room in a pipe is room for so much (pipe(7)); a longer line would wait.
            if self._together and len(data) > ATOMIC_WRITE_BYTES:
                break
            del self._waiting[0]
            self._lines -= lines
            self._bytes -= len(data)
            self._lost += self._put(data, lines)

    def reopen(self) -> None:
        """Go on in a file under the name; when it cannot be opened the old one stays, and its last line says so."""
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
        """Wait until all is written; returns whether it was, within so many seconds."""
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
        """Write what waits, for so long, then end."""
        self.flush(timeout)
        with self._lock:
            self._closing = True
            self._begin()
            thread = self._thread
        # Whatever it waits for.
        self._end.put(None)
        if thread is not None:
            thread.join(timeout)

    # On its own thread

    def _run(self) -> None:
        try:
            self._write_on()
        finally:
            # Should it end otherwise than in order, the next line has another one begin.
            with self._lock:
                self._thread = None

    def _rest(self) -> None:
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
            self._rest()
            with self._lock:
                batch, self._waiting = self._waiting, []
                lost, self._lost = self._lost, 0
                fresh, self._fresh = self._fresh, -1
                older = batch[: self._older] if fresh >= 0 else []
                over = self._closing and not batch and not lost
                lines, size = sum(count for _, count in batch), sum(len(data) for data, _ in batch)
                # Until it is told, what was lost counts as waiting.
                self._lines += bool(lost)
            refused = self._put_all(older)
            if fresh >= 0:
                os.close(self._descriptor)
                self._descriptor = fresh
            if over:
                break
            refused += self._put_all(batch[len(older) :])
            if lost and self._put(self._say(f"{lost} lines dropped: log reader too slow", lost), 1):
                # Still no room, so it is not told yet.
                refused += lost
            self._note_written(lines + bool(lost), size, refused)
            # A full disk: not sooner than somebody can do something about it, unless the process ends.
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
                # Whoever was interrupted in `write` may have counted a line that never came.
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
        """Write; returns how many lines could not be."""
        if self._standby >= 0 and _identity(self._descriptor) != self._identity:
            # The application has closed it, and it may be anybody's by now.
            self._descriptor, self._standby = self._standby, -1
        for piece in _pieces(data) if self._together else (data,):
            left = memoryview(piece)
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:
                    # Somebody who shares the pipe has made it so.
                    waiting = select.poll()
                    waiting.register(self._descriptor, select.POLLOUT)
                    waiting.poll()
                except BrokenPipeError:
                    # Nobody will ever read it.
                    return 0
                except OSError:
                    return lines
        return 0


def _after_fork() -> None:
    for each in list(_sinks):
        each.begin_anew()
        if each._standby >= 0:
            # What a child closes to be a daemon is its standard descriptors.
            each._descriptor, each._standby = each._standby, -1


#: All of them: in a child that the application forks their threads are not there, but a lock might be held.
_sinks: weakref.WeakSet[Sink] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork)


def _pieces(data: bytes) -> Iterator[bytes]:
    """Whole lines, as many together as a pipe keeps together; a longer line alone."""
    start = 0
    while len(data) - start > ATOMIC_WRITE_BYTES:
        end = data.rfind(b"\n", start, start + ATOMIC_WRITE_BYTES) + 1 or data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end
    yield data[start:]


def _open(path: str) -> int:
    """Open to append; also a FIFO that nobody reads yet, which open(2) would wait for unless we could read it, too."""
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
