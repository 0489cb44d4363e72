"""What is in a directory is read, never run, and the first thing that can be served is chosen."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from twistcorn.worker.loading import discovery

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Put a file into the directory of the test."""

    def put(name: str, source: str = "app = raise_if_run()\n") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    return put


class TestTheChoice:
    def test_wsgi_py_comes_before_app_py_before_main_py(self, tmp_path: Path, write: Write) -> None:
        """The file that is made for servers wins."""
        chosen = []
        for name in ("main", "app", "wsgi"):
            write(f"{name}.py")
            chosen.append(discovery.find(str(tmp_path), {}).target)
        assert chosen == ["main:app", "app:app", "wsgi:app"]

    def test_a_file_without_an_app_is_passed_over_for_one_that_has_it(
        self, tmp_path: Path, write: Write
    ) -> None:
        """The name of the file alone is no app."""
        write("wsgi.py", "x = 1")
        write("app.py")
        assert discovery.find(str(tmp_path), {}).target == "app:app"

    def test_a_main_py_without_an_app_is_an_unrelated_script(self, tmp_path: Path, write: Write) -> None:
        """It does not stand in the way of the demo."""
        write("main.py", "print('hello')")
        assert discovery.find(str(tmp_path), {}).target == discovery.DEMO

    def test_a_file_that_cannot_be_read_is_left_to_the_import(self, tmp_path: Path, write: Write) -> None:
        """The error of its import is what the operator has to see."""
        write("app.py", "def app(:")
        found = discovery.find(str(tmp_path), {})
        assert (found.target, found.how) == ("app", "found app.py")

    def test_a_star_import_is_left_to_the_import(self, tmp_path: Path, write: Write) -> None:
        """What it brings is known only then."""
        write("wsgi.py", "from shop.wsgi import *")
        assert discovery.find(str(tmp_path), {}).target == "wsgi"

    def test_a_factory_that_needs_arguments_is_reported(self, tmp_path: Path, write: Write) -> None:
        """It cannot be called without the operator."""
        write("app.py", "def create_app(config): ...")
        problem = discovery.find(str(tmp_path), {}).problem
        assert "`create_app` in app.py needs arguments: give --app 'app:create_app(...)'" in problem

    def test_a_file_with_nothing_like_an_app_asks_for_one(self, tmp_path: Path, write: Write) -> None:
        """There is nothing to propose."""
        write("app.py", "x = 1")
        assert discovery.find(str(tmp_path), {}).problem.endswith("make_app(). Name the app with --app")

    def test_a_directory_that_is_not_there_has_nothing(self, tmp_path: Path) -> None:
        """The caller has checked it; it may go away nevertheless."""
        assert discovery.find(str(tmp_path / "gone"), {}).target == discovery.DEMO


class TestDjango:
    @pytest.mark.parametrize(
        "line",
        [
            'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")',
            'os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"',
            'os.environ["DJANGO_SETTINGS_MODULE"] = os.environ.get("SETTINGS", "shop.settings")',
            'os.environ.setdefault("DJANGO_SETTINGS_MODULE", os.getenv("SETTINGS", "shop.settings"))',
        ],
    )
    def test_the_settings_are_read_from_manage_py(self, tmp_path: Path, write: Write, line: str) -> None:
        """Each of the ways in which they are written."""
        write("manage.py", f"def main():\n    {line}\n")
        write("wsgi.py")
        found = discovery.find(str(tmp_path), {})
        assert (found.settings, found.how) == ("shop.settings", "found manage.py")

    def test_the_variable_of_the_environment_wins(self, tmp_path: Path, write: Write) -> None:
        """It is what the operator has said."""
        write("manage.py", 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")')
        environ = {"DJANGO_SETTINGS_MODULE": "shop.live"}
        assert discovery.find(str(tmp_path), environ).settings == "shop.live"

    def test_an_empty_variable_is_none(self, tmp_path: Path, write: Write) -> None:
        """A unit file may set it to nothing."""
        write("manage.py", 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")')
        assert discovery.find(str(tmp_path), {"DJANGO_SETTINGS_MODULE": ""}).settings == "shop.settings"

    def test_settings_that_are_computed_are_asked_for(self, tmp_path: Path, write: Write) -> None:
        """They are known only by running manage.py."""
        write("manage.py", 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", choose())')
        assert "manage.py computes DJANGO_SETTINGS_MODULE" in discovery.find(str(tmp_path), {}).problem

    def test_a_manage_py_of_something_else_is_passed_over(self, tmp_path: Path, write: Write) -> None:
        """Flask-Script had the same file."""
        write("manage.py", "manager.run()")
        write("app.py")
        assert discovery.find(str(tmp_path), {}).target == "app:app"

    def test_a_manage_py_alone_that_sets_nothing_is_reported(self, tmp_path: Path, write: Write) -> None:
        """Something is there, so the demo would be a surprise."""
        write("manage.py", "manager.run()")
        problem = discovery.find(str(tmp_path), {}).problem
        assert problem == f"no --app given, and in {tmp_path} manage.py sets no DJANGO_SETTINGS_MODULE"


class TestReading:
    @pytest.mark.parametrize(
        ("source", "guess"),
        [
            ("application = app = x()", "application"),
            ("app: object = x()", "app"),
            ("app: object", ""),
            ("from shop import app", "app"),
            ("from shop import wsgi as application", "application"),
            ("import app.views", "app"),
            ("app, db = x()", "app"),
            ("class app: ...", "app"),
            ("async def app(scope, receive, send): ...", "app"),
            ("def create_app(config=None): ...", "create_app()"),
            ("def create_app(*, config): ...", ""),
            ("def make_app(): ...", "make_app()"),
            ("from shop import create_app", "create_app()"),
            ("try:\n    app = x()\nexcept ValueError:\n    pass", "app"),
            ("try:\n    pass\nexcept ValueError:\n    app = x()", "app"),
            ("with x():\n    app = y()", "app"),
            ("if x:\n    pass\nelse:\n    app = y()", "app"),
            ("if __name__ == '__main__':\n    app = x()", ""),
            ("def f():\n    app = x()", ""),
            ("other.app = x()", ""),
            ("app == 1", ""),
        ],
    )
    def test_the_app_is_what_an_import_would_define(self, write: Write, source: str, guess: str) -> None:
        """Functions, guards and attributes define nothing at the top."""
        assert discovery.read(str(write("app.py", source))).guess() == guess

    def test_a_file_that_is_not_there_defines_nothing(self, tmp_path: Path) -> None:
        """It is not opaque either."""
        assert discovery.read(str(tmp_path / "gone.py")) == discovery.SourceFile()

    def test_a_file_of_another_encoding_is_read(self, tmp_path: Path) -> None:
        """The coding line counts, as for the import."""
        path = tmp_path / "app.py"
        path.write_bytes("# coding: latin-1\napp = 'ä'\n".encode("latin-1"))
        assert discovery.read(str(path)).guess() == "app"

    def test_a_doubtful_escape_is_not_warned_about(self, write: Write) -> None:
        """The import warns of it, once is enough."""
        assert discovery.read(str(write("app.py", "app = '\\d'\n"))).guess() == "app"


class TestLooking:
    def test_modules_are_files_and_folders_with_python_in_them(self, tmp_path: Path, write: Write) -> None:
        """A namespace package is one too; caches and other files are not."""
        for name in (
            "b.py",
            "a/__init__.py",
            "n/x.py",
            "__init__.py",
            "t.txt",
            "empty/t.txt",
            "no-name/x.py",
        ):
            write(name, "")
        assert discovery.modules_in(str(tmp_path)) == ["a", "b", "n"]

    def test_folders_that_are_no_projects_are_not_searched(self, tmp_path: Path, write: Write) -> None:
        """A virtualenv has every module there is."""
        for name in (".tox/app.py", "node_modules/app.py", "venv/app.py", "venv/pyvenv.cfg"):
            write(name, "")
        assert discovery.near("app", str(tmp_path)) == ("", "")

    def test_a_dotted_module_is_found_as_a_path(self, tmp_path: Path, write: Write) -> None:
        """The folder to start from is the one above its first part."""
        path = write("project/shop/wsgi.py", "")
        assert discovery.near("shop.wsgi", str(tmp_path)) == (str(path), str(tmp_path / "project"))

    def test_the_root_has_nothing_above(self) -> None:
        """The search ends there."""
        assert discovery.near("no_such_module_at_all", os.sep) == ("", "")

    @pytest.mark.parametrize(
        ("word", "hit"), [("aplication", "application"), ("APP", "app"), ("ap", "app"), ("zebra", "")]
    )
    def test_a_misspelling_is_matched_whatever_its_case(self, word: str, hit: str) -> None:
        """A word unlike all others matches none."""
        assert discovery.close(word, ["app", "application"]) == hit

    def test_a_virtualenv_is_known_by_its_file(self, tmp_path: Path, write: Write) -> None:
        """A folder of that name is not enough."""
        (tmp_path / ".venv").mkdir()
        assert discovery.virtualenv_in(str(tmp_path)) == ""
        write("venv/pyvenv.cfg", "")
        assert discovery.virtualenv_in(str(tmp_path)) == str(tmp_path / "venv")
