"""The command: its options, the order of its runs, its report and its status."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import throughput
from bench.__main__ import main
from bench.cores import Pins
from bench.homes import Installation
from bench.loads import Errors, Generator
from bench.plan import Plan
from bench.records import Failure, Sample
from bench.running import NotServing
from bench.servers import SERVERS, Home, Server
from bench.workloads import WORKLOADS, Workload

OWN = Installation(Path("/own/bin/python"), {"twistcorn": "1", "Flask": "3"}, {"Flask": "no flask here"})
PEERS = Installation(Path("/peers/bin/python"), {"gunicorn": "27", "waitress": "3", "Flask": "3"})
BY_NAME = {server.name: server for server in SERVERS}
BY_WORKLOAD = {workload.name: workload for workload in WORKLOADS}
RunOnce = Callable[[Plan, Server, Workload, int], Sample]


def plan_of(*servers: str, workloads: tuple[str, ...] = ("hello-keepalive",), workers: int = 1) -> Plan:
    """A plan of two rounds that needs nothing installed."""
    return Plan(
        servers=[BY_NAME[name] for name in servers],
        workloads=[BY_WORKLOAD[name] for name in workloads],
        rounds=2,
        workers=workers,
        duration=1,
        warm_up=0,
        generator=Generator("wrk", "wrk 4", 32, 1),
        pins=Pins((0,), 1),
        installations={Home.OWN: OWN, Home.PEERS: PEERS},
    )


def measured(plan: Plan, server: Server, workload: Workload, turn: int) -> Sample:
    """What a run would give."""
    return Sample(server.name, workload.name, turn, 1000, 1000.0, 0.032, Errors(), 1.0, 0.5, 0.1, True)


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command line with the plan and the single run replaced, and the signals left as they were."""
    monkeypatch.setattr("signal.signal", lambda *ignored: None)

    def run(plan: Plan, run_once: RunOnce, *arguments: str) -> int:
        monkeypatch.setattr(throughput, "make_plan", lambda options, say: plan)
        monkeypatch.setattr(throughput, "run_once", run_once)
        return main(["throughput", *arguments])

    return run


def test_rounds_are_interleaved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A B, A B: what disturbs the machine for a while disturbs all of them."""
    monkeypatch.setattr(throughput, "run_once", measured)
    outcomes = throughput.carry_out(plan_of("waitress", "gunicorn-sync")).taken.outcomes
    assert [(outcome.round, outcome.server) for outcome in outcomes] == [
        (1, "waitress"),
        (1, "gunicorn-sync"),
        (2, "waitress"),
        (2, "gunicorn-sync"),
    ]


def test_what_cannot_run_is_told_once_and_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Flask twistcorn has its rows of the plain application only."""
    monkeypatch.setattr(throughput, "run_once", measured)
    plan = plan_of(
        "twistcorn", workloads=("hello-keepalive", "flask-keepalive", "hello-close", "flask-close")
    )
    outcomes = throughput.carry_out(plan).taken.outcomes
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert [(f.workload, f.round, f.reason) for f in failures] == [
        ("flask-keepalive", 0, "no flask here"),
        ("flask-close", 0, "no flask here"),
    ]
    assert len(outcomes) == 2 + 2 * 2


def test_complete_run(
    run_main: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The table goes to standard output, everything to the file, the status is zero."""
    file = tmp_path / "out.json"
    assert run_main(plan_of("twistcorn", "waitress"), measured, "--json", str(file)) == 0
    printed = capsys.readouterr().out
    assert "server tree pinned to CPU 0, load generator to CPU 1" in printed
    assert "hello-keepalive" in printed
    document = json.loads(file.read_text())
    assert len(document["samples"]) == 4
    command = document["servers"]["waitress"]["commands"]["hello-keepalive"]
    assert command[-3:] == ["--listen=127.0.0.1:PORT", "--threads=8", "hello:app"]
    assert document["summary"][1]["rate_ratio"] == 1.0


def test_server_of_one_process_has_no_two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a row that says so, and is not compared with twice as many processes."""
    monkeypatch.setattr(throughput, "run_once", measured)
    outcomes = throughput.carry_out(plan_of("waitress", workers=2)).taken.outcomes
    assert outcomes == [Failure("waitress", "hello-keepalive", 0, "it has one process and no more")]


def test_targets_and_plot(
    run_main: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Targets are judged as far as they were measured, with a word on a run that is too short for it."""
    file = tmp_path / "out.svg"
    plan = plan_of("twistcorn", "gunicorn-gthread", workloads=("hello-keepalive", "mixed-keepalive"))
    assert run_main(plan, measured, "--targets", "--svg", str(file)) == 0
    printed = capsys.readouterr().out
    assert re.search(
        r"^hello-keepalive +CPU per request +gunicorn-gthread +1.00 .*NO$", printed, re.MULTILINE
    )
    assert "this run does not decide" in printed
    assert "hello-keepalive: CPU us per request" in file.read_text()


def test_missing_figure_shows_in_the_status(run_main: Callable[..., int]) -> None:
    """One failed run is enough for a status that is not zero."""

    def failing(plan: Plan, server: Server, workload: Workload, turn: int) -> Sample:
        raise NotServing("exited")

    assert run_main(plan_of("waitress"), failing) == 1


def test_interrupted_run_shows_what_it_has(
    run_main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in the second round leaves the first."""

    def interrupted(plan: Plan, server: Server, workload: Workload, turn: int) -> Sample:
        if turn == 2:
            raise KeyboardInterrupt
        return measured(plan, server, workload, turn)

    assert run_main(plan_of("waitress"), interrupted) == 130
    assert "1000-1000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--servers", "waitres"], "unknown: waitres; there are twistcorn,"),
        (["--workloads", ""], "there are hello-keepalive,"),
        (["--rounds", "0"], "'0' is not a whole number of at least 1"),
        (["--duration", "1.5"], "'1.5' is not a whole number"),
    ],
)
def test_wrong_option(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong value is refused with what would be right."""
    with pytest.raises(SystemExit):
        main(["throughput", *arguments])
    assert message in capsys.readouterr().err


def test_missing_wrk_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without wrk nothing is started, and the one line names the package."""
    monkeypatch.setattr("signal.signal", lambda *ignored: None)
    monkeypatch.setenv("PATH", "")
    assert main(["throughput"]) == 2
    assert capsys.readouterr().err == "bench: wrk is not installed; on Debian: apt-get install wrk\n"
