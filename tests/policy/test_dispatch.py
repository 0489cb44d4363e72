"""The claims of twistcorn.policy.dispatch: who gets the next connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.policy.dispatch import MAX_UNACKNOWLEDGED, choose
from twistcorn.policy.worker import TAKING, Worker, WorkerState


def worker(
    ident: int, busy: int = 0, connections: int = 0, unacknowledged: int = 0, state: WorkerState = WorkerState.READY
) -> Worker:
    """A record as the dispatcher sees it."""
    return Worker(
        ident, ident, 1, None, state=state, busy=busy, connections=connections, unacknowledged=unacknowledged
    )


def chosen(*workers: Worker, turn: int = 0) -> int | None:
    """The number of the worker that is chosen."""
    best = choose(workers, turn)
    return None if best is None else best.ident


FULL = MAX_UNACKNOWLEDGED


class TestChoose:
    def test_one_has_fewer_requests(self) -> None:
        """The least busy one is chosen, even if it has more connections: idle ones cost nothing."""
        assert chosen(worker(1, busy=2, connections=2), worker(2, busy=1, connections=90)) == 2

    def test_equally_busy_with_fewer_connections(self) -> None:
        """Among equally busy ones, the one with the fewest connections is chosen."""
        assert chosen(worker(1, busy=1, connections=3), worker(2, busy=1, connections=2)) == 2

    def test_lend_is_on_its_way(self) -> None:
        """A lend on the way counts as a request: it will bring one before the scoreboard says so."""
        assert chosen(worker(1, busy=0, unacknowledged=2), worker(2, busy=1)) == 2

    def test_all_are_alike(self) -> None:
        """Ties go round, so that light traffic does not all land on the first worker."""
        workers = [worker(1), worker(2), worker(3)]

        assert [chosen(*workers, turn=turn) for turn in range(7)] == [1, 2, 3, 1, 2, 3, 1]

    @pytest.mark.parametrize("state", [state for state in WorkerState if state not in TAKING])
    def test_worker_is_not_ready(self, state: WorkerState) -> None:
        """Only a ready worker gets a connection, however idle the others are."""
        assert chosen(worker(1, state=state), worker(2, busy=50)) == 2
        assert chosen(worker(1, state=state)) is None

    def test_server_stops(self) -> None:
        """Its workers are as good as ready ones: what another one cannot end is theirs."""
        assert chosen(worker(1, state=WorkerState.FINISHING)) == 1

    def test_worker_does_not_answer(self) -> None:
        """One that has the bound of unacknowledged lends gets no more, so that a frozen worker holds up little."""
        assert chosen(worker(1, unacknowledged=FULL), worker(2, busy=50)) == 2

    def test_last_lend_below_the_bound(self) -> None:
        """The bound itself can be reached."""
        assert chosen(worker(1, unacknowledged=FULL - 1)) == 1

    def test_nobody_can_take_it(self) -> None:
        """That no worker can take a connection is an answer, not an error."""
        assert chosen() is None
        assert chosen(worker(1, unacknowledged=FULL), worker(2, state=WorkerState.DRAINING)) is None

    @given(
        st.lists(
            st.builds(
                worker,
                ident=st.integers(1, 99),
                busy=st.integers(0, 3),
                connections=st.integers(0, 3),
                unacknowledged=st.integers(0, FULL),
                state=st.sampled_from([WorkerState.READY, WorkerState.READY, WorkerState.DRAINING]),
            )
        ),
        st.integers(0, 1000),
    )
    def test_any_pool(self, workers: list[Worker], turn: int) -> None:
        """Nobody who may take it is better than the chosen one, whosever turn it is; and nothing is changed."""
        before = [vars(w).copy() for w in workers]
        able = [w for w in workers if w.state is WorkerState.READY and w.unacknowledged < FULL]

        best = choose(workers, turn)

        assert (best is None) == (not able)
        if best is not None:
            assert best in able
            assert load(best) == min(map(load, able))
        assert [vars(w) for w in workers] == before


def load(worker: Worker) -> tuple[int, int]:
    """Requests, also those on their way, then connections."""
    return worker.busy + worker.unacknowledged, worker.connections
