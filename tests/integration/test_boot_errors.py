"""The application that cannot be found: exit code 3 and one message that says what to do."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.integration.conftest import Start, put_probe
from tests.integration.gate import Gate
from tests.integration.harness import Server

FILES = {
    "factory.py": "def create_app():\n    return lambda environ, start_response: []\n",
    "asgi.py": "async def application(scope, receive, send):\n    pass\n",
    "broken.py": "def connect():\n    raise LookupError('no database')\n\n\nconnect()\n",
    "lacking.py": "import no_such_library\n",
    "leaving.py": "import sys\n\nsys.exit('not today')\n",
    "syntax.py": "def app(:\n",
    "value.py": "app = 42\n",
}


@pytest.fixture
def site(folder: Path) -> Path:
    """A directory with applications that do not work, next to one that does."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def told(server: Server) -> str:
    """What the operator reads on standard error, once the program ended with 3."""
    assert server.exit_code() == 3
    text = "\n".join(server.errors)
    assert text.count("twistcorn: ") == 1, text
    # No frame of ours, and no address that was served for a moment.
    assert "twistcorn/worker" not in text
    assert "twistcorn/master" not in text
    assert not server.seen("serving on")
    return text


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("ap:app", "Did you mean `app:app`?", id="misspelt module"),
        pytest.param("app:ap", "Did you mean `app:app`?", id="misspelt name"),
        pytest.param("app.py", "`app.py` is a file name, not a module. Did you mean `app:app`?", id="file name"),
        pytest.param(
            "factory:create_app",
            "`create_app` is a factory: did you mean `factory:create_app()`?",
            id="factory",
        ),
        pytest.param("asgi:application", "ASGI application", id="ASGI"),
        pytest.param("nothing_like_it", "no module named `nothing_like_it` in", id="no such module"),
        pytest.param("value:app", "`app` is an `int`, which cannot be called", id="not callable"),
        pytest.param(
            "lacking", "`no_such_library` is not installed in this interpreter", id="missing library"
        ),
        pytest.param("leaving", "Importing it calls exit()", id="exits"),
        pytest.param("syntax", "SyntaxError", id="syntax error"),
    ],
)
def test_app_that_cannot_be_found_is_3_and_one_message(
    start: Start, site: Path, target: str, expected: str
) -> None:
    """`twistcorn run TARGET` ends with 3 and says on standard error what was meant, and where it looked."""
    text = told(start(target, tracebacks=True))
    assert f"cannot load the app `{target}`" in text
    assert expected in text


def test_directory_that_was_searched_is_named(start: Start, site: Path) -> None:
    """The message for a module that is not there names the directory."""
    assert f"in {site} " in told(start("nothing_like_it"))


def test_app_whose_import_raises_shows_its_own_traceback(start: Start, site: Path) -> None:
    """The application's frames are shown, down to the line that raised, and nobody else's."""
    text = told(start("broken:app", tracebacks=True))
    assert "importing broken failed: LookupError: no database" in text
    assert f'File "{site}/broken.py", line 5' in text
    assert f'File "{site}/broken.py", line 2, in connect' in text
    assert text.count('File "') == 2
    assert "importlib" not in text


def test_missing_directory_is_3(start: Start, tmp_path: Path) -> None:
    """--chdir to a directory that is not there names it."""
    missing = tmp_path / "missing"
    assert f"--chdir {missing}: No such file or directory" in told(start("app:app", "--chdir", str(missing)))


@pytest.mark.parametrize("front", ["twist", "twistd"])
def test_app_that_cannot_be_found_ends_twist_the_same(start: Start, front: str) -> None:
    """`twist` and `twistd` end with the same code and the same message."""
    server = start("--app", "ap:app", front=front)
    assert server.exit_code() == 3
    assert len(server.seen("twistcorn: cannot load the app `ap:app`")) == 1
    server.wait_for(r"Did you mean `app:app`\?$")


def test_app_that_does_not_finish_booting_is_3(start: Start, folder: Path, gate: Gate) -> None:
    """An application that is not loaded within --boot-timeout is killed, and the message says so."""
    put_probe(folder, end='wait("import")')
    server = start("app:app", "--boot-timeout", "2s", "--workers", "2")
    gate.visitor("import").wait_for_end()
    assert "was killed: app not imported within --boot-timeout 2 s" in told(server)


def test_app_that_crashes_at_boot_is_3(start: Start, folder: Path) -> None:
    """An application that kills its process while it is imported is reported with the signal."""
    put_probe(folder, end="os.kill(os.getpid(), 11)")
    assert "died while booting: SIGSEGV" in told(start("app:app"))


def test_unix_socket_is_gone_when_the_app_cannot_boot(start: Start, tmp_path: Path) -> None:
    """What was bound before the application was tried is taken away again."""
    path = tmp_path / "http.sock"
    told(start("ap:app", listen=("--listen", f"unix:{path}")))
    assert not path.exists()


@pytest.mark.slow
def test_replacement_that_cannot_boot_is_tried_again_at_growing_intervals(start: Start, folder: Path) -> None:
    """While the code on disk fails to boot the other worker serves on; once it does the pool is whole again."""
    server = start("app:app", "--workers", "2", tracebacks=True).ready(2)
    killed, other = server.worker_pids
    put_probe(folder, "two", end='raise LookupError("no such table")')
    since = server.mark()
    os.kill(killed, signal.SIGKILL)
    server.wait_for(r"failed to boot: .* LookupError: no such table", since=since, count=3)
    moments = [
        moment for line, moment in zip(server.lines, server.times, strict=True) if "failed to boot" in line
    ]
    # 0.5 s and 1 s, less what reading the log may be late.
    assert moments[1] - moments[0] > 0.4
    assert moments[2] - moments[1] > 0.9
    assert {server.get("/who") for _ in range(4)} == {f"one {other}"}
    put_probe(folder, "three")
    server.wait_for(r"is ready", since=since)
    assert {server.get("/version") for _ in range(4)} == {"one", "three"}


def test_connections_wait_while_no_worker_is_ready(start: Start, folder: Path) -> None:
    """With the only worker dead and code that does not boot, clients wait, and are answered once it does."""
    server = start("app:app", tracebacks=True).ready()
    put_probe(folder, "two", end='raise LookupError("no such table")')
    os.kill(server.worker_pids[0], signal.SIGKILL)
    server.wait_for("failed to boot")
    clients = [server.connect() for _ in range(20)]
    for client in clients:
        client.ask("/version")
    put_probe(folder, "three")
    assert {client.response().body for client in clients} == {b"three"}
