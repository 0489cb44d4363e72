"""One scenario with one server, from the empty folder to the outcome.

Law: whatever goes wrong here is an outcome, too: the reason why there is none.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.command import BenchError
from bench.disrupt.client import Orders
from bench.disrupt.contestants import Contestant, command_line
from bench.disrupt.crowds import crowd
from bench.disrupt.outcomes import Absent, Outcome, Result
from bench.disrupt.scenarios import Scenario
from bench.disrupt.stage import READY, Pace, Stage, deployed, wait_all_ready
from bench.homes import Installation
from bench.running import free_port, running, wait_ready
from bench.servers import Home, Place

TRIES = 3


@dataclass(frozen=True)
class Setting:
    """What all runs have in common.

    :ivar load_cpu: where the clients run; the server has all others.
    :ivar left_out: options that this twistcorn does not know.
    """

    pace: Pace
    installations: Mapping[Home, Installation]
    load_cpu: int | None
    left_out: tuple[str, ...] = ()


def remarks(scenario: Scenario, contestant: Contestant, setting: Setting) -> list[str]:
    """What a server lacks for a scenario in which it takes part all the same."""
    if scenario.feature is None:
        return []
    if scenario.feature in contestant.lacks:
        return [contestant.lacks[scenario.feature]]
    left_out = [word for word in contestant.options[scenario.feature] if word in setting.left_out]
    return [f"without {word}" for word in left_out if contestant.home is Home.OWN]


def play(scenario: Scenario, contestant: Contestant, setting: Setting) -> Result:
    """Start the server, let the crowd at it, do what the scenario does, end everything."""
    if scenario.needed and scenario.feature is not None and scenario.feature in contestant.lacks:
        return Absent(contestant.name, scenario.name, contestant.lacks[scenario.feature], by_nature=True)
    reason = setting.installations[contestant.home].why_missing(contestant.distribution)
    if reason is None:
        try:
            return undisturbed(scenario, contestant, setting)
        except BenchError as error:
            reason = str(error)
    return Absent(contestant.name, scenario.name, reason)


def undisturbed(scenario: Scenario, contestant: Contestant, setting: Setting) -> Outcome:
    """An outcome that is the server's: a run in which the machine kept the clients from asking tells nothing."""
    stalls: list[float] = []
    while len(stalls) < TRIES:
        with deployed(setting.pace.boot) as folder:
            outcome = on_stage(scenario, contestant, setting, folder)
        if outcome.stalled is None:
            return outcome
        stalls.append(outcome.stalled)
    listed = ", ".join(f"{stall:.1f}" for stall in stalls)
    raise BenchError(
        f"the clients themselves stood still, in {TRIES} runs, for {listed} s: is the machine busy?"
    )


def on_stage(scenario: Scenario, contestant: Contestant, setting: Setting, folder: Path) -> Outcome:
    """The same, in the folder that it needs."""
    port = free_port()
    place = Place(setting.installations[contestant.home].python, folder, port)
    command = command_line(contestant, scenario.feature, place, setting.left_out)
    orders = replace(Orders(port=port, clients=setting.pace.clients), **scenario.asking)  # type: ignore[arg-type]
    with running(command, folder, port, ()) as server:
        booted_in = wait_all_ready(server, folder)
        wait_ready(server, READY)
        with crowd(orders, setting.load_cpu) as clients:
            stage = Stage(
                contestant=contestant,
                pace=setting.pace,
                folder=folder,
                server=server,
                crowd=clients,
                load_cpu=setting.load_cpu,
                # The same choices each time.
                random=random.Random(scenario.name),
                booted_in=booted_in,
                remarks=remarks(scenario, contestant, setting),
            )
            scenario.act(stage)
            return outcome_of(scenario, stage)


def outcome_of(scenario: Scenario, stage: Stage) -> Outcome:
    """What the clients and the stage have seen, once the last answer is there."""
    if not scenario.ends:
        stage.look_whether_it_lives()
    phases = (*stage.crowd.finish(), *stage.phases)
    return Outcome(
        server=stage.contestant.name,
        scenario=scenario.name,
        phases=phases,
        ended=stage.ended,
        run_twice=stage.run_twice(),
        asides=tuple(stage.asides),
        figures=stage.figures,
        remarks=tuple(stage.remarks),
    )
