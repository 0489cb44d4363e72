"""The servers: how each is started, as its own documentation advises.

Law: a table and the filling of its blanks; starts nothing. ``docs/benchmark.md`` repeats each
command line, and a test compares the two.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.workloads import Persistence, Workload

BASELINE = "twistcorn"


class Home(enum.Enum):
    """Whose Python runs the server."""

    OWN = "own"
    PEERS = "peers"


@dataclass(frozen=True)
class Server:
    """One server: the distribution it comes in, whose Python runs it, its command line.

    :ivar threads: how many of its threads run the application, as the report says it.
    :ivar processes: it can have several worker processes, and a master that replaces them.
    :ivar needs: distributions that it needs besides its own.
    :ivar many: options before the last word, without which it does not hold ten thousand idle connections.
    """

    name: str
    distribution: str
    home: Home
    threads: str
    command: tuple[str, ...]
    by_persistence: Mapping[Persistence, tuple[str, ...]] = field(default_factory=dict)
    processes: bool = True
    many: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def template(self, persistence: Persistence) -> tuple[str, ...]:
        """The command line with its blanks still open."""
        return self.command + self.by_persistence.get(persistence, ())


@dataclass(frozen=True)
class Place:
    """Where a server runs: what fills the blanks of its command line."""

    python: Path
    apps: Path
    port: int | str
    workers: int | str = 1


def command_line(server: Server, workload: Workload, place: Place) -> list[str]:
    """The server's command line for one workload at one place."""
    blanks = {
        "python": str(place.python),
        "bin": str(place.python.parent),
        "venv": str(place.python.parent.parent),
        "apps": str(place.apps),
        "port": str(place.port),
        "module": workload.case.module,
        "workers": str(place.workers),
    }
    return [word.format_map(blanks) for word in server.template(workload.persistence)]


# waitress logs a warning for each request that waits for a thread; nobody else here logs each request.
WAITRESS_WITHOUT_QUEUE_LOG = (
    'import logging; logging.getLogger("waitress.queue").setLevel(logging.ERROR); '
    "from waitress.runner import run; run()"
)

OURS = (
    *("{python}", "-m", "twistcorn.cli", "run", "{module}:app", "--workers", "{workers}", "--threads", "8"),
    *("--listen", "127.0.0.1:{port}", "--chdir", "{apps}"),
)


def gunicorn(
    name: str, threads: str, *words: str, many: tuple[str, ...] = (), needs: tuple[str, ...] = ()
) -> Server:
    """Gunicorn with one of its kinds of worker."""
    common = ("--bind", "127.0.0.1:{port}", "--no-control-socket", "--chdir", "{apps}", "{module}:app")
    command = ("{bin}/gunicorn", "-w", "{workers}", *words, *common)
    return Server(name, "gunicorn", Home.PEERS, threads, command, many=many, needs=needs)


# Without it, either refuses what is above the thousand of its default.
MANY = ("--worker-connections", "11000")

SERVERS = (
    Server(BASELINE, BASELINE, Home.OWN, "8", OURS),
    gunicorn("gunicorn-sync", "1", "-k", "sync"),
    gunicorn(
        *("gunicorn-gthread", "8", "-k", "gthread", "--threads", "8", "--keep-alive", "75"),
        many=MANY,
    ),
    gunicorn(
        *("gunicorn-gevent", "greenlets", "-k", "gevent", "--keep-alive", "75"),
        many=MANY,
        needs=("gevent",),
    ),
    Server(
        "waitress",
        "waitress",
        Home.PEERS,
        "8",
        (
            *("{python}", "-c", WAITRESS_WITHOUT_QUEUE_LOG),
            *("--listen=127.0.0.1:{port}", "--threads=8", "{module}:app"),
        ),
        processes=False,
        many=("--connection-limit=11000", "--asyncore-use-poll"),
    ),
    Server(
        "granian",
        "granian",
        Home.PEERS,
        "8",
        (
            *("{bin}/granian", "--interface", "wsgi", "--workers", "{workers}", "--blocking-threads", "8"),
            *("--host", "127.0.0.1", "--port", "{port}", "--no-access-log", "--respawn-failed-workers"),
            *("--working-dir", "{apps}", "{module}:app"),
        ),
        # The connections it has at once are as many as it queues.
        many=("--backlog", "11000"),
    ),
    Server(
        "uwsgi",
        "uWSGI",
        Home.PEERS,
        "8",
        (
            *("{bin}/uwsgi", "--master", "--processes", "{workers}", "--threads", "8", "--disable-logging"),
            *("--need-app", "--die-on-term", "--virtualenv", "{venv}", "--chdir", "{apps}"),
            *("--module", "{module}:app"),
        ),
        # Its HTTP/1.1 socket never closes and its HTTP socket always does, each without saying so.
        {
            Persistence.KEEP_ALIVE: ("--http11-socket", "127.0.0.1:{port}"),
            Persistence.CLOSE: ("--http-socket", "127.0.0.1:{port}", "--add-header", "Connection: close"),
        },
    ),
    Server(
        "twist-web",
        "Twisted",
        Home.PEERS,
        "up to 10",
        (
            *("{bin}/twist", "--log-level=warn", "web", "--listen", "tcp:{port}:interface=127.0.0.1"),
            *("--wsgi", "{module}.app"),
        ),
        processes=False,
    ),
)

#: Measured only when they are asked for: twistcorn with one way to run the application forced.
VARIANTS = tuple(
    Server(f"{BASELINE}-{turns}", BASELINE, Home.OWN, "8", (*OURS, "--turns", turns))
    for turns in ("pool", "inline")
)


def baseline(names: Sequence[str]) -> str:
    """Whose figures the others are compared with: twistcorn, or its first variant where only variants ran."""
    ours = [name for name in names if name.startswith(BASELINE)]
    return BASELINE if BASELINE in ours or not ours else ours[0]
