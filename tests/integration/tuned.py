"""The real program with a door for tests: `set` and `get` on a socket of its own, as lines of JSON.

Law: the program is `twistcorn run` with all that belongs to it; here is the door only.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

#: Behind the name of the test's gate, in the abstract namespace of UNIX sockets.
DOOR = "-tune"


def ask(gate: str, verb: str, *arguments: str) -> Any:
    """Ask the program; the answer is the verb's result, or `{"refused": why}`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(20)
        sock.connect(f"\0{gate}{DOOR}")
        sock.sendall(json.dumps([verb, *arguments]).encode() + b"\r\n")
        return json.loads(sock.makefile("r").readline())


def main() -> int:
    """Run the program."""
    from twisted.internet.protocol import Factory
    from twisted.protocols.basic import LineReceiver

    from twistcorn import cli, standalone
    from twistcorn.errors import TwistcornError

    class Door(LineReceiver):
        """One question, one answer."""

        def lineReceived(self, line: bytes) -> None:
            verb, *arguments = json.loads(line)
            try:
                answer = getattr(self.factory.operations(), verb)(*arguments)
            except TwistcornError as error:
                answer = {"refused": str(error)}
            self.sendLine(json.dumps(answer).encode())

    class Tuned(standalone.StandaloneService):
        """The service, which opens the door when it starts."""

        def startService(self) -> None:
            super().startService()
            factory: Any = Factory.forProtocol(Door)
            factory.noisy = False
            factory.operations = lambda: self._assembled and self._assembled.operations
            self._reactor.listenUNIX(f"\0{os.environ['GATE']}{DOOR}", factory)

    standalone.StandaloneService = Tuned  # type: ignore[misc]
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
