"""The claims of twistcorn.master.workers.chronicle, as the supervisor keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twistcorn.master.workers.chronicle import MAX_ENTRIES, Chronicle, Reloaded

if TYPE_CHECKING:
    from tests.master.stage import Stage


def test_workers_end(stage: Stage) -> None:
    """Each end has its cause, in a word, and what the log says of it."""
    segfault, exits, killed = stage.serve()
    stage.spawner.exits(segfault, signal=11)
    stage.spawner.exits(exits, code=3)
    stage.supervisor.fleet.kill(killed, "unresponsive")
    stage.spawner.exits(killed, signal=9)
    stage.fails(stage.starting[0])
    stage.boot_all()
    told = stage.ready[0]
    stage.supervisor.fleet.drain(told)
    stage.spawner.exits(told, code=0)
    chronicle = stage.supervisor.chronicle

    assert [each.cause for each in chronicle.ended] == ["fault", "exit", "killed", "boot", "ordered"]
    assert chronicle.causes == {"fault": 1, "exit": 1, "killed": 1, "boot": 1, "ordered": 1}
    assert "SIGSEGV" in chronicle.ended[0].text
    assert chronicle.ended[0].pid == segfault.pid


def test_reloads(stage: Stage) -> None:
    """Those that went through, and those that did not."""
    stage.serve()
    stage.supervisor.reload()
    stage.boot_all()
    stage.supervisor.reload()
    stage.fails(stage.starting[0], "no module named shop")
    chronicle = stage.supervisor.chronicle

    assert (chronicle.reloads_done, chronicle.reloads_failed) == (1, 1)
    assert [bool(each.problem) for each in chronicle.reloads] == [False, True]


def test_memory_is_bounded() -> None:
    """The latest ones are kept, all are counted."""
    chronicle = Chronicle()
    for number in range(MAX_ENTRIES + 5):
        chronicle.add_reload(Reloaded(float(number), 1.0, number, ""))

    assert (len(chronicle.reloads), chronicle.reloads[-1].generation) == (MAX_ENTRIES, MAX_ENTRIES + 4)
    assert chronicle.reloads_done == MAX_ENTRIES + 5
