"""The documentation says what the code says.

Law: pages that are made from the code are compared with it; links lead to files that are there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from twistcorn.console.parser import COMMANDS
from twistcorn.master import orders
from twistcorn.reference import reference

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])


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
