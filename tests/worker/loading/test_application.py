"""The app that --app names is loaded, or an error says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from twistcorn import demo
from twistcorn.errors import AppLoadError
from twistcorn.worker.loading import hints
from twistcorn.worker.loading.application import Loaded, load

APP = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"app"]
"""
FACTORY = """
def create_app(name="made", debug=False):
    def app(environ, start_response):
        return [name.encode(), str(debug).encode()]
    return app
"""
OTHER = "def wrong_name(environ, start_response):\n    return []\n"


@dataclass
class Site:
    """A directory with an app in it, as --chdir names one."""

    directory: Path

    def write(self, name: str, source: str = APP) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    def load(self, target: str = "", *pythonpath: str) -> Loaded:
        return load(target, str(self.directory), pythonpath)

    def error(self, target: str = "") -> str:
        """The message with which loading fails."""
        with pytest.raises(AppLoadError) as caught:
            self.load(target)
        return str(caught.value)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty directory; what is imported from it is forgotten at the end."""
    directory = tmp_path / "srv"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    before = dict(sys.modules)
    yield Site(directory)
    for name, module in list(sys.modules.items()):
        said = vars(module)  # not getattr: a module may have a __getattr__ that fails
        paths = [said.get("__file__") or "", *(said.get("__path__") or ())]
        if before.get(name) is not module and any(path.startswith(str(tmp_path)) for path in paths):
            del sys.modules[name]


def body(loaded: Loaded) -> bytes:
    return b"".join(loaded.application({}, lambda *_: None))


class TestWhatTargetsMean:
    def test_module_and_name_load_the_callable(self, site: Site) -> None:
        """`module:name` is the plain form, and nothing has to be said about how it was found."""
        site.write("app.py")
        loaded = site.load("app:app")
        assert body(loaded) == b"app"
        assert (loaded.target, loaded.how) == ("app:app", "")

    def test_a_module_in_a_package_is_named_with_dots(self, site: Site) -> None:
        """`package.module:name` is a form of it."""
        site.write("shop/__init__.py", "")
        site.write("shop/wsgi.py")
        assert body(site.load("shop.wsgi:app")) == b"app"

    def test_an_attribute_of_an_object_is_reached_with_dots(self, site: Site) -> None:
        """`module:object.attribute` walks down."""
        site.write("app.py", f"{APP}\nclass site:\n    class inner:\n        wsgi = staticmethod(app)\n")
        assert site.load("app:site.inner.wsgi").target == "app:site.inner.wsgi"

    def test_a_factory_is_called(self, site: Site) -> None:
        """`module:factory()` serves what the factory returns."""
        site.write("app.py", FACTORY)
        assert body(site.load("app:create_app()")) == b"madeFalse"

    def test_a_factory_is_called_with_literal_arguments(self, site: Site) -> None:
        """Positional and named arguments arrive as they were written."""
        site.write("app.py", FACTORY)
        loaded = site.load('app:create_app("a:b", debug=True)')
        assert body(loaded) == b"a:bTrue"
        assert loaded.target == 'app:create_app("a:b", debug=True)'

    @pytest.mark.parametrize(
        ("source", "chosen"), [(APP, "app:app"), (f"{APP}\napplication = app", "app:application")]
    )
    def test_a_module_alone_means_application_then_app(self, site: Site, source: str, chosen: str) -> None:
        """PEP 3333's usual name comes first."""
        site.write("app.py", source)
        assert site.load("app").target == chosen

    def test_blanks_around_the_target_are_ignored(self, site: Site) -> None:
        """A shell or a unit file may leave some."""
        site.write("app.py")
        assert site.load(" app : app ").target == "app:app"

    def test_a_class_that_is_an_app_itself_is_served(self, site: Site) -> None:
        """PEP 3333 has an app of which each call makes an iterable instance."""
        site.write(
            "app.py",
            """
            class App:
                def __init__(self, environ, start_response): ...
                def __iter__(self):
                    return iter([b"class"])
            """,
        )
        assert body(site.load("app:App")) == b"class"

    def test_a_wrapper_whose_signature_says_otherwise_is_served(self, site: Site) -> None:
        """What is called counts, not what functools.wraps shows, as with werkzeug's Request.application."""
        site.write(
            "app.py",
            """
            import functools
            def responder(view):
                @functools.wraps(view)
                def application(*args):
                    return view(args[0])
                return application
            @responder
            def app(request):
                return [b"wrapped"]
            """,
        )
        assert body(site.load("app:app")) == b"wrapped"

    def test_a_flask_app_and_a_method_of_it_are_served(self, site: Site) -> None:
        """Instances and bound methods are callables as good as functions."""
        site.write("app.py", "from flask import Flask, current_app, request\napp = Flask(__name__)\n")
        assert site.load("app:app").target == "app:app"
        assert site.load("app:app.wsgi_app").target == "app:app.wsgi_app"


class TestWhereModulesAreSearched:
    def test_the_directory_comes_first_then_the_pythonpath(self, site: Site) -> None:
        """The app's own modules win over installed ones, and relative entries start in the directory."""
        site.write("app.py")
        site.write("lib/extra.py", "")
        site.load("app:app", "lib", "/opt/elsewhere")
        lib = str(site.directory / "lib")
        assert sys.path[:3] == [str(site.directory), lib, "/opt/elsewhere"]

    def test_loading_twice_leaves_each_entry_once(self, site: Site) -> None:
        """The path does not grow."""
        site.write("app.py")
        site.load("app:app", "lib")
        once = list(sys.path)
        site.load("app:app", "lib")
        assert sys.path == once


class TestMisspeltModules:
    def test_it_names_the_directory_and_the_nearest_module(self, site: Site) -> None:
        """The message is complete: what was asked, where it was searched, what may be meant."""
        site.write("app.py")
        assert site.error("ap:app") == (
            f"cannot load the app `ap:app`: no module named `ap` in {site.directory} "
            "(searched first, then sys.path). Did you mean `app:app`?"
        )

    def test_case_and_dashes_are_a_misspelling_too(self, site: Site) -> None:
        """`My-Shop` is `my_shop`."""
        site.write("my_shop.py")
        assert "Did you mean `my_shop:app`?" in site.error("My-Shop:app")

    def test_a_misspelt_module_of_a_package_is_sought_in_the_package(self, site: Site) -> None:
        """The neighbours are those in the package."""
        site.write("shop/__init__.py", "")
        site.write("shop/wsgi.py")
        message = site.error("shop.wsgy:app")
        assert f"no module named `wsgy` in the package `shop` ({site.directory / 'shop'})." in message
        assert "Did you mean `shop.wsgi:app`?" in message

    def test_a_misspelt_package_keeps_the_rest_of_the_name(self, site: Site) -> None:
        """Only the wrong part is corrected."""
        site.write("shop/__init__.py", "")
        site.write("shop/wsgi.py")
        assert "Did you mean `shop.wsgi:app`?" in site.error("shopp.wsgi:app")

    def test_a_module_one_folder_below_is_found_there(self, site: Site) -> None:
        """The answer is another --chdir."""
        path = site.write("src/app.py")
        message = site.error("app:app")
        assert f"Found at {path}: did you mean --chdir {site.directory / 'src'}?" in message

    def test_a_module_in_a_package_below_is_named_with_the_package(self, site: Site) -> None:
        """A package is not entered, it is named."""
        site.write("shop/__init__.py", "")
        site.write("shop/wsgi.py")
        assert "did you mean `shop.wsgi:app`?" in site.error("wsgi:app")

    def test_a_module_one_folder_above_is_found_there(self, site: Site) -> None:
        """Someone started within the package."""
        path = site.write("../wsgi.py").resolve()
        message = site.error("wsgi:app")
        assert f"Found at {path}: did you mean --chdir {site.directory.parent}?" in message

    def test_with_nothing_alike_the_modules_that_have_an_app_are_suggested(self, site: Site) -> None:
        """They are read for it, not run."""
        site.write("backend.py", f"{APP}\nraise SystemExit('run')")
        site.write("zebra.py", "")
        assert "Did you mean `backend:app`?" in site.error("website:app")

    def test_with_no_app_anywhere_the_modules_are_listed(self, site: Site) -> None:
        """The message at least lists what is there."""
        site.write("backend.py", "")
        site.write("zebra.py", "")
        assert "Modules there: backend, zebra." in site.error("website:app")

    def test_in_a_directory_without_python_the_directory_is_doubted(self, site: Site) -> None:
        """--chdir is what is wrong then."""
        assert "There are no Python files there: check --chdir." in site.error("website:app")

    def test_a_dot_instead_of_the_colon_is_recognised(self, site: Site) -> None:
        """`app.app` is how other tools write it."""
        path = site.write("app.py")
        message = site.error("app.app")
        assert f"`app` is not a package but the module {path}." in message
        assert "Did you mean `app:app`?" in message

    def test_a_dot_instead_of_the_colon_is_recognised_in_a_package(self, site: Site) -> None:
        """A package may have the app in its __init__.py."""
        site.write("shop/__init__.py")
        assert "Did you mean `shop:app`?" in site.error("shop.app")


class TestMisspeltNames:
    def test_it_names_the_file_and_the_nearest_callable(self, site: Site) -> None:
        """The message is complete: which module it was, what it lacks, what may be meant."""
        path = site.write("app.py")
        assert site.error("app:ap") == (
            f"cannot load the app `app:ap`: the module `app` ({path}) has no `ap`. Did you mean `app:app`?"
        )

    def test_with_nothing_alike_the_apps_in_the_module_are_suggested(self, site: Site) -> None:
        """Those that look like WSGI, and not every callable."""
        source = f"{APP}\nfrom os.path import join\ndef view(request): ...\nsecond = app\nclass App: ...\n"
        site.write("app.py", source)
        assert site.error("app:website").endswith("has no `website`. Did you mean `app:app` or `app:second`?")

    def test_a_module_alone_without_either_name_is_refused(self, site: Site) -> None:
        """The message names the defaults, as --app names nothing."""
        site.write("shop.py", OTHER)
        message = site.error("shop")
        assert "has neither `application` nor `app`. Did you mean `shop:wrong_name`?" in message

    def test_a_module_with_nothing_to_serve_ends_the_message_there(self, site: Site) -> None:
        """No hint is better than a wrong one."""
        site.write("app.py", "x = 1\n")
        assert site.error("app:app").endswith("has no `app`.")

    def test_a_submodule_is_no_name_but_its_apps_are_suggested(self, site: Site) -> None:
        """The colon was one dot too early."""
        site.write("shop/__init__.py", "")
        site.write("shop/wsgi.py")
        assert "Did you mean `shop.wsgi:app`?" in site.error("shop:wsgi")
        assert "Did you mean `shop.wsgi:app`?" in site.error("shop:wsgi.app")

    def test_a_plain_folder_has_no_app_but_its_modules_may(self, site: Site) -> None:
        """Python takes any folder for a package."""
        site.write("app/main.py")
        message = site.error("app:app")
        assert f"the module `app` ({site.directory / 'app'}) has no `app`. " in message
        assert message.endswith("Did you mean `app.main:app`?")

    def test_a_misspelt_attribute_is_sought_in_the_object(self, site: Site) -> None:
        """The object exists; the message says what it lacks."""
        site.write("app.py", f"{APP}\nclass Site:\n    wsgi = staticmethod(app)\nsite = Site()\n")
        message = site.error("app:site.wsgy")
        assert "`app:site` is a `Site` and has no attribute `wsgy`. " in message
        assert "Did you mean `app:site.wsgi`?" in message

    def test_a_misspelt_factory_keeps_its_arguments(self, site: Site) -> None:
        """Only the name was wrong."""
        site.write("app.py", FACTORY)
        assert "Did you mean `app:create_app(debug=True)`?" in site.error("app:creat_app(debug=True)")

    def test_a_file_whose_name_the_standard_library_has_taken_is_reported(self, site: Site) -> None:
        """`textwrap` is imported already, so the file of that name is never read."""
        path = site.write("textwrap.py")
        message = site.error("textwrap:app")
        assert f"It is not {path}, because another module has that name: rename the file." in message

    def test_a_name_that_fails_to_be_read_is_the_apps_failure(self, site: Site) -> None:
        """A lazy attribute runs the app's code."""
        site.write("app.py", "def __getattr__(name):\n    raise ValueError('lazy')\n")
        message = site.error("app:app")
        assert message.startswith("cannot load the app `app:app`: reading `app` failed: ValueError: lazy\n")


class TestFactories:
    def test_a_factory_that_is_not_called_is_recognised(self, site: Site) -> None:
        """The parentheses were forgotten."""
        site.write("app.py", FACTORY)
        assert site.error("app:create_app") == (
            "cannot load the app `app:create_app`: "
            "`create_app` is a factory: did you mean `app:create_app()`?"
        )

    def test_a_missing_app_next_to_a_factory_is_answered_with_the_factory(self, site: Site) -> None:
        """It is the only thing in the module that leads to an app."""
        site.write("app.py", FACTORY)
        assert site.error("app:app").endswith("`create_app` is a factory: did you mean `app:create_app()`?")

    def test_a_function_without_parameters_is_a_factory_under_any_name(self, site: Site) -> None:
        """It cannot be called like an app."""
        site.write("app.py", "def app():\n    return print\n")
        assert "`app` is a factory: did you mean `app:app()`?" in site.error("app:app")

    def test_a_factory_with_required_arguments_is_asked_for_them(self, site: Site) -> None:
        """Empty parentheses would fail next."""
        site.write("app.py", "def create_app(config, region): ...\n")
        message = site.error("app:create_app")
        assert "did you mean `app:create_app(...)`, with literals for config, region?" in message

    def test_a_function_that_is_given_the_app_is_no_factory(self, site: Site) -> None:
        """`init_app(app)` is how Flask's extensions are attached."""
        site.write("shop.py", "def init_app(app): ...\ndef view(request): ...\n")
        assert site.error("shop:app").endswith("has no `app`.")

    def test_a_factory_that_raises_shows_its_own_frames_only(self, site: Site) -> None:
        """The traceback begins in the factory."""
        path = site.write("app.py", "def create_app():\n    return 1 / 0\n")
        first, *rest = site.error("app:create_app()").splitlines()
        assert first == (
            "cannot load the app `app:create_app()`: calling create_app() failed: "
            "ZeroDivisionError: division by zero"
        )
        assert rest[:3] == [
            "  Traceback (most recent call last):",
            f'    File "{path}", line 2, in create_app',
            "      return 1 / 0",
        ]
        assert "application.py" not in "".join(rest)

    def test_a_factory_that_exits_is_caught(self, site: Site) -> None:
        """sys.exit() in the app does not end the worker silently."""
        site.write("app.py", "import sys\ndef create_app():\n    sys.exit('no database')\n")
        assert "calling create_app() failed: SystemExit: no database" in site.error("app:create_app()")

    def test_a_factory_called_with_the_wrong_arguments_is_one_line(self, site: Site) -> None:
        """Python's own sentence says it, and no frame of the app is involved."""
        site.write("app.py", "def create_app(config): ...\n")
        message = site.error("app:create_app()")
        assert "TypeError: create_app() missing 1 required positional argument: 'config'" in message
        assert "\n" not in message

    def test_a_factory_that_returns_none_lacks_its_return(self, site: Site) -> None:
        """It is the usual way to get None."""
        site.write("app.py", "def create_app():\n    app = print\n")
        message = site.error("app:create_app()")
        assert message.endswith("`create_app()` returned None. Does it return the app?")

    def test_a_factory_that_returns_something_else_is_refused_with_its_type(self, site: Site) -> None:
        """The type shows the mistake."""
        site.write("app.py", "def create_app():\n    return {}\n")
        assert "`create_app()` returned a `dict`, which cannot be called." in site.error("app:create_app()")

    def test_an_async_factory_is_refused(self, site: Site) -> None:
        """There is no loop to await it in, and no warning about that remains."""
        site.write("app.py", "async def create_app(): ...\n")
        message = site.error("app:create_app()")
        assert "`create_app` is an async function; a factory must be a plain function." in message

    def test_an_app_that_is_called_like_a_factory_is_recognised(self, site: Site) -> None:
        """The parentheses were one pair too many."""
        site.write("app.py")
        message = site.error("app:app()")
        assert "`app` is the app, not a factory. Did you mean `app:app`?" in message

    def test_something_that_cannot_be_called_is_no_factory(self, site: Site) -> None:
        """The message names the type."""
        site.write("app.py", "config = {}\n")
        assert "`config` is a `dict`, which cannot be called." in site.error("app:config()")


class TestAsgi:
    HINT = "Use an ASGI server, such as uvicorn, or wrap it in a2wsgi.ASGIMiddleware."

    @pytest.mark.parametrize(
        "source",
        [
            "async def app(scope, receive, send): ...",
            "def app(scope, receive, send): ...",
            "class App:\n    async def __call__(self, scope, receive, send): ...\napp = App()",
            "class App:\n    def __call__(self, scope, receive, send): ...\napp = App()",
            "class App:\n    async def __call__(self, *args): ...\napp = App()",
        ],
    )
    def test_an_asgi_application_is_recognised(self, site: Site, source: str) -> None:
        """By its coroutine or by the names of its parameters."""
        site.write("app.py", source)
        assert site.error("app:app") == (
            "cannot load the app `app:app`: `app` is an ASGI application; twistcorn serves WSGI. " + self.HINT
        )

    def test_what_a_factory_returns_is_recognised_too(self, site: Site) -> None:
        """The factory itself is fine."""
        source = "def create_app():\n    async def app(scope, receive, send): ...\n    return app\n"
        site.write("app.py", source)
        assert "`create_app()` returned an ASGI application;" in site.error("app:create_app()")

    def test_an_asgi_module_points_to_the_wsgi_module_next_to_it(self, site: Site) -> None:
        """A Django project has both."""
        site.write("shop/__init__.py", "")
        site.write("shop/asgi.py", "async def application(scope, receive, send): ...")
        site.write("shop/wsgi.py", "application = print")
        assert site.error("shop.asgi").endswith("Did you mean `shop.wsgi:application`?")

    def test_an_async_function_of_another_shape_is_not_called_asgi(self, site: Site) -> None:
        """It is neither of the two."""
        site.write("app.py", "async def app(environ, start_response): ...")
        assert "`app` is an async function; twistcorn serves WSGI." in site.error("app:app")


class TestWhatIsNoApp:
    def test_none_is_no_app(self, site: Site) -> None:
        """A global that is filled later is empty now."""
        site.write("app.py", f"app = None\n{OTHER}")
        assert site.error("app:app").endswith("`app` is None. Did you mean `app:wrong_name`?")

    def test_what_cannot_be_called_is_reported_with_its_type(self, site: Site) -> None:
        """The type shows what was named instead."""
        site.write("app.py", f"config = {{}}\n{APP}")
        message = site.error("app:config")
        assert message.endswith("`config` is a `dict`, which cannot be called. Did you mean `app:app`?")

    def test_a_module_is_no_app_but_may_have_one(self, site: Site) -> None:
        """The colon was one dot too early, and the package imports the module by itself."""
        site.write("shop/__init__.py", "from . import wsgi")
        site.write("shop/wsgi.py")
        message = site.error("shop:wsgi")
        assert message.endswith("`wsgi` is a module, not an app. Did you mean `shop.wsgi:app`?")

    def test_a_class_whose_instances_are_apps_is_answered_with_a_call(self, site: Site) -> None:
        """The parentheses were forgotten."""
        site.write("app.py", "class App:\n    def __call__(self, environ, start_response): ...\n")
        message = site.error("app:App")
        assert message.endswith("`App` is a class; the app must be an instance. Did you mean `app:App()`?")

    def test_an_imported_framework_class_is_answered_with_its_instance(self, site: Site) -> None:
        """`Flask` is not the app, even if it takes two arguments and more."""
        site.write("app.py", "from flask import Flask\nserver = Flask(__name__)\n")
        message = site.error("app:Flask")
        assert message.endswith(
            "`Flask` is a class; the app must be an instance. Did you mean `app:server`?"
        )

    @pytest.mark.parametrize(
        ("parameters", "shown"), [("request", "request"), ("a, b, c", "a, b, c"), ("a, b, *, c", "a, b, c")]
    )
    def test_a_callable_that_does_not_take_two_arguments_is_refused_with_its_signature(
        self, site: Site, parameters: str, shown: str
    ) -> None:
        """A view is not an app."""
        site.write("app.py", f"def app({parameters}): ...\n")
        assert site.error("app:app").endswith(
            f"`app` is a callable of ({shown}); a WSGI app takes (environ, start_response)."
        )


class TestFailingImports:
    def test_the_traceback_begins_in_the_app(self, site: Site) -> None:
        """Neither importlib nor twistcorn stands between the first line and the cause."""
        app = site.write("app.py", "import settings\n")
        settings = site.write("settings.py", "value = {}['SECRET']\n")
        lines = site.error("app:app").splitlines()
        assert lines[0] == "cannot load the app `app:app`: importing app failed: KeyError: 'SECRET'"
        assert [line.strip() for line in lines if "File " in line] == [
            f'File "{app}", line 1, in <module>',
            f'File "{settings}", line 1, in <module>',
        ]
        assert lines[-1] == "  KeyError: 'SECRET'"

    def test_the_frames_of_a_cause_are_cut_too(self, site: Site) -> None:
        """Each traceback of a chain is the app's only."""
        site.write("settings.py", "raise ValueError('first')\n")
        site.write(
            "app.py",
            """
            try:
                import settings
            except ValueError as exc:
                raise RuntimeError('second') from exc
            """,
        )
        message = site.error("app:app")
        assert "importing app failed: RuntimeError: second\n" in message
        assert "ValueError: first" in message
        assert "importlib" not in message

    def test_a_syntax_error_shows_file_line_and_caret(self, site: Site) -> None:
        """The place is all that is needed."""
        path = site.write("app.py", "def app(environ, start_response:\n    pass\n")
        lines = site.error("app:app").splitlines()
        assert lines[0] == (
            "cannot load the app `app:app`: importing app failed: "
            "SyntaxError: '(' was never closed (app.py, line 1)"
        )
        assert lines[1] == f'    File "{path}", line 1'
        assert lines[3].strip() == "^"
        assert "Traceback" not in "".join(lines)

    def test_an_exit_is_caught_and_explained(self, site: Site) -> None:
        """A script that runs when imported ends itself."""
        site.write("app.py", "import sys\nsys.exit(3)\n")
        message = site.error("app:app")
        assert "importing app failed: SystemExit: 3\n" in message
        assert message.endswith('put that call under `if __name__ == "__main__":`.')

    def test_an_interrupt_of_the_operator_is_not_an_error_of_the_app(self, site: Site) -> None:
        """Ctrl-C during a slow import still ends the process."""
        site.write("app.py", "raise KeyboardInterrupt\n")
        with pytest.raises(KeyboardInterrupt):
            site.load("app:app")

    def test_a_long_message_is_one_line_in_the_first(self, site: Site) -> None:
        """The remainder is in the traceback."""
        site.write("app.py", "raise ValueError('one\\ntwo')\n")
        first, *rest = site.error("app:app").splitlines()
        assert first.endswith("ValueError: one ...")
        assert rest[-1] == "  two"

    def test_an_exception_that_cannot_be_printed_is_named(self, site: Site) -> None:
        """A broken __str__ does not hide the failure."""
        site.write("app.py", "class Odd(Exception):\n    def __str__(self): return 1 / 0\nraise Odd\n")
        assert "importing app failed: app.Odd\n" in site.error("app:app")

    def test_an_endless_recursion_is_shown_by_its_ends(self, site: Site) -> None:
        """A thousand frames would bury the first line."""
        source = "def one(n): return two(n)\ndef two(n): return one(n)\none(1)\n"
        site.write("app.py", source)
        message = site.error("app:app")
        assert "frames in the middle omitted)" in message
        assert message.count("File ") == 30


class TestDependenciesThatAreMissing:
    def test_a_module_that_is_not_installed_names_the_interpreter(self, site: Site) -> None:
        """Most often it is installed, in another one."""
        site.write("app.py", "import no_such_dependency\n")
        lines = site.error("app:app").splitlines()
        assert lines[0] == (
            "cannot load the app `app:app`: importing app failed: "
            "ModuleNotFoundError: No module named 'no_such_dependency'"
        )
        assert lines[-1] == (
            f"`no_such_dependency` is not installed in this interpreter, {sys.executable}: "
            "is it the one in the app's virtualenv?"
        )

    def test_a_virtualenv_next_to_the_app_is_suggested(self, site: Site) -> None:
        """It is there and was not used."""
        site.write(".venv/pyvenv.cfg", "")
        site.write("app.py", "import no_such_dependency\n")
        assert site.error("app:app").endswith(f"use the one in the virtualenv {site.directory / '.venv'}")

    def test_a_module_of_the_project_nearby_is_a_matter_of_the_path(self, site: Site) -> None:
        """It needs no installing."""
        path = site.write("lib/no_such_dependency.py", "")
        site.write("app.py", "import no_such_dependency\n")
        message = site.error("app:app")
        assert message.endswith(f"Found at {path}: did you mean --pythonpath {site.directory / 'lib'}?")

    def test_the_cause_of_a_wrapped_error_is_explained(self, site: Site) -> None:
        """Django wraps the missing module in its own sentence."""
        site.write(
            "app.py",
            """
            try:
                import no_such_dependency
            except ImportError as exc:
                raise ImportError("is it installed?") from exc
            """,
        )
        assert "`no_such_dependency` is not installed in this interpreter" in site.error("app:app")

    def test_a_missing_part_of_an_installed_package_is_not_called_uninstalled(self, site: Site) -> None:
        """Python's own message has to do."""
        site.write("app.py", "import flask.no_such_part\n")
        assert site.error("app:app").endswith("ModuleNotFoundError: No module named 'flask.no_such_part'")

    def test_the_settings_variable_is_named_when_it_is_what_is_wrong(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A traceback does not show the environment variable."""
        monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shop.setings")
        site.write("shop/__init__.py", "")
        site.write("app.py", "import importlib, os\nimportlib.import_module('shop.setings')\n")
        assert "DJANGO_SETTINGS_MODULE is `shop.setings`: check the name" in site.error("app:app")


class TestNamesThatClash:
    def test_two_modules_that_import_each_other_are_reported(self, site: Site) -> None:
        """Neither is finished when the other asks."""
        site.write("app.py", "from models import Model\ndb = 1\n")
        site.write("models.py", "from app import db\nModel = 1\n")
        message = site.error("app:app")
        assert "Circular import: models.py uses `app` before its import has finished" in message

    def test_a_package_that_imports_from_itself_too_early_is_a_circle(self, site: Site) -> None:
        """Its name is its own, so nothing is hidden."""
        site.write("shop/__init__.py", "from shop import models\nfrom shop.models import db\n")
        site.write("shop/models.py", "from shop import db\n")
        assert " uses `shop` before its import has finished" in site.error("shop:app")

    def test_a_file_that_hides_an_installed_package_is_named(self, site: Site) -> None:
        """The classic: the app is in flask.py."""
        path = site.write("jinja3.py", "from jinja3 import Environment\n")
        message = site.error("jinja3:app")
        assert message.endswith(
            f"{path} imports itself: it has the name of the module it needs. Rename the file."
        )

    def test_a_file_that_hides_a_module_of_the_standard_library_is_named(self, site: Site) -> None:
        """`this` is a module that is not imported before."""
        path = site.write("this.py", "")
        site.write("app.py", "from this import zen\n")
        assert site.error("app:app").endswith(
            f"{path} shadows the module `this`: rename the file."
        )

    def test_a_file_that_hides_an_installed_package_is_named_wherever_it_is_asked_for(
        self, site: Site
    ) -> None:
        """The file is not the one that fails."""
        installed = site.write("site-packages/hidden_one.py", "def part(): ...\n").parent
        path = site.write("hidden_one.py", "")
        site.write("app.py", "import hidden_one\nhidden_one.part()\n")
        sys.path.append(str(installed))
        message = site.error("app:app")
        assert message.endswith(f"{path} shadows the module `hidden_one`: rename the file.")


class TestTargetsThatCannotBeRead:
    @pytest.mark.parametrize(
        ("target", "said"),
        [
            ("app.py", "`app.py` is a file name, not a module. Did you mean `app:app`?"),
            ("shop/wsgi.py", "`shop/wsgi.py` is a file name, not a module. Did you mean `shop.wsgi:application`?"),
            ("./shop/wsgi.py:other", "is a file name, not a module. Did you mean `shop.wsgi:other`?"),
            ("shop/wsgi:application", "is a file name, not a module. Did you mean `shop.wsgi:application`?"),
            ("shop/__init__.py", "is a file name, not a module. Did you mean `shop:create_app()`?"),
            ("missing.py", "`missing.py` is a file name, not a module. Did you mean `missing:app`?"),
        ],
    )
    def test_a_file_name_is_translated(self, site: Site, target: str, said: str) -> None:
        """The file is read for the name of the app in it."""
        site.write("app.py")
        site.write("shop/wsgi.py", "application = print")
        site.write("shop/__init__.py", FACTORY)
        message = site.error(target)
        assert message.startswith(f"cannot load the app `{target}`: ")
        assert message.endswith(said)

    def test_a_file_elsewhere_needs_a_chdir_too(self, site: Site) -> None:
        """A module is sought in the directory, not by its path."""
        path = site.write("../other/app.py").resolve()
        said = f"Did you mean --chdir {path.parent} and `app:app`?"
        assert site.error(str(path)).endswith(said)

    def test_a_directory_is_no_module(self, site: Site) -> None:
        """It is what --chdir is for."""
        site.write("shop/app.py")
        assert f"is a directory. Did you mean --chdir {site.directory / 'shop'}?" in site.error("shop/")

    @pytest.mark.parametrize(
        ("target", "said"),
        [
            ("app:app:app", "it has one colon too many. Did you mean `app:app`?"),
            ("'app:app'", "the quotes are part of the value. Did you mean `app:app`?"),
            ("app:", "nothing follows the colon. Did you mean `app`?"),
            (":app", "there is no module name before the colon."),
            (".app:app", "`.app` is not a module name."),
            ("my app:app", "`my app` is not a module name."),
            ("app:app[0]", "`app[0]` is neither a name nor a call."),
            ("app:create_app()()", "is neither a name nor a call."),
            ("app:1app", "`1app` is neither a name nor a call."),
            ("app:create_app(config)", "the arguments of `create_app(config)` must be literals"),
            ("app:create_app(*[1])", "must be literals"),
            ("app:create_app(**{})", "must be literals"),
            ("app:create_app(debug=True", "is neither a name nor a call."),
        ],
    )
    def test_other_mistakes_are_reported_with_a_correction(self, site: Site, target: str, said: str) -> None:
        """Nothing is imported for a target that cannot be read."""
        site.write("app.py", "raise SystemExit\n")
        message = site.error(target)
        assert message.startswith(f"cannot load the app `{target}`: ")
        assert said in message


class TestNoTarget:
    def test_the_chosen_app_is_loaded_and_the_choice_is_explained(self, site: Site) -> None:
        """The log names what is served."""
        site.write("app.py")
        loaded = site.load()
        assert body(loaded) == b"app"
        assert (loaded.target, loaded.how) == ("app:app", "found app in app.py")

    def test_a_factory_is_called(self, site: Site) -> None:
        """create_app() without arguments is an app."""
        site.write("wsgi.py", FACTORY)
        assert site.load().target == "wsgi:create_app()"

    def test_an_empty_directory_serves_the_demo(self, site: Site) -> None:
        """The first start of all has something to show."""
        loaded = site.load()
        assert loaded.application is demo.app
        assert loaded.target == "twistcorn.demo:app"
        assert loaded.how == (
            f"no --app given and no manage.py, wsgi.py or app.py in {site.directory}: "
            "serving the built-in demo"
        )

    def test_a_failure_says_that_the_app_was_chosen_and_not_named(self, site: Site) -> None:
        """The name in the message is none that the operator wrote."""
        site.write("app.py", f"{APP}\n1 / 0\n")
        start = (
            "cannot load the app `app:app` (no --app given: found app in app.py): importing app failed"
        )
        assert site.error().startswith(start)

    def test_files_without_an_app_are_reported_instead_of_serving_the_demo(self, site: Site) -> None:
        """Something is there, so the demo would be a surprise."""
        site.write("app.py", "import flask\nserver = flask.Flask(__name__)\n")
        assert site.error() == (
            f"cannot load the app: no --app given, and in {site.directory} app.py has no application, app, "
            "create_app() or make_app(). Did you mean --app app:server?"
        )


class TestDjango:
    """Each in its own process, as a process can configure Django only once."""

    MANAGE = """
    import os, sys
    def main():
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
        raise SystemExit("manage.py is not to be run")
    main()
    """
    SETTINGS = "SECRET_KEY = 'x'\nROOT_URLCONF = 'shop.urls'\n"
    WSGI = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    ASGI = "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"

    @pytest.fixture
    def project(self, site: Site) -> Site:
        """A project as `django-admin startproject shop .` leaves it."""
        site.write("manage.py", self.MANAGE)
        site.write("shop/__init__.py", "")
        site.write("shop/urls.py", "urlpatterns = []\n")
        site.write("shop/settings.py", f"{self.SETTINGS}WSGI_APPLICATION = 'shop.wsgi.application'\n")
        site.write("shop/wsgi.py", self.WSGI)
        site.write("shop/asgi.py", self.ASGI)
        return site

    def outcome(self, site: Site, target: str = "", **environ: str) -> list[str]:
        """Type, target and how of what is loaded in a fresh process, or the message."""
        program = (
            "import os, sys\n"
            "from twistcorn.errors import AppLoadError\n"
            "from twistcorn.worker.loading.application import load\n"
            "try:\n"
            "    loaded = load(sys.argv[1], sys.argv[2])\n"
            "    print(type(loaded.application).__name__, loaded.target, loaded.how, sep='\\n')\n"
            "    print(os.environ.get('DJANGO_SETTINGS_MODULE'))\n"
            "except AppLoadError as error:\n"
            "    print(error)\n"
        )
        root = str(Path(hints.__file__).parents[3])
        command = [sys.executable, "-W", "error", "-c", program, target, str(site.directory)]
        environment = {**os.environ, "PYTHONPATH": root, **environ}
        ended = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            env=environment,
            cwd=site.directory,
            timeout=60,
        )
        return ended.stdout.splitlines()

    def test_the_app_is_the_one_of_the_settings_that_manage_py_names(self, project: Site) -> None:
        """manage.py is read, not run."""
        assert self.outcome(project) == [
            "WSGIHandler",
            "shop.wsgi:application",
            "found manage.py: WSGI_APPLICATION in shop.settings",
            "shop.settings",
        ]

    def test_without_wsgi_application_django_makes_the_app(self, project: Site) -> None:
        """The setting is optional in Django."""
        project.write("shop/settings.py", self.SETTINGS)
        assert self.outcome(project) == [
            "WSGIHandler",
            "django.core.wsgi:get_wsgi_application()",
            "found manage.py: shop.settings has no WSGI_APPLICATION",
            "shop.settings",
        ]

    def test_the_variable_of_the_environment_wins(self, project: Site) -> None:
        """As it does with manage.py, and it is said."""
        project.write("shop/live.py", "from shop.settings import *\n")
        how, variable = self.outcome(project, DJANGO_SETTINGS_MODULE="shop.live")[2:]
        assert how == "found manage.py: WSGI_APPLICATION in shop.live, from DJANGO_SETTINGS_MODULE"
        assert variable == "shop.live"

    def test_misspelt_settings_are_reported_with_their_variable(self, project: Site) -> None:
        """The message names what was wrong and who said it."""
        (message,) = self.outcome(project, DJANGO_SETTINGS_MODULE="shop.setings")
        assert message.startswith(
            "cannot load the app (no --app given: found manage.py with DJANGO_SETTINGS_MODULE=shop.setings): "
            "no module named `setings` in the package `shop`"
        )
        assert message.endswith("Did you mean `shop.settings`?")

    def test_settings_that_fail_are_the_apps_failure(self, project: Site) -> None:
        """A setting from the environment is missing."""
        project.write("shop/settings.py", "import os\nSECRET_KEY = os.environ['NO_SUCH_KEY']\n")
        lines = self.outcome(project)
        assert lines[0].endswith("importing shop.settings failed: KeyError: 'NO_SUCH_KEY'")
        assert f'    File "{project.directory}/shop/settings.py", line 2, in <module>' in lines

    def test_a_wsgi_application_without_a_module_is_reported(self, project: Site) -> None:
        """It has to be a dotted name."""
        project.write("shop/settings.py", f"{self.SETTINGS}WSGI_APPLICATION = 'application'\n")
        (message,) = self.outcome(project)
        assert message.endswith(
            "WSGI_APPLICATION in shop.settings is 'application', not the dotted name of an app."
        )

    def test_the_asgi_module_points_to_the_wsgi_module(self, project: Site) -> None:
        """A Django project has both."""
        (message,) = self.outcome(project, "shop.asgi:application", DJANGO_SETTINGS_MODULE="shop.settings")
        assert message.endswith(
            "`application` is an ASGI application; twistcorn serves WSGI. "
            "Did you mean `shop.wsgi:application`?"
        )

    def test_an_asgi_application_without_a_wsgi_module_points_to_djangos_function(
        self, project: Site
    ) -> None:
        """Django can make the other one."""
        (project.directory / "shop/wsgi.py").unlink()
        (message,) = self.outcome(project, "shop.asgi:application", DJANGO_SETTINGS_MODULE="shop.settings")
        assert message.endswith("Django's WSGI app comes from django.core.wsgi.get_wsgi_application().")


def test_inspection_never_fails_for_an_object_that_resists_it() -> None:
    """A proxy that raises for everything counts as unknown."""

    class Proxy:
        def __getattr__(self, name: str) -> Callable[..., object]:
            raise RuntimeError("outside of a request")

        def __call__(self, *args: object) -> None: ...

    assert hints.takes_two(Proxy())
    assert not hints.looks_wsgi(Proxy())
    assert not hints.is_factory("create_app", Proxy())
    assert hints.asynchronous(Proxy()) == ""
