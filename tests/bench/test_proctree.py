"""Process trees and their CPU time."""

from __future__ import annotations

import os
import subprocess
import sys

from bench.proctree import Stat, cpu_seconds, family, parse_stat

LINE = "42 (a) b) (c) S 7 42 40 0 -1 4194560 1 2 3 4 100 20 30 4 20 0 9 0 555 1000 2000"


def stat(pid: int, parent: int, session: int) -> Stat:
    """A process of which only the kinship matters."""
    return Stat(pid, "S", parent, session, ticks=0, started=0)


def test_stat_line_with_blanks_and_parentheses_in_the_name() -> None:
    """The name may hold anything; ticks are own and reaped children's, user and system."""
    assert parse_stat(LINE) == Stat(pid=42, state="S", parent=7, session=40, ticks=154, started=555)


def test_family_is_descent_and_session() -> None:
    """Grandchildren in sessions of their own count, and so do orphans of the root's session."""
    root, child, grandchild = stat(10, 1, 10), stat(11, 10, 11), stat(12, 11, 12)
    orphan, orphans_child, stranger = stat(13, 1, 10), stat(14, 13, 14), stat(15, 1, 1)
    everyone = [grandchild, stranger, orphans_child, root, child, orphan]
    assert {member.pid for member in family({10}, everyone)} == {10, 11, 12, 13, 14}


def test_own_stat_is_readable() -> None:
    """The kernel's line for this process agrees with what the process knows."""
    with open("/proc/self/stat") as file:
        own = parse_stat(file.read())
    assert (own.pid, own.parent, own.session) == (os.getpid(), os.getppid(), os.getsid(0))


def test_cpu_time_of_a_reaped_child_is_not_lost() -> None:
    """What a child used is counted after it has gone, as workers come and go during a run."""
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); input('done')"
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"done"
        assert cpu_seconds(process.pid) >= 0.19
        process.communicate(b"\n")
