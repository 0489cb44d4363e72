"""The front door: ``python -m bench COMMAND``.

Law: picks the command and turns its end into an exit status; measures nothing.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from bench import disruption, fuzz, latency, memory, soak, startup, throughput
from bench.command import EXIT_INTERRUPTED, EXIT_UNUSABLE, BenchError

COMMANDS = (
    throughput.COMMAND,
    latency.COMMAND,
    memory.COMMAND,
    startup.COMMAND,
    disruption.COMMAND,
    soak.COMMAND,
    fuzz.COMMAND,
)


def build_parser() -> argparse.ArgumentParser:
    """One subparser for each command."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure twistcorn and its peers.")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.summary, description=command.summary)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and answer its exit status."""
    options = build_parser().parse_args(arguments)
    # TERM and HUP must unwind like Ctrl-C, or the server under test would outlive us.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        return int(options.run(options))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
