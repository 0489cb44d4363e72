"""How connections are spread over workers again, after new ones have come. Pure.

Law: connections stay where they are while the workers stay. A new worker gets only what others give back, and what is
new; without this the last one of a reload would have almost no work for as long as clients keep connections.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Seconds after a worker got ready in which connections are spread: a few rounds, because some are busy at first.
SETTLING_SECONDS = 5.0
#: Of each worker's share, this part more or less is as good: not worth moving thousands of idle connections.
TOLERANCE_DIVISOR = 20
#: Given back by a worker at once: some milliseconds of work for the master.
MAX_GIVEN_BACK = 256


def surplus(connections: Sequence[int]) -> list[int]:
    """How many connections each worker should give back now.

    :param connections: how many each of the workers has that take connections.
    """
    if not connections:
        return []
    share, rest = divmod(sum(connections), len(connections))
    order = sorted(range(len(connections)), key=lambda index: -connections[index])
    given = [0] * len(connections)
    for place, index in enumerate(order):
        fair = share + (place < rest)
        over = connections[index] - fair
        if over > share // TOLERANCE_DIVISOR:
            given[index] = min(over, MAX_GIVEN_BACK)
    return given
