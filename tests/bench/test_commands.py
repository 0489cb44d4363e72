"""One short real run of each command, with twistcorn alone: the peers would have to be installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.__main__ import main

pytestmark = [pytest.mark.slow, pytest.mark.needs("wrk", "wrk")]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command once with twistcorn, and read what it wrote; its plot is well-formed."""
    monkeypatch.setattr("signal.signal", lambda *ignored: None)

    def call(*arguments: str) -> dict[str, Any]:
        document, plot = tmp_path / "out.json", tmp_path / "out.svg"
        common = ("--servers", "twistcorn", "--rounds", "1", "--json", str(document), "--svg", str(plot))
        assert main([*arguments, *common]) == 0
        assert ElementTree.parse(plot).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        written: dict[str, Any] = json.loads(document.read_text())
        return written

    return call


def test_throughput(run: Run) -> None:
    """A GET, a POST, a page of Django, fast and slow ones from each generator: all are answered, rightly."""
    workloads = "hello-close,json-keepalive,django-keepalive,mixed-keepalive,saturated-keepalive"
    written = run("throughput", "--workloads", workloads, "--duration", "1", "--warm-up", "0")
    assert [row["workload"] for row in written["summary"]] == workloads.split(",")
    for sample in written["samples"]:
        assert sample["requests"] > 0
        assert set(sample["errors"].values()) == {0}
    assert all(row["fast_p99"]["median"] > 0 for row in written["summary"][-2:])


def test_latency_at_half_of_its_capacity(run: Run) -> None:
    """The rate is found first; then the times are there, in order."""
    written = run("latency", "--workloads", "wait1ms-keepalive", "--duration", "1", "--warm-up", "0")
    rate = written["rates"]["wait1ms-keepalive"]
    values = written["readings"][0]["values"]
    assert rate > 50
    assert 0.001 <= values["p50"] <= values["p99"] <= values["p999"] <= values["worst"]


def test_memory(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A second worker costs something; idle connections are held."""
    written = run("memory", "--workloads", "hello-close", "--workers", "1,2", "--idle", "100", "--targets")
    growing, idling = (reading["values"] for reading in written["readings"])
    assert growing["pss2"] > growing["pss1"] > 10 << 20
    assert growing["extra"] == growing["pss2"] - growing["pss1"]
    assert idling["held"] == 100
    assert "MiB of PSS per extra worker" in capsys.readouterr().out


def test_startup(run: Run) -> None:
    """It starts, and a killed worker is replaced by another one."""
    written = run("startup")
    plain, django = (reading["values"] for reading in written["readings"])
    assert 0 < plain["replaced"] < 10
    assert set(django) == {"first"}
