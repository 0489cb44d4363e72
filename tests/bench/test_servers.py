"""The table of servers, the workloads, and the page that repeats the command lines."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bench.apps import hello
from bench.peers import REQUIREMENTS, parse_pins, pinned_name
from bench.servers import BASELINE, SERVERS, Home, Place, Server, command_line
from bench.workloads import WORKLOADS, Persistence, Workload

PAGE = Path(__file__).parents[2] / "docs" / "benchmark.md"
BLANKS = {name: name.upper() for name in ("python", "bin", "venv", "apps", "port", "module")}
PLACE = Place(Path("/v/bin/python"), Path("/apps"), 8000)


@pytest.mark.parametrize("persistence", Persistence, ids=lambda persistence: persistence.value)
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_page_repeats_the_command_line(server: Server, persistence: Persistence) -> None:
    """What the page says of a server is what the benchmark runs."""
    page = re.sub(r"\s+", " ", PAGE.read_text())
    assert shlex.join(word.format_map(BLANKS) for word in server.template(persistence)) in page


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_no_blank_stays_open(server: Server, workload: Workload) -> None:
    """Each command line is complete and names the application and the port."""
    line = " ".join(command_line(server, workload, PLACE))
    assert "{" not in line
    assert "8000" in line
    assert re.search(rf"\b{workload.module}[.:]app\b", line)


def test_names_are_unique_and_the_baseline_is_ours() -> None:
    """Ratios are to twistcorn, the one server that runs from our own Python."""
    names = [server.name for server in SERVERS]
    assert len(set(names)) == len(names)
    assert [server.name for server in SERVERS if server.home is Home.OWN] == [BASELINE]


def test_every_peer_is_pinned_exactly() -> None:
    """Each peer's distribution, and whatever else is installed, has one version."""
    pins = parse_pins(REQUIREMENTS.read_text())
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+(; .+)?", pin) for pin in pins)
    wanted = {server.distribution for server in SERVERS if server.home is Home.PEERS} | {"Flask"}
    assert wanted <= {pinned_name(pin) for pin in pins}


def test_plain_application_sends_what_the_workload_expects() -> None:
    """The body which every server is checked against is the application's."""
    assert {workload.body for workload in WORKLOADS} == {b"".join(hello.app({}, lambda *ignored: None))}


def test_flask_application_sends_the_same() -> None:
    """Both applications send the same bytes, so that their rows may be compared."""
    pytest.importorskip("flask")
    from bench.apps import flask_hello

    assert flask_hello.app.test_client().get("/").data == hello.BODY
