"""One run: a server with a fresh copy of the application, a crowd, and what a scenario may do to both.

Law: does single things when told to; when and why is the scenarios'. Nothing outlives the ``with`` block.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.disrupt.asides import Aside
from bench.disrupt.contestants import MODULE, Contestant, Reload
from bench.disrupt.crowds import Crowd
from bench.disrupt.outcomes import CALM, DISRUPTED
from bench.disrupt.tally import Phase
from bench.proctree import ZOMBIE, family_of
from bench.running import NotServing, Running
from bench.workloads import Case, Persistence, Workload

APP = Path(__file__).parent.parent / "apps" / f"{MODULE}.py"
READY = Workload(Case("disruption", MODULE, b"ready\n"), Persistence.KEEP_ALIVE)
WORKERS = 4
BOOT_PATIENCE = 30.0
POLL = 0.05


@dataclass(frozen=True)
class Pace:
    """How long everything takes, in seconds.

    :ivar seconds: of each scenario's disruption, where nothing else sets it.
    :ivar boot: what the application takes to import.
    :ivar clients: of the crowd.
    """

    seconds: float
    boot: float
    clients: int

    @property
    def calm(self) -> float:
        """Of the phase before, which says what is usual."""
        return min(5.0, max(1.0, self.seconds / 4))


@dataclass
class Stage:
    """A running server and its crowd."""

    contestant: Contestant
    pace: Pace
    folder: Path
    server: Running
    crowd: Crowd
    load_cpu: int | None
    random: random.Random
    booted_in: float
    figures: dict[str, float] = field(default_factory=dict)
    asides: list[Aside] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    #: What other crowds than the one saw.
    phases: list[Phase] = field(default_factory=list)
    version: int = 1
    ended: str | None = None

    @property
    def dead(self) -> bool:
        """Whether the server has ended."""
        return self.server.process.poll() is not None

    def calm(self) -> None:
        """See what is usual."""
        # What the first connections cost is not usual.
        self.wait(0.5)
        self.crowd.begin(CALM)
        self.wait(self.pace.calm)

    def disrupt(self) -> None:
        """From here on it is not."""
        self.crowd.begin(DISRUPTED)

    def wait(self, seconds: float) -> None:
        """Let it go on."""
        time.sleep(seconds)

    def every(self, period: float, seconds: float, act: Callable[[], None]) -> None:
        """Do it now, and again after each period until the time is over."""
        began = time.monotonic()
        for number in range(max(1, int(seconds / period))):
            self.wait(max(0.0, began + number * period - time.monotonic()))
            act()
        self.wait(max(0.0, began + seconds - time.monotonic()))

    def until(self, true: Callable[[], bool], patience: float) -> float | None:
        """The seconds until it was true, or ``None`` when it was not in time."""
        began = time.monotonic()
        while (taken := time.monotonic() - began) < patience:
            if true():
                return taken
            self.wait(POLL)
        return None

    def booted(self) -> list[int]:
        """The pid of each worker that ever had the application, oldest first."""
        return booted(self.folder)

    def workers(self) -> list[int]:
        """The pid of each worker that has the application and is alive."""
        alive = {stat.pid for stat in family_of({self.server.pid}) if stat.state != ZOMBIE}
        return [pid for pid in self.booted() if pid in alive]

    def signal_one(self, number: signal.Signals) -> int | None:
        """Send a signal to a random worker; its pid, or ``None`` when there is none now."""
        workers = self.workers()
        if not workers:
            return None
        pid = self.random.choice(workers)
        os.kill(pid, number)
        return pid

    def deploy(self) -> None:
        """Put another version in place and have it loaded."""
        self.version += 1
        (self.folder / "version").write_text(str(self.version))
        self.reload()

    def reload(self) -> None:
        """Have the code on disk loaded, as this server wants to be told."""
        if self.contestant.reload is Reload.TOUCH:
            os.utime(self.folder / "chain")
        elif not self.dead:
            self.server.process.send_signal(signal.SIGHUP)

    def all_new(self, old: set[int]) -> bool:
        """Whether all workers are there and none is one of the old ones."""
        workers = set(self.workers())
        return len(workers) >= WORKERS and not workers & old

    def log(self) -> str:
        """All that the server printed."""
        number = self.server.log.fileno()
        return os.pread(number, os.fstat(number).st_size, 0).decode(errors="replace")

    def run_twice(self) -> int:
        """How many POST requests the application has run more than once."""
        path = self.folder / "runs"
        runs = path.read_text().split() if path.exists() else []
        return len(runs) - len(set(runs))

    def look_whether_it_lives(self) -> None:
        """Note how the server ended, if it has."""
        status = self.server.process.poll()
        if status is not None and self.ended is None:
            self.ended = f"status {status}" if status >= 0 else signal.Signals(-status).name


def booted(folder: Path) -> list[int]:
    """What the application has noted of its processes."""
    path = folder / "pids"
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


@contextmanager
def deployed(boot: float) -> Iterator[Path]:
    """A folder with the application and all that it reads."""
    with tempfile.TemporaryDirectory(prefix="bench-disruption-") as name:
        folder = Path(name)
        shutil.copy(APP, folder)
        for file, text in (("boot", str(boot)), ("version", "1"), ("chain", "")):
            (folder / file).write_text(text)
        yield folder


def wait_all_ready(server: Running, folder: Path) -> float:
    """Return when each worker has the application; answer after how many seconds the first had it."""
    began = time.monotonic()
    first: float | None = None
    while (ready := len(booted(folder))) < WORKERS:
        server.check_alive()
        taken = time.monotonic() - began
        if taken > BOOT_PATIENCE:
            raise NotServing(f"{ready} of {WORKERS} workers ready after {BOOT_PATIENCE:.0f} s")
        if ready and first is None:
            first = taken
        time.sleep(POLL)
    return first if first is not None else time.monotonic() - began
