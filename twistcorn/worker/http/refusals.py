"""Refused requests: counts them all, logs a limited number.

Law: logs the client, the status and the reason; never what the client sent, which could be anything.
"""

from __future__ import annotations

from twisted.logger import Logger

from ...errors import HTTPError
from ...wire.scoreboard import W_ERRORS, Scoreboard

#: Lines per second: enough to see who and why, too few for a flood of bad requests to fill a disk.
LINES_PER_SECOND = 10


class Refusals:
    """The log and the counter of one worker.

    :param region: the first word of this worker on the scoreboard.
    """

    log = Logger()

    def __init__(self, board: Scoreboard, region: int) -> None:
        self._board = board
        self._region = region
        self._second = 0
        self._lines = 0
        self._unsaid = 0

    def log_refusal(self, peer: str, error: HTTPError, now: float) -> None:
        """Count and log a refused request.

        :param peer: the client's address, empty on a UNIX socket.
        :param now: monotonic seconds.
        """
        self._board.words[self._region + W_ERRORS] += 1
        if int(now) != self._second:
            self._second, self._lines = int(now), 0
            if self._unsaid:
                self.log.info("refused {count} more requests", count=self._unsaid)
                self._unsaid = 0
        if self._lines >= LINES_PER_SECOND:
            self._unsaid += 1
            return
        self._lines += 1
        self.log.info(
            "refused request from {peer}: {status} {reason}",
            peer=peer or "a UNIX socket client", status=error.status, reason=error.reason,
        )  # fmt: skip
