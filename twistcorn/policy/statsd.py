"""StatsD metrics, by gunicorn's names.

Law: pure; two sets of counts go in, lines of StatsD's protocol come out, in datagrams.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .histogram import BOUNDS, subtract

#: Bytes of a datagram: what an Ethernet frame carries, less the headers of IPv6 and UDP, and some for tunnels.
DATAGRAM_BYTES = 1400


def requests(
    earlier: Mapping[str, int], later: Mapping[str, int], took: tuple[Sequence[int], Sequence[int]]
) -> list[str]:
    """What came in between: requests, their statuses, and how long they took.

    :param earlier: requests by status (`200`, or `5xx` for a rare one); `later` likewise.
    :param took: their times as histograms, earlier and later. Each bucket is sent as its middle, in milliseconds, with
        the sample rate by which the server restores the count.
    """
    statuses = {status: count - earlier.get(status, 0) for status, count in later.items()}
    lines = [f"gunicorn.requests:{sum(statuses.values())}|c"]
    lines += [f"gunicorn.request.status.{status}:{count}|c" for status, count in statuses.items() if count]
    lines += [
        f"gunicorn.request.duration:{middle(number) * 1000:.3f}|ms" + (f"|@{1 / count:.9g}" if count > 1 else "")
        for number, count in enumerate(subtract(took[1], took[0]))
        if count > 0
    ]
    return lines


def middle(bucket: int) -> float:
    """The middle of a bucket in seconds; for the last one, which has no upper bound, its lower bound."""
    low = BOUNDS[bucket - 1] if bucket else 0.0
    high = BOUNDS[bucket] if bucket < len(BOUNDS) else low
    return (low + high) / 2


def gauges(workers: int, backlog: int) -> list[str]:
    """The present values.

    :param workers: that serve.
    :param backlog: connections and requests that no worker has.
    """
    return [f"gunicorn.workers:{workers}|g", f"gunicorn.backlog:{backlog}|g"]


def datagrams(lines: Iterable[str]) -> list[bytes]:
    """The lines in datagrams, as many in each as fit."""
    packed: list[bytes] = []
    for line in lines:
        data = line.encode()
        if packed and len(packed[-1]) + 1 + len(data) <= DATAGRAM_BYTES:
            packed[-1] += b"\n" + data
        else:
            packed.append(data)
    return packed
