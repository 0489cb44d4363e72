"""The table of servers, the workloads, and the page that repeats the command lines."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bench.peers import REQUIREMENTS, parse_pins, pinned_name
from bench.running import clean_environment
from bench.servers import BASELINE, SERVERS, VARIANTS, Home, Place, Server, command_line
from bench.workloads import CASES, WORKLOADS, Case, Persistence, Workload

APPS = Path(__file__).parents[2] / "bench" / "apps"
#: Calls an application once, as a server would.
CALL = """
import importlib, io, sys
from wsgiref.util import setup_testing_defaults
content = sys.stdin.buffer.read()
environ = {"PATH_INFO": sys.argv[2], "CONTENT_LENGTH": str(len(content)), "wsgi.input": io.BytesIO(content)}
environ["REQUEST_METHOD"] = "POST" if content else "GET"
setup_testing_defaults(environ)
def start_response(status, headers, exc_info=None):
    print(f"{status}, Content-Length: {dict(headers)['Content-Length']}", flush=True)
answer = importlib.import_module(sys.argv[1]).app(environ, start_response)
sys.stdout.buffer.write(b"".join(answer))
"""
PAGE = Path(__file__).parents[2] / "docs" / "benchmark.md"
BLANKS = {name: name.upper() for name in ("python", "bin", "venv", "apps", "port", "module", "workers")}
PLACE = Place(Path("/v/bin/python"), Path("/apps"), 8000, 2)


@pytest.mark.parametrize("persistence", Persistence, ids=lambda persistence: persistence.value)
@pytest.mark.parametrize("server", [*SERVERS, *VARIANTS], ids=lambda server: server.name)
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
    assert re.search(rf"\b{workload.case.module}[.:]app\b", line)


def test_names_are_unique_and_the_baseline_is_ours() -> None:
    """Ratios are to twistcorn, the one server that runs from our own Python."""
    names = [server.name for server in SERVERS]
    assert len(set(names)) == len(names)
    assert [server.name for server in SERVERS if server.home is Home.OWN] == [BASELINE]


def test_every_peer_is_pinned_exactly() -> None:
    """Each peer's distribution, and whatever else is installed, has one version."""
    pins = parse_pins(REQUIREMENTS.read_text())
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+(; .+)?", pin) for pin in pins)
    wanted = {server.distribution for server in SERVERS if server.home is Home.PEERS} | {
        "Flask",
        "Django",
        "gevent",
    }
    assert wanted <= {pinned_name(pin) for pin in pins}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_application_sends_what_the_workload_expects(case: Case, tmp_path: Path) -> None:
    """The body which every server is checked against is the application's, with its length."""
    if case.needs is not None:
        pytest.importorskip(case.needs.lower())
    call = [sys.executable, "-W", "error", "-c", CALL, case.module, case.path]
    environment = {**clean_environment(APPS), "TMPDIR": str(tmp_path)}
    done = subprocess.run(call, input=case.content, env=environment, capture_output=True, check=True)
    head, _, body = done.stdout.partition(b"\n")
    assert body == case.body
    assert head.decode() == f"200 OK, Content-Length: {len(body)}"
