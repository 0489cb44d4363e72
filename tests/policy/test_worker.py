"""The claims of twistcorn.policy.worker: the life of a worker as one table, and what holds along every path of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistcorn.policy.worker import TIMERS, TRANSITIONS, Effect, Event, Worker, WorkerState, step

#: The whole machine. A cell is the next state, and after each + an effect; a dot is the same state, or no effect.
LIFE = """
             starting      ready                 draining             finishing     stopping    waiting           gone
booted       ready+ADMIT   .                     .                    .             .           .                 .
boot failed  .             .                     .                    .             .           .                 .
retire       stopping+KILL draining+DRAIN        .+DRAIN              .             .           gone+FORGET       .
leaving      .             draining+FORGET+SPAWN .                    .             .           .                 .
stop         stopping+KILL finishing+STOP        finishing+STOP+AGAIN .             .           gone+FORGET       .
quit         stopping+KILL stopping+QUIT         stopping+QUIT        stopping+QUIT .+KILL      gone+FORGET       .
kill         stopping+KILL stopping+KILL         stopping+KILL        stopping+KILL .+KILL      gone+FORGET       .
timeout      .+KILL        .                     stopping+KILL        stopping+KILL .+KILL      gone+FORGET+SPAWN .
exited       waiting       gone+FORGET+SPAWN     gone+FORGET          gone+FORGET   gone+FORGET .                 .
"""

EFFECTS = {
    "ADMIT": Effect.ADMIT,
    "AGAIN": Effect.READMIT,
    "DRAIN": Effect.ORDER_DRAIN,
    "STOP": Effect.ORDER_STOP,
    "QUIT": Effect.ORDER_QUIT,
    "KILL": Effect.KILL,
    "FORGET": Effect.FORGET,
    "SPAWN": Effect.RESPAWN,
}

ALIVE = [WorkerState.STARTING, WorkerState.READY, WorkerState.DRAINING, WorkerState.FINISHING, WorkerState.STOPPING]


def read(table: str) -> dict[tuple[WorkerState, Event], tuple[WorkerState, tuple[Effect, ...]]]:
    """The machine that a text like LIFE describes."""
    heading, *lines = table.strip("\n").splitlines()
    machine = {}
    for line in lines:
        event = next(event for event in Event if line.startswith(event.value + "  "))
        cells = line[len(event.value) :].split()
        for name, cell in zip(heading.split(), cells, strict=True):
            state = WorkerState(name)
            target, *effects = cell.split("+")
            target_state = state if target == "." else WorkerState(target)
            machine[state, event] = (target_state, tuple(EFFECTS[effect] for effect in effects))
    return machine


def after(*events: Event) -> tuple[WorkerState, list[Effect]]:
    """Where a new worker is after some events, and all that was done on the way."""
    state = WorkerState.STARTING
    done: list[Effect] = []
    for event in events:
        state, effects = step(state, event)
        done += effects
    return state, done


class TestTable:
    def test_every_state_answers_every_event(self) -> None:
        """There is no "what if this comes now" without an answer."""
        assert set(TRANSITIONS) == {(state, event) for state in WorkerState for event in Event}

    @pytest.mark.parametrize(("state", "event"), TRANSITIONS, ids=lambda part: part.value)
    def test_transition(self, state: WorkerState, event: Event) -> None:
        """The machine is the table above, cell by cell."""
        assert step(state, event) == read(LIFE)[state, event]

    @pytest.mark.parametrize("event", Event)
    def test_anything_happens_after_the_end(self, event: Event) -> None:
        """A worker that is gone stays gone, and nothing is done for it."""
        assert step(WorkerState.GONE, event) == (WorkerState.GONE, ())

    def test_timers(self) -> None:
        """Each state that waits for something has a timer; serving, and being gone, may last."""
        assert set(TIMERS) == set(WorkerState) - {WorkerState.READY, WorkerState.GONE}

    def test_new_worker(self) -> None:
        """A worker begins as starting, with nothing in it."""
        worker = Worker(1, 0, 1, process=None)

        assert worker.state is WorkerState.STARTING
        assert (worker.busy, worker.connections, worker.unacknowledged, worker.was_ready) == (0, 0, 0, False)


class TestLives:
    def test_serving_worker_dies(self) -> None:
        """It is forgotten and replaced in the same moment."""
        assert after(Event.BOOTED, Event.EXITED) == (WorkerState.GONE, [Effect.ADMIT, Effect.FORGET, Effect.RESPAWN])

    def test_worker_dies_before_it_is_ready(self) -> None:
        """Its replacement comes after the back-off, not before."""
        assert after(Event.EXITED) == (WorkerState.WAITING, [])
        assert after(Event.EXITED, Event.TIMEOUT) == (WorkerState.GONE, [Effect.FORGET, Effect.RESPAWN])

    def test_worker_says_that_it_cannot_boot(self) -> None:
        """It leaves by itself, and then counts as one that died before it was ready."""
        assert after(Event.BOOT_FAILED, Event.EXITED) == after(Event.EXITED)

    def test_worker_does_not_get_ready_in_time(self) -> None:
        """It is killed, and its exit is what follows."""
        assert after(Event.TIMEOUT) == (WorkerState.STARTING, [Effect.KILL])

    def test_worker_is_retired(self) -> None:
        """It drains and is not replaced: whoever retired it has its replacement already."""
        assert after(Event.BOOTED, Event.RETIRE, Event.EXITED) == (
            WorkerState.GONE,
            [Effect.ADMIT, Effect.ORDER_DRAIN, Effect.FORGET],
        )

    def test_worker_leaves_by_a_signal_from_outside(self) -> None:
        """It is replaced at once, drains without an order, and its exit changes nothing more."""
        assert after(Event.BOOTED, Event.LEAVING, Event.EXITED) == (
            WorkerState.GONE,
            [Effect.ADMIT, Effect.FORGET, Effect.RESPAWN, Effect.FORGET],
        )

    def test_worker_drains_for_too_long(self) -> None:
        """It is killed, again and again until it is dead."""
        state, done = after(Event.BOOTED, Event.RETIRE, Event.TIMEOUT, Event.TIMEOUT)

        assert (state, done[-2:]) == (WorkerState.STOPPING, [Effect.KILL, Effect.KILL])

    def test_server_stops_while_a_worker_drains(self) -> None:
        """It is told so, and takes connections again: those that it hands back have nowhere else to go."""
        state, done = after(Event.BOOTED, Event.RETIRE, Event.STOP)

        assert (state, done[-2:]) == (WorkerState.FINISHING, [Effect.ORDER_STOP, Effect.READMIT])

    def test_server_is_told_to_stop_at_once_twice(self) -> None:
        """The first order asks the worker to leave now, the second kills it."""
        assert after(Event.BOOTED, Event.QUIT, Event.QUIT)[1][1:] == [Effect.ORDER_QUIT, Effect.KILL]

    def test_worker_gets_ready_after_its_boot_was_timed_out(self) -> None:
        """Ready may be on its way when the kill is sent: it is taken at its word until its exit comes."""
        assert after(Event.TIMEOUT, Event.BOOTED, Event.EXITED)[1][1:] == [
            Effect.ADMIT,
            Effect.FORGET,
            Effect.RESPAWN,
        ]


class TestEveryPath:
    @given(st.lists(st.sampled_from(Event)))
    def test_worker_is_admitted_once(self, events: list[Event]) -> None:
        """However reports and orders cross, a worker is let into the pool at most once."""
        assert after(*events)[1].count(Effect.ADMIT) <= 1

    @given(st.lists(st.sampled_from(Event)))
    def test_worker_is_replaced_once(self, events: list[Event]) -> None:
        """However reports and orders cross, one worker asks for one replacement at most."""
        assert after(*events)[1].count(Effect.RESPAWN) <= 1

    @given(st.lists(st.sampled_from(Event)))
    def test_worker_leaves_the_pool_before_it_is_gone(self, events: list[Event]) -> None:
        """Who is gone was taken out of the pool."""
        state, done = after(*events)

        assert (state is WorkerState.GONE) <= (Effect.FORGET in done)

    @given(st.lists(st.sampled_from(Event)))
    def test_server_stops(self, events: list[Event]) -> None:
        """From everywhere, an order to stop and the worker's exit lead to the end, with no replacement for it."""
        before, _ = after(*events)
        stopped, effects = step(before, Event.STOP)
        state, more = step(stopped, Event.EXITED)

        assert state is WorkerState.GONE
        assert Effect.RESPAWN not in (*effects, *more)

    @pytest.mark.parametrize("state", ALIVE)
    def test_server_stops_at_once(self, state: WorkerState) -> None:
        """From every state in which a process lives, something is sent to the process."""
        assert step(state, Event.QUIT)[1] in [(Effect.ORDER_QUIT,), (Effect.KILL,)]
