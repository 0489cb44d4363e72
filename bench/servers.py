"""The servers: how each is started with one worker process, as its own documentation advises.

Law: a table and the filling of its blanks; starts nothing. ``docs/benchmark.md`` repeats each
command line, and a test compares the two.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
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
    """One server: the distribution it comes in, whose Python runs it, and its command line."""

    name: str
    distribution: str
    home: Home
    command: tuple[str, ...]
    by_persistence: Mapping[Persistence, tuple[str, ...]] = field(default_factory=dict)

    def template(self, persistence: Persistence) -> tuple[str, ...]:
        """The command line with its blanks still open."""
        return self.command + self.by_persistence.get(persistence, ())


@dataclass(frozen=True)
class Place:
    """Where a server runs: what fills the blanks of its command line."""

    python: Path
    apps: Path
    port: int | str


def command_line(server: Server, workload: Workload, place: Place) -> list[str]:
    """The server's command line for one workload at one place."""
    blanks = {
        "python": str(place.python),
        "bin": str(place.python.parent),
        "venv": str(place.python.parent.parent),
        "apps": str(place.apps),
        "port": str(place.port),
        "module": workload.module,
    }
    return [word.format_map(blanks) for word in server.template(workload.persistence)]


# waitress logs a warning for each request that waits for a thread; nobody else here logs each request.
WAITRESS_WITHOUT_QUEUE_LOG = (
    'import logging; logging.getLogger("waitress.queue").setLevel(logging.ERROR); '
    "from waitress.runner import run; run()"
)

SERVERS = (
    Server(
        "twistcorn",
        "twistcorn",
        Home.OWN,
        (
            *("{python}", "-m", "twistcorn.cli", "run", "{module}:app", "--workers", "1", "--threads", "8"),
            *("--listen", "127.0.0.1:{port}", "--chdir", "{apps}"),
        ),
    ),
    Server(
        "gunicorn-sync",
        "gunicorn",
        Home.PEERS,
        (
            *("{bin}/gunicorn", "-w", "1", "-k", "sync", "--bind", "127.0.0.1:{port}"),
            *("--no-control-socket", "--chdir", "{apps}", "{module}:app"),
        ),
    ),
    Server(
        "gunicorn-gthread",
        "gunicorn",
        Home.PEERS,
        (
            *("{bin}/gunicorn", "-w", "1", "-k", "gthread", "--threads", "8", "--keep-alive", "75"),
            *("--bind", "127.0.0.1:{port}", "--no-control-socket", "--chdir", "{apps}", "{module}:app"),
        ),
    ),
    Server(
        "waitress",
        "waitress",
        Home.PEERS,
        (
            *("{python}", "-c", WAITRESS_WITHOUT_QUEUE_LOG),
            *("--listen=127.0.0.1:{port}", "--threads=8", "{module}:app"),
        ),
    ),
    Server(
        "granian",
        "granian",
        Home.PEERS,
        (
            *("{bin}/granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "8"),
            *("--host", "127.0.0.1", "--port", "{port}", "--no-access-log"),
            *("--working-dir", "{apps}", "{module}:app"),
        ),
    ),
    Server(
        "uwsgi",
        "uWSGI",
        Home.PEERS,
        (
            *("{bin}/uwsgi", "--master", "--processes", "1", "--threads", "8", "--disable-logging"),
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
        (
            *("{bin}/twist", "--log-level=warn", "web", "--listen", "tcp:{port}:interface=127.0.0.1"),
            *("--wsgi", "{module}.app"),
        ),
    ),
)
