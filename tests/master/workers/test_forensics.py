"""The claims of twistcorn.master.workers.forensics: what is found out about a dead worker, from what it has left."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.master.stage import process
from twistcorn.master.workers.death_report import Death
from twistcorn.master.workers.forensics import Forensics
from twistcorn.master.workers.process import ExitStatus
from twistcorn.policy.blame import Blame, Cause
from twistcorn.policy.freeze import Freeze
from twistcorn.policy.worker import Worker, WorkerState
from twistcorn.wire.scoreboard import SlotState

if TYPE_CHECKING:
    from tests.master.stage import Desk

NOW = 100_000_000_000
CRASHED = ExitStatus(None, signal.SIGSEGV)
KILLED = ExitStatus(None, signal.SIGKILL)
IN_APP, RESPONDING, READING = SlotState.IN_APP, SlotState.RESPONDING, SlotState.READING


class Scene:
    """One worker with requests, and who examines it.

    :ivar kills: what the kernel counts; None: it does not.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.kills: int | None = 0
        self.worker = desk.worker()
        self.forensics = Forensics(desk.clock, desk.table, desk.board, lambda: NOW, lambda: self.kills)

    def runs(self, name: str, thread: int, state: SlotState = IN_APP, age: float = 1.0) -> int:
        """A request runs in the application; returns its slot."""
        (connection,) = self.desk.arrive(1)
        since = NOW - int(age * 1e9)
        self.desk.writes(connection, state, head=name.encode(), thread=thread, since=since)
        self.desk.spawner.takes(self.worker)
        return connection.slot

    def dies(self, status: ExitStatus = CRASHED, words: str = "") -> Death:
        """It dies, and is examined."""
        process(self.worker).words = words
        return self.forensics.examine(self.worker, status)

    def names(self, death: Death) -> list[str]:
        return [str(each) for each in death.running]

    def condemns(self, after: int = 0, **how: Any) -> dict[str, int]:
        """It dies with what runs in it, and somebody is told of."""
        return self.forensics.attribute_death(self.dies(**how), after)


@pytest.fixture
def scene(desk: Desk) -> Scene:
    return Scene(desk)


class TestRunning:
    def test_no_request(self, scene: Scene) -> None:
        """Nobody is blamed, but bytes that it read may be the cause."""
        death = scene.dies()

        assert (scene.names(death), death.cause, death.blame) == ([], Cause.FAULT, Blame())

    def test_requests_are_told_with_their_age(self, scene: Scene) -> None:
        """Also those whose answer has begun; none that is still being read, or answered but for its last bytes."""
        scene.runs("GET /a", 11, age=1.25)
        scene.runs("GET /b", 22, RESPONDING, age=0.5)
        scene.runs("GET /c", 33, READING)
        scene.runs("GET /d", 0, IN_APP)
        scene.runs("GET /e", 0, RESPONDING)

        assert scene.names(scene.dies()) == ["GET /a for 1.2 s", "GET /b for 0.5 s"]

    def test_clocks_disagree(self, scene: Scene) -> None:
        """No request is younger than nothing."""
        scene.runs("GET /a", 11, age=-5)

        assert scene.names(scene.dies()) == ["GET /a for 0.0 s (blamed)"]

    def test_other_workers(self, scene: Scene) -> None:
        """What runs in them is none of its business."""
        scene.runs("GET /a", 11)
        other = Worker(9, 1, 1, process(scene.worker))
        other.process = process(scene.worker)

        assert scene.forensics.examine(other, CRASHED).running == []

    def test_what_else_is_known(self, scene: Scene) -> None:
        """Its exit, age, memory at the last look, and last words."""
        scene.worker.rss = 5 << 20
        scene.desk.clock.advance(12.5)
        death = scene.dies(words="Fatal Python error: Segmentation fault")

        assert (death.status, death.age, death.rss) == ("SIGSEGV", 12.5, 5 << 20)
        assert death.last_words == "Fatal Python error: Segmentation fault"


class TestBlame:
    def test_thread_is_known(self, scene: Scene) -> None:
        """The request that ran on it is blamed, and no other."""
        scene.runs("GET /a", 0x11)
        guilty = scene.runs("GET /b", 0x22)
        death = scene.dies(words="Current thread 0x22 (most recent call first):\n")

        assert death.blame == Blame(frozenset([guilty]))
        assert scene.names(death) == ["GET /a for 1.0 s", "GET /b for 1.0 s (blamed)"]

    def test_only_one_ran(self, scene: Scene) -> None:
        """It is blamed; one that was answered already is no other."""
        guilty = scene.runs("GET /a", 11)
        scene.runs("GET /b", 0, RESPONDING)

        assert scene.dies().blame == Blame(frozenset([guilty]))

    def test_several_ran(self, scene: Scene) -> None:
        """Nobody is blamed."""
        scene.runs("GET /a", 11)
        scene.runs("GET /b", 22)

        assert scene.dies().blame == Blame()

    def test_it_has_killed_before(self, scene: Scene) -> None:
        """Then it is blamed also among others."""
        first = scene.runs("GET /a", 11)
        scene.condemns()
        scene.runs("GET /b", 22)

        assert scene.dies().blame == Blame(frozenset([first]))

    @pytest.mark.parametrize("status", [KILLED, ExitStatus(None, signal.SIGTERM)])
    def test_somebody_killed_it(self, scene: Scene, status: ExitStatus) -> None:
        """Nobody is blamed, and no bytes are suspected."""
        scene.runs("GET /a", 11)
        death = scene.dies(status)

        assert (death.cause, death.blame) == (Cause.OUTSIDE, Blame(fault=False))

    def test_app_ended_the_process(self, scene: Scene) -> None:
        """The request that did is blamed."""
        guilty = scene.runs("GET /exit", 11)
        death = scene.dies(ExitStatus(3, None))

        assert (death.cause, death.blame.slots) == (Cause.EXIT, frozenset([guilty]))


class TestMemory:
    def test_kernel_killed_it(self, scene: Scene) -> None:
        """The kernel counts one more: a request may be blamed."""
        guilty = scene.runs("GET /big", 11)
        scene.kills = 1
        death = scene.dies(KILLED)

        assert (death.cause, death.blame.slots) == (Cause.MEMORY, frozenset([guilty]))

    def test_kernel_killed_another_one_before(self, scene: Scene) -> None:
        """One count explains one death."""
        scene.kills = 1
        scene.dies(KILLED)

        assert scene.dies(KILLED).cause is Cause.OUTSIDE

    @pytest.mark.parametrize(("before", "after"), [(None, None), (None, 5), (5, None)])
    def test_kernel_does_not_count(self, desk: Desk, before: int | None, after: int | None) -> None:
        """It is a death like any other."""
        counts = iter([before, after])
        forensics = Forensics(desk.clock, desk.table, desk.board, oom_kills=lambda: next(counts))

        assert forensics.examine(desk.worker(), KILLED).cause is Cause.OUTSIDE

    def test_crash(self, scene: Scene) -> None:
        """It is not for memory, whatever the kernel counts."""
        scene.kills = 1

        assert scene.dies().cause is Cause.FAULT


class TestStuck:
    def test_worker_has_left_without_it(self, scene: Scene) -> None:
        """Its client is answered 504; the worker did as it was told."""
        slot = scene.runs("GET /stuck", 11, age=9.0)
        scene.worker.stuck = {slot: NOW - 9_000_000_000}
        scene.worker.state = WorkerState.DRAINING
        death = scene.dies(ExitStatus(0, None))

        assert (death.cause, death.blame) == (Cause.ORDERED, Blame(frozenset([slot]), False, 504))

    def test_it_has_ended_meanwhile(self, scene: Scene) -> None:
        """The next request of that connection is not the stuck one."""
        slot = scene.runs("GET /next", 11, age=0.1)
        scene.worker.stuck = {slot: NOW - 9_000_000_000}

        assert scene.dies(KILLED).blame == Blame(fault=False)

    def test_another_one_crashed_the_worker(self, scene: Scene) -> None:
        """That one is blamed."""
        stuck = scene.runs("GET /stuck", 0x11, age=9.0)
        guilty = scene.runs("GET /crash", 0x22)
        scene.worker.stuck = {stuck: NOW - 9_000_000_000}

        assert scene.dies(words="Current thread 0x22 (").blame == Blame(frozenset([guilty]))


class TestCondemned:
    def test_one_that_was_blamed(self, scene: Scene) -> None:
        """Its deaths are counted."""
        scene.runs("GET /a", 11)

        assert (scene.condemns(), scene.condemns()) == ({}, {"GET /a": 2})

    def test_several_of_which_nobody_was_blamed(self, scene: Scene) -> None:
        """Who is there again, in other company, is found."""
        scene.runs("GET /a", 11)
        other = scene.runs("GET /b", 22)
        scene.condemns()
        connection = next(each for each in scene.desk.table if each.slot == other)
        scene.desk.writes(connection, IN_APP, head=b"GET /c", thread=22, since=NOW)

        assert scene.condemns(after=2) == {"GET /a": 2}
        assert scene.forensics.quarantine.quarantined(0.0).keys() == {"GET /a"}

    def test_thread_without_a_request_died(self, scene: Scene) -> None:
        """A request that happens to be there each time is innocent."""
        scene.runs("GET /poll", 0x11)

        assert [scene.condemns(1, words="Current thread 0x33 (") for _ in range(3)] == [{}] * 3

    def test_somebody_killed_it(self, scene: Scene) -> None:
        """Nobody is counted."""
        scene.runs("GET /a", 11)

        assert [scene.condemns(1, status=KILLED) for _ in range(3)] == [{}] * 3

    def test_no_request_ran(self, scene: Scene) -> None:
        """There is nobody to count."""
        assert scene.condemns(1) == {}


class TestFreeze:
    """Its heart stood still, and the master killed it."""

    def freeze(self, scene: Scene, **known: Any) -> Death:
        scene.worker.killed, scene.worker.freeze = "unresponsive", Freeze(**known)
        return scene.dies(KILLED, words="Current thread 0x22 (most recent call first):\n")

    def test_holder_is_known(self, scene: Scene) -> None:
        """Its request is blamed, with the status that its time calls for; it counts for the quarantine."""
        scene.runs("GET /a", 0x11)
        guilty = scene.runs("GET /b", 0x22)
        death = self.freeze(scene, thread=0x22, status=504)

        assert (death.cause, death.blame) == (Cause.FROZEN, Blame(frozenset([guilty]), False, 504))
        assert scene.forensics.attribute_death(death, 1) == {"GET /b": 1}

    def test_holder_cannot_be_told(self, scene: Scene) -> None:
        """Nobody is blamed and nobody runs again; who was there each time is found out."""
        scene.runs("GET /a", 0x11)
        scene.runs("GET /b", 0x22)
        death = self.freeze(scene)

        assert (death.blame, death.last_words) == (Blame(frozenset(), False, 502, again=False), "")
        assert scene.forensics.attribute_death(death, 1) == {}

    def test_only_one_ran(self, scene: Scene) -> None:
        """It is blamed, also where nobody computed."""
        guilty = scene.runs("GET /a", 0x11)
        assert self.freeze(scene).blame == Blame(frozenset([guilty]), False)

    def test_holder_runs_no_request(self, scene: Scene) -> None:
        """A thread of the application's own: no request is blamed, and each has its one repetition."""
        scene.runs("GET /a", 0x11)
        death = self.freeze(scene, thread=0x22)

        assert death.blame == Blame(frozenset(), False)
        assert scene.forensics.attribute_death(death, 1) == {}

    def test_it_was_stopped_from_outside(self, scene: Scene) -> None:
        """Nobody is to blame."""
        scene.runs("GET /a", 0x11)
        death = self.freeze(scene, stopped=True)

        assert (death.cause, death.blame) == (Cause.ORDERED, Blame(fault=False))
