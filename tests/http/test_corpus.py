"""Each case of the corpus has the outcome that its RFC section asks for, however its bytes are cut."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator

import pytest

from twistcorn.wire.scoreboard import Scoreboard

from .cases import NEXT, Case, Outcome, Seen
from .corpus import CASES
from .driver import KINDS, Feed, bytewise, feed, linewise, whole

Cut = Callable[[bytes], list[bytes]]
#: How a case is cut, and on which sockets it is fed. Not byte by byte on TCP, but for one case: the kernel delays the
#: acknowledgement of what is not read, and a sender of single bytes waits 40 ms at every twentieth.
WAYS: dict[str, tuple[Cut, tuple[str, ...]]] = {
    "whole": (whole, KINDS),
    "bytewise": (bytewise, ("unix",)),
    "linewise": (linewise, KINDS),
}
NEXT_SEEN = Seen(path=b"/next", fields=((b"host", b"next"),))


@pytest.fixture(scope="module")
def board() -> Iterator[Scoreboard]:
    """One scoreboard with one slot, cleared for each connection."""
    made = Scoreboard.create(1, 1)
    yield made
    made.close()


def check(fed: Feed, outcome: Outcome, *more: Seen) -> None:
    """The requests that came are the ones that were wanted, and so is the end."""
    wanted = [*outcome.requests, *more]
    assert [got.like(want) for got, want in zip(fed.seen, wanted, strict=False)] == wanted[: len(fed.seen)]
    assert len(fed.seen) == len(wanted)
    if outcome.refused:
        assert fed.refused in outcome.refused
    else:
        assert not fed.refused
        assert fed.ended == outcome.waits


#: Each case, fed each way.
FED = [
    pytest.param(case, way, id=f"{way}: {case.name}")
    for case in CASES
    for way in WAYS
]
#: Each case that can have something behind it.
FOLLOWED = [
    pytest.param(case, id=case.name) for case in CASES if not case.outcome.waits
]


class TestCorpus:
    @pytest.mark.parametrize(("case", "way"), FED)
    def test_bytes_come_in_pieces(self, board: Scoreboard, case: Case, way: str) -> None:
        """The outcome is the same whole, byte by byte and line by line, on both kinds of socket."""
        cut, kinds = WAYS[way]
        for kind in kinds:
            check(feed(board, kind, cut(case.data), case.settings, end=case.outcome.waits), case.outcome)

    def test_bytes_come_one_by_one_over_tcp(self, board: Scoreboard) -> None:
        """Heads and bodies of all kinds come whole of single segments."""
        case = next(case for case in CASES if case.name == "requests with all kinds of bodies")

        check(feed(board, "tcp", bytewise(case.data), case.settings), case.outcome)

    @pytest.mark.parametrize("case", FOLLOWED)
    def test_request_follows(self, board: Scoreboard, case: Case) -> None:
        """A request behind it is answered where the connection goes on, and else never looked at."""
        more = [NEXT_SEEN] if case.outcome.open else []
        for pieces in ([case.data + NEXT], [case.data, NEXT]):
            check(feed(board, "unix", pieces, case.settings), case.outcome, *more)


class TestTable:
    def test_names(self) -> None:
        """A name stands for one case."""
        names = collections.Counter(case.name for case in CASES)

        assert [name for name, count in names.items() if count > 1] == []
