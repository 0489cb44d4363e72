"""What each command asks the server, and what it prints.

Law: asks, prints, and says by its exit code how it went: 0 done, 1 refused or failed, 69 nothing listens there.
Problems go to standard error in one line; a reader of standard output that goes away is no problem.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable

from ..client import Client, connect, result
from ..errors import TwistcornError
from . import tables
from .units import lines_of, printable

#: What a shell says of a program that was interrupted.
EXIT_INTERRUPTED = 130


def run(arguments: argparse.Namespace) -> int:
    """Do a command.

    :return: the exit code.
    """
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read has seen enough (`| head`); the interpreter would complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run(arguments: argparse.Namespace) -> int:
    control = getattr(arguments, "control", "") or os.environ.get("TWISTCORN_CONTROL", "")
    try:
        client = connect(control, os.environ, os.geteuid())
        try:
            return _COMMANDS[arguments.command](client, arguments)
        finally:
            client.close()
    except TwistcornError as error:
        sys.stdout.flush()
        more = lines_of(getattr(error, "detail", ""))
        print(f"twistcorn: {printable(str(error))}", *more, sep="\n", file=sys.stderr)
        return error.exit_code


def _print(lines: Iterable[str]) -> int:
    for line in lines:
        print(line)
    return 0


def _shows(command: str, table: Callable[..., Iterable[str]]) -> Callable[[Client, argparse.Namespace], int]:
    """A command that shows what the server answers, for people or as JSON."""

    def show(client: Client, arguments: argparse.Namespace) -> int:
        answer = client.ask(command)
        return _print([json.dumps(answer)] if arguments.json else table(answer))

    return show


def _reload(client: Client, arguments: argparse.Namespace) -> int:
    done = client.ask("reload", time=None)
    return _print([f"generation {done['generation']} serves, after {done['took']:.1f} s"])


def _scale(client: Client, arguments: argparse.Namespace) -> int:
    done = client.ask("scale", workers=arguments.workers)
    return _print([f"{done['workers']} worker{'s' * (done['workers'] != 1)} wanted"])


def _drain(client: Client, arguments: argparse.Namespace) -> int:
    client.ask("drain", worker=arguments.worker)
    return _print([f"worker {arguments.worker} drains"])


def _recycle(client: Client, arguments: argparse.Namespace) -> int:
    client.ask("recycle", worker=arguments.worker)
    return _print([f"worker {arguments.worker} is being replaced"])


def _stack(client: Client, arguments: argparse.Namespace) -> int:
    seen = client.ask("stack", worker=arguments.worker)
    _print(tables.stack(seen))
    if seen["stack"] is not None:
        return 0
    sys.stdout.flush()
    print(
        f"twistcorn: worker {arguments.worker} does not answer: it boots, is stopped, or something holds its"
        " interpreter lock",
        file=sys.stderr,
    )
    return 1


def _set(client: Client, arguments: argparse.Namespace) -> int:
    done = client.ask("set", name=arguments.name, value=arguments.value)
    return _print(tables.settings([done])[1:])


def _get(client: Client, arguments: argparse.Namespace) -> int:
    answer = client.ask("get", name=arguments.name)
    return _print([json.dumps(answer)] if arguments.json else tables.settings(answer))


def _logs(client: Client, arguments: argparse.Namespace) -> int:
    client.send("logs", count=arguments.count, follow=arguments.follow)
    shown: Callable[[list[tables.JSON]], Iterable[str]] = tables.log
    if arguments.json:
        shown = lambda entries: map(json.dumps, entries)  # noqa: E731
    _print(shown(result(client.receive())))
    while arguments.follow:
        sys.stdout.flush()
        answer = client.receive()
        if answer.get("dropped"):
            print(f"twistcorn: {answer['dropped']} events were left out: this reader is slow", file=sys.stderr)
        _print(shown(result(answer)))
    return 0


def _stop(client: Client, arguments: argparse.Namespace) -> int:
    client.stop(arguments.quick)
    return _print([f"the server{f' (pid {client.pid})' if client.pid else ''} is gone"])


def _top(client: Client, arguments: argparse.Namespace) -> int:
    from .top import run_top

    return run_top(client)


_COMMANDS: dict[str, Callable[[Client, argparse.Namespace], int]] = {
    "status": _shows("status", tables.status),
    "top": _top,
    "workers": _shows("workers", tables.workers),
    "connections": _shows("connections", tables.connections),
    "reload": _reload,
    "scale": _scale,
    "drain": _drain,
    "recycle": _recycle,
    "stack": _stack,
    "set": _set,
    "get": _get,
    "logs": _logs,
    "stop": _stop,
}
