"""The peers' environment, without making one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import peers
from bench.command import BenchError
from bench.homes import Installation, own_installation, same_name

APPS = Path(__file__).parents[2] / "bench" / "apps"


def test_pins_are_the_lines_that_are_not_comments() -> None:
    """Comments and blank lines are no requirements; a marker is not part of the name."""
    assert peers.parse_pins("# all\n\na==1\n b==2; python_version < '3'\n") == [
        "a==1",
        "b==2; python_version < '3'",
    ]
    assert peers.pinned_name("b==2; python_version < '3'") == "b"


def test_stamp_changes_with_the_requirements() -> None:
    """Another pin asks for another environment."""
    assert peers.stamp("a==1") == peers.stamp("a==1") != peers.stamp("a==2")


def test_directory_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    """Only an empty directory, or one with our mark, is ever emptied."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    with pytest.raises(BenchError, match="holds something else"):
        peers.clear(tmp_path)
    assert precious.read_text() == "mine"


def test_own_directory_is_emptied_and_marked(tmp_path: Path) -> None:
    """A half-made environment has our mark without a stamp, so the next run makes it anew."""
    venv = tmp_path / "deep" / "venv"
    peers.clear(venv)
    (venv / "old").write_text("")
    peers.clear(venv)
    assert sorted(path.name for path in venv.iterdir()) == [".gitignore", peers.MARK]
    assert peers.read_mark(venv) == {"stamp": None}


def test_one_peer_that_cannot_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """When all together fail, each is tried alone, and the reason is kept for that one."""
    monkeypatch.setattr(peers, "_run", lambda command: "no compiler" if "bad==1" in command else None)
    missing = peers.install(Path("python"), ["good==1", "bad==1"])
    assert missing == {"bad": "pip could not install it: no compiler"}


def test_no_peer_at_all_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the network nothing is stamped as made, so that the next run tries again."""
    monkeypatch.setattr(peers, "_run", lambda command: None if "venv" in command else "no network")
    with pytest.raises(BenchError, match="no network"):
        peers.make(tmp_path / "venv", "a==1\nb==2\n")
    assert peers.read_mark(tmp_path / "venv") == {"stamp": None}


def test_right_environment_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the right stamp nothing is made; what could not be built then is still told."""
    mark = {"stamp": peers.stamp(peers.REQUIREMENTS.read_text()), "missing": {"uWSGI": "no compiler"}}
    (tmp_path / peers.MARK).write_text(json.dumps(mark))
    monkeypatch.setattr(peers, "installed_versions", lambda python, apps: {"waitress": "3"})
    said: list[str] = []
    found = peers.prepare(tmp_path, APPS, said.append)
    assert found.why_missing("uWSGI") == "no compiler"
    assert found.why_missing("waitress") is None
    assert len(said) == 1


def test_names_are_compared_as_packaging_does() -> None:
    """Case, dots, dashes and underscores do not tell distributions apart."""
    assert same_name("zope.interface", "Zope_Interface")
    installation = Installation(Path("python"), {"flask": "3"})
    assert installation.version("Flask") == "3"
    assert installation.why_missing("Django") == "Django is not installed for python"


def test_missing_flask_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who lacks Flask reads which Python lacks it and what to install."""
    answer = "ModuleNotFoundError: No module named 'flask'"
    monkeypatch.setattr(
        "bench.homes.import_failure", lambda python, module, apps: answer if module == "flask" else None
    )
    monkeypatch.setattr("bench.homes.installed_versions", lambda python, apps: {"twistcorn": "1"})
    own = own_installation(APPS)
    assert own.why_missing("twistcorn") is None
    assert str(own.why_missing("Flask")).endswith("pip install -e '.[test]'")
