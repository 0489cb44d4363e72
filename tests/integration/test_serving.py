"""What a user has is served with one line: a Flask application, a Django project, the demo."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Start
from tests.integration.harness import clean_environment

FLASK = """\
from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    return "Hello from Flask"
"""

DJANGO_VIEW = """\
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("", lambda request: HttpResponse("Hello from Django"))]
"""

every_front = pytest.mark.parametrize("front", ["run", "twist", "twistd"])
run_and_twist = pytest.mark.parametrize("front", ["run", "twist"])


@pytest.fixture
def flask(tmp_path: Path) -> Path:
    """A Flask application, as its quick start has it."""
    here = tmp_path / "flask"
    here.mkdir()
    (here / "app.py").write_text(FLASK)
    return here


@pytest.fixture(scope="module")
def django(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `django-admin startproject` makes it, with one view."""
    here = tmp_path_factory.mktemp("django")
    command = [sys.executable, "-m", "django", "startproject", "mysite", str(here)]
    subprocess.run(command, check=True, cwd=here, env=clean_environment({}))
    (here / "mysite" / "urls.py").write_text(DJANGO_VIEW)
    return here


@every_front
def test_flask_app_named_on_the_command_line_is_served(start: Start, flask: Path, front: str) -> None:
    """`twistcorn run app:app`, and the same through `twist` and `twistd`, serves a Flask application."""
    target = ["app:app"] if front == "run" else ["--app", "app:app"]
    server = start(*target, "--workers", "2", front=front, cwd=flask).ready(workers=2)
    assert server.get("/") == "Hello from Flask"


@run_and_twist
def test_django_project_found_by_manage_py_is_served(start: Start, django: Path, front: str) -> None:
    """Without --app, next to manage.py, the project's own WSGI application is served, and the log says how."""
    server = start(front=front, cwd=django).ready()
    assert server.get("/") == "Hello from Django"
    server.wait_for(
        r"is ready after [\d.]+ s: mysite\.wsgi:application \(found manage\.py: WSGI_APPLICATION in"
    )


@run_and_twist
def test_django_module_named_from_elsewhere_is_served(
    start: Start, django: Path, tmp_path: Path, front: str
) -> None:
    """`--app mysite.wsgi --chdir DIR` serves a Django project from another directory."""
    server = start("--app", "mysite.wsgi", "--chdir", str(django), front=front, cwd=tmp_path).ready()
    assert server.get("/") == "Hello from Django"


@run_and_twist
def test_demo_is_served_where_there_is_nothing(start: Start, tmp_path: Path, front: str) -> None:
    """Without --app and without anything to serve, the built-in demo answers, and the log says why."""
    server = start(front=front, cwd=tmp_path).ready()
    assert "twist<b>corn</b>" in server.get("/")
    server.wait_for(re.escape("twistcorn.demo:app (no --app given and no manage.py, wsgi.py or app.py in"))


def test_flask_app_loaded_by_a_factory_with_arguments_is_served(start: Start, tmp_path: Path) -> None:
    """`module:factory("argument")` calls the factory in each worker."""
    (tmp_path / "shop.py").write_text(
        "from flask import Flask\n"
        "def create_app(word):\n"
        "    app = Flask(__name__)\n"
        "    app.get('/')(lambda: word)\n"
        "    return app\n"
    )
    server = start("shop:create_app('made')", cwd=tmp_path).ready()
    assert server.get("/") == "made"
