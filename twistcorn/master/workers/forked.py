"""How the process of a worker comes to be: by fork(2), wherever the master is and whatever it has open.

Law: knows Twisted's processes, and nothing of workers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.process import Process

from ...settings import SECRETS

#: Variables that the master reads and an application must not see: tokens of the admin page.
SECRET_VARIABLES = frozenset(
    os.fsencode(name) for field in SECRETS for name in (f"TWISTCORN_{field.name.upper()}", *field.metadata["env"])
)


class Forked(Process):
    """A process that is forked, whatever else Twisted would do.

    Asked for no other directory Twisted uses posix_spawn(3), and asks the kernel about each open descriptor first: with
    ten thousand of them that blocks the master for 15 ms, a fork for 1.5 ms whatever is open (medians). Asked for a
    directory it looks where it is itself, which fails where the directory of the start is gone.

    :param argv: the program and its arguments.
    :param descriptors: those of the child, as for `IReactorProcess.spawnProcess`.
    """

    def __init__(
        self, reactor: Any, argv: Sequence[str], protocol: Any, descriptors: Mapping[int, Any]
    ) -> None:
        words = [os.fsencode(word) for word in argv]
        environment = {name: value for name, value in os.environb.items() if name not in SECRET_VARIABLES}
        super().__init__(reactor, words[0], words, environment, None, protocol, childFDs=descriptors)

    def _trySpawnInsteadOfFork(self, *arguments: object) -> bool:
        return False
