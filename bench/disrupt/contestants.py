"""The servers: how each is started with four workers, and how it is told to reload, as its own documentation advises.

Law: a table and the filling of its blanks; starts nothing. ``docs/disruption.md`` repeats each command line, and a
test compares the two.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.servers import Home, Place

MODULE = "disrupted"


class Feature(enum.Enum):
    """What a scenario asks of a server beyond serving; each has its own options for it, or lacks it."""

    REQUEST_TIMEOUT = "request timeout"
    RECYCLING = "recycling"
    QUEUE = "bounded queue"


class Reload(enum.Enum):
    """How a server is told to load the code on disk."""

    HUP = "HUP to the master"
    TOUCH = "touch of the file `chain`"


@dataclass(frozen=True)
class Contestant:
    """One server of this benchmark.

    :ivar options: what is added to its command line where a scenario asks for the feature.
    :ivar lacks: why there is nothing to add.
    """

    name: str
    distribution: str
    home: Home
    command: tuple[str, ...]
    reload: Reload = Reload.HUP
    options: Mapping[Feature, tuple[str, ...]] = field(default_factory=dict)
    lacks: Mapping[Feature, str] = field(default_factory=dict)

    def template(self, feature: Feature | None = None) -> tuple[str, ...]:
        """The command line with its blanks still open."""
        return self.command + (self.options.get(feature, ()) if feature else ())


TWISTCORN = "twistcorn"

CONTESTANTS = (
    Contestant(
        TWISTCORN,
        "twistcorn",
        Home.OWN,
        (
            *("{python}", "-m", "twistcorn.cli", "run", "disrupted:app", "--workers", "4", "--threads", "8"),
            *("--listen", "127.0.0.1:{port}", "--chdir", "{apps}"),
        ),
        options={
            Feature.REQUEST_TIMEOUT: ("--request-timeout", "3s"),
            Feature.RECYCLING: ("--max-requests", "1000", "--max-requests-jitter", "200"),
            Feature.QUEUE: ("--queue-size", "64", "--queue-timeout", "1s"),
        },
    ),
    Contestant(
        "gunicorn-gthread",
        "gunicorn",
        Home.PEERS,
        (
            *("{bin}/gunicorn", "-w", "4", "-k", "gthread", "--threads", "8", "--keep-alive", "75"),
            *("--bind", "127.0.0.1:{port}", "--no-control-socket", "--chdir", "{apps}", "disrupted:app"),
        ),
        options={
            Feature.REQUEST_TIMEOUT: ("--timeout", "3"),
            Feature.RECYCLING: ("--max-requests", "1000", "--max-requests-jitter", "200"),
        },
        lacks={Feature.QUEUE: "it sheds nothing"},
    ),
    Contestant(
        "uwsgi",
        "uWSGI",
        Home.PEERS,
        (
            # The router in front keeps the clients' connections and copies every byte; without it each kept-alive
            # connection would hold one of the threads, and half of the clients would never be served.
            *("{bin}/uwsgi", "--http", "127.0.0.1:{port}", "--http-keepalive=75", "--master"),
            *("--processes", "4", "--threads", "8", "--lazy-apps", "--touch-chain-reload", "{apps}/chain"),
            *("--need-app", "--hook-master-start", "unix_signal:15 gracefully_kill_them_all"),
            *("--disable-logging", "--virtualenv", "{venv}"),
            *("--chdir", "{apps}", "--module", "disrupted:app"),
        ),
        reload=Reload.TOUCH,
        options={
            Feature.REQUEST_TIMEOUT: ("--harakiri", "3"),
            # By default no worker younger than a minute is recycled.
            Feature.RECYCLING: (
                *("--max-requests", "1000", "--max-requests-delta", "50"),
                *("--min-worker-lifetime", "1"),
            ),
        },
        lacks={Feature.QUEUE: "it sheds nothing"},
    ),
    Contestant(
        "granian",
        "granian",
        Home.PEERS,
        (
            *("{bin}/granian", "--interface", "wsgi", "--workers", "4", "--blocking-threads", "8"),
            *("--respawn-failed-workers", "--host", "127.0.0.1", "--port", "{port}"),
            *("--working-dir", "{apps}", "disrupted:app"),
        ),
        lacks={
            Feature.REQUEST_TIMEOUT: "it has no limit for a request's time",
            Feature.RECYCLING: "it recycles by age, of a minute at least, and by memory, not by requests",
            Feature.QUEUE: "it sheds nothing: beyond --backpressure it stops accepting",
        },
    ),
)


def without(template: Sequence[str], options: Sequence[str]) -> list[str]:
    """The command line without some options and their values, for a version that does not know them yet."""
    kept: list[str] = []
    dropping = False
    for word in template:
        dropping = word in options or (dropping and not word.startswith("-"))
        if not dropping:
            kept.append(word)
    return kept


def command_line(
    contestant: Contestant, feature: Feature | None, place: Place, left_out: Sequence[str] = ()
) -> list[str]:
    """The command line for a scenario at one place."""
    blanks = {
        "python": str(place.python),
        "bin": str(place.python.parent),
        "venv": str(place.python.parent.parent),
        "apps": str(place.apps),
        "port": str(place.port),
    }
    template = contestant.template(feature)
    if contestant.home is Home.OWN:
        template = tuple(without(template, left_out))
    return [word.format_map(blanks) for word in template]
