"""Which descriptors are still the server's: real ones, closed and replaced as an application does it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from twistcorn.worker.process.descriptors import (
    CHANNEL,
    ORDERS,
    REPORTS,
    Descriptors,
    Identity,
    inherited,
)

Make = Callable[[ExitStack], int]


def a_file(stack: ExitStack) -> int:
    return stack.enter_context(tempfile.TemporaryFile()).fileno()


def a_socket(stack: ExitStack) -> int:
    pair = socket.socketpair()
    for end in pair:
        stack.enter_context(end)
    return pair[0].fileno()


def a_pipe(stack: ExitStack) -> int:
    reader, writer = os.pipe()
    stack.enter_context(os.fdopen(reader, "rb", 0))
    stack.enter_context(os.fdopen(writer, "wb", 0))
    return reader


KINDS: list[Make] = [a_file, a_socket, a_pipe]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes what a test has opened."""
    with ExitStack() as made:
        yield made


@pytest.fixture
def number(stack: ExitStack) -> Iterator[int]:
    """A number that nothing else has, and that a test may close; it leads to a file."""
    made = os.dup(a_file(stack))
    yield made
    # Unless the test has closed it.
    with suppress(OSError):
        os.close(made)


def watching(number: int, name: str = "channel") -> Descriptors:
    descriptors = Descriptors()
    descriptors.watch(number, name)
    return descriptors


@pytest.mark.parametrize("make", KINDS)
class TestIdentity:
    def test_same_thing_by_another_number(self, stack: ExitStack, make: Make) -> None:
        """A duplicate leads to the same."""
        original = make(stack)
        duplicate = os.dup(original)
        try:
            assert Identity.of(duplicate) == Identity.of(original)
        finally:
            os.close(duplicate)

    def test_another_of_the_same_kind(self, stack: ExitStack, make: Make) -> None:
        """Two files, sockets or pipes are two things."""
        first, second = make(stack), make(stack)
        known = Identity.of(first)
        assert known is not None
        assert known.is_there(first)
        assert not known.is_there(second)


def test_identity_of_a_closed_number(number: int) -> None:
    """There is none, and what was known is not there."""
    known = Identity.of(number)
    assert known is not None
    os.close(number)
    assert Identity.of(number) is None
    assert not known.is_there(number)


class TestLook:
    def test_all_is_well(self, number: int) -> None:
        """No fault is reported, however often it is checked."""
        descriptors = watching(number)
        assert [descriptors.check() for _ in range(3)] == ["", "", ""]

    def test_what_is_written_to_it_does_not_matter(self, number: int) -> None:
        """A file that grows and moves on stays the same file."""
        descriptors = watching(number)
        os.write(number, b"more")
        os.lseek(number, 1, os.SEEK_SET)
        assert descriptors.check() == ""

    def test_closed(self, number: int) -> None:
        """The message has its number and name, and where to read about it."""
        descriptors = watching(number)
        os.close(number)
        assert descriptors.check() == (
            f"the application closed or replaced the server's file descriptor {number} (channel);"
            " see docs/application.md, Descriptors"
        )

    @pytest.mark.parametrize("make", KINDS)
    def test_replaced(self, number: int, stack: ExitStack, make: Make) -> None:
        """An open number that leads elsewhere is as bad as a closed one."""
        descriptors = watching(number)
        os.dup2(make(stack), number)
        assert f"file descriptor {number} (channel);" in descriptors.check()

    def test_replaced_by_itself(self, number: int) -> None:
        """Closed and put back, it is ours again."""
        descriptors = watching(number)
        aside = os.dup(number)
        os.close(number)
        assert descriptors.check()
        os.dup2(aside, number)
        os.close(aside)
        assert descriptors.check() == ""

    def test_closed_before_it_is_watched(self, number: int) -> None:
        """The first check finds it, whatever has the number by then."""
        os.close(number)
        descriptors = watching(number)
        assert f"descriptor {number} " in descriptors.check()
        with tempfile.TemporaryFile() as other:
            os.dup2(other.fileno(), number)
            assert f"descriptor {number} " in descriptors.check()

    def test_several(self, stack: ExitStack, number: int) -> None:
        """The message has all lost ones, in the order in which they were named, and no other."""
        kept, other = a_file(stack), os.dup(a_pipe(stack))
        descriptors = watching(other, "orders")
        descriptors.watch(kept, "kept")
        descriptors.watch(number, "channel")
        os.close(number)
        os.close(other)
        assert f"file descriptors {other} (orders), {number} (channel);" in descriptors.check()

    def test_it_touches_nothing(self, number: int) -> None:
        """A number that is in other use now stays as it is."""
        descriptors = watching(number)
        reader, writer = os.pipe()
        try:
            os.write(writer, b"theirs")
            os.dup2(reader, number)
            descriptors.check()
            assert os.read(number, 10) == b"theirs"
        finally:
            os.close(reader)
            os.close(writer)


def alone(source: str, *arguments: str) -> str:
    """The output of a Python program in its own process, whose descriptors it may break."""
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


#: Closes standard descriptors, has a file come as the first of them, and lifts it. Says what is where then.
LIFTS = """
import fcntl, os, sys
from twistcorn.worker.process.descriptors import lift
closed = [int(each) for each in sys.argv[1]]
out = os.dup(1)
for each in closed:
    os.close(each)
made = os.memfd_create("lent")
assert made == closed[0], made
before = len(os.listdir("/proc/self/fd"))
lifted = lift(made)
paths = [os.readlink(f"/proc/self/fd/{each}").split(" ")[0] for each in (*closed, lifted)]
assert lifted > 2 and fcntl.fcntl(lifted, fcntl.F_GETFD) == fcntl.FD_CLOEXEC, lifted
assert not any(fcntl.fcntl(each, fcntl.F_GETFD) for each in closed), "programs inherit these"
grown = len(os.listdir("/proc/self/fd")) - before
os.write(out, f"{' '.join(paths)} {grown - len(closed)}".encode())
"""


@pytest.mark.parametrize("closed", ["0", "1", "2", "01", "02", "12", "012"])
def test_lift(closed: str) -> None:
    """It gets a number above the standard ones, those all lead somewhere, and nothing more is open."""
    null = " ".join(["/dev/null"] * len(closed))
    assert alone(LIFTS, closed) == f"{null} /memfd:lent 0"


#: The same where no descriptor, or one, is left.
LIFTS_WITHOUT_ROOM = """
import errno, os, resource, sys
from twistcorn.worker.process.descriptors import lift
os.close(0)
made = os.memfd_create("lent")
os.dup(made)
free = os.dup(made)
os.close(free)
resource.setrlimit(resource.RLIMIT_NOFILE, (free + int(sys.argv[1]), free + 10))
try:
    lift(made)
except OSError as problem:
    assert problem.errno == errno.EMFILE, problem
else:
    raise AssertionError("there was room")
resource.setrlimit(resource.RLIMIT_NOFILE, (free + 10, free + 10))
assert os.readlink("/proc/self/fd/0").startswith("/memfd:lent")
assert os.dup(made) == free, "something was left open"
"""


@pytest.mark.parametrize("room", ["0", "1"])
def test_lift_without_room(room: str) -> None:
    """EMFILE is raised, the descriptor stays where it is, and nothing is left open."""
    alone(LIFTS_WITHOUT_ROOM, room)


def test_inherited() -> None:
    """What the master gives is watched from the start, each by its name."""
    names = {
        ORDERS: "orders from the master",
        REPORTS: "reports to the master",
        CHANNEL: "connection channel",
    }
    source = """
import os, sys
from twistcorn.worker.process.descriptors import inherited
for number in range(3, 8):
    os.dup2(os.memfd_create("theirs"), number)
watched = inherited()
assert watched.check() == ""
os.dup2(os.memfd_create("another"), int(sys.argv[1]))
print(watched.check())
"""
    for number, name in names.items():
        assert f"file descriptor {number} ({name});" in alone(source, str(number))


def test_scoreboard_and_last_words_are_not_needed() -> None:
    """They may go: the one is mapped, and the log has the other as well."""
    told = alone("""
import os
from twistcorn.worker.process.descriptors import LAST_WORDS, SCOREBOARD, inherited
for number in range(3, 8):
    os.dup2(os.memfd_create("theirs"), number)
watched = inherited()
os.close(SCOREBOARD), os.close(LAST_WORDS)
print(repr(watched.check()))
""")
    assert told == "''\n"


def test_a_part_of_them() -> None:
    """A descriptor that is not watched is not missed."""
    assert inherited(()).check() == ""
