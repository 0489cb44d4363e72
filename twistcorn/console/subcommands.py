"""What each command asks the server, and what it prints.

Law: asks, prints, and exits with 0: done, 1: refused or failed, 69: no server at the control socket. Problems go to
standard error in one line; a reader that closes standard output early is no problem.
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

#: The exit code of an interrupted program, as shells report it.
EXIT_INTERRUPTED = 130


def run(arguments: argparse.Namespace) -> int:
    """Run a command.

    :return: the exit code.
    """
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader has seen enough (`| head`); without this the interpreter complains when it exits.
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
    """A command that prints the answer of the server, for people or as JSON."""

    def show(client: Client, arguments: argparse.Namespace) -> int:
        answer = client.ask(command)
        return _print([json.dumps(answer)] if arguments.json else table(answer))

    return show


def _reload(client: Client, arguments: argparse.Namespace) -> int:
    done = client.ask("reload", time=None)
    first = f"reloaded in {done['took']:.1f} s: generation {done['generation']} is serving"
    return _print([first, *tables.left_out(done)])


def _scale(client: Client, arguments: argparse.Namespace) -> int:
    done = client.ask("scale", workers=arguments.workers)
    target = done["workers"]
    if target == arguments.workers:
        return _print([f"worker target set to {target}"])
    bounds = client.ask("get", name="workers")[0]["value"]
    return _print([f"worker target set to {target}: {arguments.workers} is outside --workers {bounds}"])


def _drain(client: Client, arguments: argparse.Namespace) -> int:
    client.ask("drain", worker=arguments.worker)
    return _print([f"draining worker {arguments.worker}"])


def _recycle(client: Client, arguments: argparse.Namespace) -> int:
    client.ask("recycle", worker=arguments.worker)
    return _print([f"replacing worker {arguments.worker}"])


def _stack(client: Client, arguments: argparse.Namespace) -> int:
    seen = client.ask("stack", worker=arguments.worker)
    _print(tables.stack(seen))
    if seen["stack"] is not None:
        return 0
    sys.stdout.flush()
    print(
        f"twistcorn: worker {arguments.worker} does not answer: it is booting, or stopped, or something holds its"
        " interpreter lock",
        file=sys.stderr,
    )
    return 1


def _set(client: Client, arguments: argparse.Namespace) -> int:
    done = client.ask("set", name=arguments.name, value=arguments.value)
    return _print([f"{done['name']} set to {tables.shown(done)}"])


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
            print(f"twistcorn: {answer['dropped']} log events dropped: this reader is too slow", file=sys.stderr)
        _print(shown(result(answer)))
    return 0


def _stop(client: Client, arguments: argparse.Namespace) -> int:
    client.stop(arguments.quick)
    return _print([f"server stopped{f' (pid {client.pid})' if client.pid else ''}"])


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
