"""The documentation says what the code says.

Law: pages that are made from the code are compared with it; links lead to files that are there.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.redo_log import DEATHS, MESSAGES, Death
from twistcorn.console.parser import COMMANDS
from twistcorn.master.control import orders
from twistcorn.policy.redo import Facts, Log, RedoCase, verdict
from twistcorn.reference import reference
from twistcorn.settings import OPTIONS, flag

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def test_the_settings_page_is_the_table_of_options() -> None:
    """docs/settings.md holds what `reference` makes of the table."""
    page = (ROOT / "docs" / "settings.md").read_text()
    assert reference() in page, "write it anew: python -m twistcorn.reference"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_between_pages_leads_somewhere(page: Path) -> None:
    """Each relative link names a file of the repository."""
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_tour_names_every_module() -> None:
    """docs/architecture.md has a place for each module."""
    tour = (ROOT / "docs" / "architecture.md").read_text()
    modules = [path for path in (ROOT / "twistcorn").rglob("*.py") if path.name != "__init__.py"]
    assert [path.name for path in modules if path.name not in tour] == []


def test_the_page_of_the_control_socket_has_every_command() -> None:
    """docs/control.md has a row for each command of the shell, and for each of the protocol with its arguments."""
    page = (ROOT / "docs" / "control.md").read_text()
    shell, protocol = page.split("## The protocol")
    assert set(re.findall(r"^\| `(\w+)", shell, re.MULTILINE)) == {command.name for command in COMMANDS}
    told = {
        name: arguments
        for names, arguments in (line.split("|")[1:3] for line in protocol.splitlines() if line.startswith("| `"))
        for name in re.findall(r"`(\w+)`", names)
    }
    assert told.keys() == orders.COMMANDS.keys()
    for name, arguments in orders.COMMANDS.items():
        assert re.findall(r"`(\w+)`", told[name]) == [argument.name for argument in arguments]


def test_the_picture_of_the_redo_log_is_what_its_script_draws() -> None:
    """docs/redo_log.svg is the output of docs/redo_log.py."""
    script = ROOT / "docs" / "redo_log.py"
    drawn = subprocess.run([sys.executable, script], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert script.with_suffix(".svg").read_text() == drawn, "draw it anew: python docs/redo_log.py > docs/redo_log.svg"


#: Bytes of the request and of its answer in the picture, and how many of these the kernel has been given.
REQUEST, ANSWER = 100, 1000
GIVEN = {"nothing": 0, "part": 10, "all": ANSWER}


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: f"{death.state}, {death.sent} sent")
def test_the_picture_of_the_redo_log_says_what_the_master_does(death: Death) -> None:
    """Each death in it has the verdict of the code, for a GET and for a POST."""
    responding = death.state == "RESPONDING"
    given = GIVEN[death.sent]
    for method, expected in (("GET", death.safe), ("POST", death.other)):
        log = Log(
            death.state, framed=responding, method=method,
            consume_to=REQUEST if responding else 0, written_end=ANSWER if responding else 0,
        )  # fmt: skip
        facts = Facts(alive=True, ended=False, unread=REQUEST, written=given, consumed=0)
        assert verdict(log, facts, RedoCase()).name == expected


def test_the_picture_of_the_redo_log_leaves_no_step_out() -> None:
    """From the lend to the next request there is a verdict for every moment, and one only."""
    ends = [death.until for death in DEATHS]
    assert [death.after for death in DEATHS] == [2, *ends[:-1]]
    assert ends[-1] == len(MESSAGES)


def test_the_glossary_is_in_alphabetical_order() -> None:
    """A word is found where it is looked for, and has one entry."""
    page = (ROOT / "docs" / "glossary.md").read_text()
    words = re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)[2:]
    assert words == sorted(set(words), key=str.lower)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/security.md"])
def test_a_file_that_a_page_names_is_there(name: str) -> None:
    """Each path in code type, of the repository or of its tests, leads to a file."""
    for path in re.findall(r"`([\w/]+\.(?:py|md))`", (ROOT / name).read_text()):
        assert (ROOT / path).exists() or (ROOT / "tests" / path).exists(), f"{name}: {path}"


@pytest.mark.parametrize("name", ["glossary.md", "security.md"])
def test_an_option_that_a_page_names_is_one(name: str) -> None:
    """These pages speak of the server's own options alone."""
    for option in re.findall(r"`--([a-z-]+)", (ROOT / "docs" / name).read_text()):
        assert option in map(flag, OPTIONS), f"{name}: --{option}"
