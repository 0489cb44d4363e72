"""Command lines and directories as an application finds them, and a start directory that goes away."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.hostile.conftest import COUNTS, HEALTHY, Serve
from tests.hostile.test_spool import MB, upload
from tests.integration.conftest import Start
from tests.integration.harness import Server


def test_application_parses_its_command_line_when_it_is_imported(serve: Serve) -> None:
    """It finds the program's name and nothing more: no option of ours, or of the interpreter."""
    source = "import argparse, sys\nargparse.ArgumentParser().parse_args()\nseen = sys.argv\n" + HEALTHY
    source += "\n    return [repr(seen).encode()]"
    server = serve(source.replace("    return [str(os.getpid()).encode()]\n", "")).ready()
    (name,) = eval(server.get("/"))
    assert name.endswith("cli.py")


def put(folder: Path, text: str) -> Path:
    """An application that answers with a text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(
        f"def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{text}']\n"
    )
    return folder




@pytest.mark.parametrize("become", ["gone", "forbidden", "moved"])
def test_directory_of_the_start(start: Start, tmp_path: Path, become: str) -> None:
    """With an absolute --chdir workers boot whatever has become of it: at a reload, and after a death."""
    here = tmp_path / "here"
    here.mkdir()
    site = put(tmp_path / "code", "served")
    server = start("app:app", "--chdir", str(site), cwd=here).ready()
    if become == "gone":
        here.rmdir()
    elif become == "moved":
        here.rename(tmp_path / "there")
    else:
        here.chmod(0)
    server.send(signal.SIGHUP)
    server.wait_for("reload complete")
    os.kill(server.worker_pids[-1], signal.SIGKILL)
    server.wait_for("is ready", count=3)
    assert server.get("/") == "served"
    if become == "forbidden":
        here.chmod(0o700)


@pytest.mark.slow
@pytest.mark.parametrize("tmpdir", ["tmp", "."])
def test_relative_tmpdir_goes_with_the_directory_of_the_start(start: Start, tmp_path: Path, tmpdir: str) -> None:
    """Workers boot at a reload and after a death, uploads are answered from memory, and the log names the directory."""
    here = tmp_path / "here"
    (here / "tmp").mkdir(parents=True)
    site = tmp_path / "code"
    site.mkdir()
    (site / "app.py").write_text(COUNTS)
    server = start("app:app", "--chdir", str(site), cwd=here, env={"TMPDIR": tmpdir}).ready()
    assert upload(server, 5 * MB) == (200, b"5000000")
    assert not server.seen("cannot write")

    shutil.rmtree(here)
    lost = os.path.normpath(here / tmpdir)
    for number, end in enumerate([lambda: None, lambda: server.send(signal.SIGHUP), lambda: kill(server)]):
        end()
        server.wait_for("is ready", count=1 + number)
        server.wait_for("exited|died", count=number)
        assert upload(server, 5 * MB) == (200, b"5000000")
        assert upload(server, 80 * MB)[0] == 507
        server.wait_for(rf"cannot write request bodies to {re.escape(lost)}: No such file", count=1 + number)
        server.wait_for("507 no space", count=1 + number)
        assert len(server.seen("cannot write")) == len(server.seen("507 no space")) == 1 + number


def kill(server: Server) -> None:
    os.kill(server.worker_pids[-1], signal.SIGKILL)


def test_started_in_a_directory_that_is_gone(start: Start, tmp_path: Path) -> None:
    """An absolute --chdir is enough."""
    here = tmp_path / "here"
    here.mkdir()
    site = put(tmp_path / "code", "served")
    vanish = f"import os, sys; os.rmdir({str(here)!r}); os.execv(sys.argv[1], sys.argv[1:])"
    before = (sys.executable, "-P", "-c", vanish) if sys.version_info >= (3, 11) else (sys.executable, "-c", vanish)
    server = start("app:app", "--chdir", str(site), cwd=here, before=before, env={"PWD": str(here)}).ready()
    assert server.get("/") == "served"


def test_started_in_a_directory_that_is_gone_without_another(start: Start, tmp_path: Path) -> None:
    """The message says which directory, and what to do."""
    here = tmp_path / "here"
    here.mkdir()
    vanish = f"import os, sys; os.rmdir({str(here)!r}); os.execv(sys.argv[1], sys.argv[1:])"
    server = start("app:app", cwd=here, before=(sys.executable, "-c", vanish))
    server.wait_for("directory that the server was started in is gone; set another one with --chdir")
    assert server.exit_code() == 3


@pytest.mark.parametrize("chdir", [(), ("--chdir", "."), ("--chdir", "../current")])
def test_link_leads_to_a_new_release(start: Start, tmp_path: Path, chdir: tuple[str, ...]) -> None:
    """`cd current`, the link switched, HUP: the new release is served."""
    current = tmp_path / "current"
    current.symlink_to(put(tmp_path / "one", "one"))
    server = start("app:app", *chdir, cwd=current, env={"PWD": str(current)}).ready()
    assert server.get("/") == "one"
    put(tmp_path / "two", "two")
    current.unlink()
    current.symlink_to(tmp_path / "two")
    server.send(signal.SIGHUP)
    server.wait_for("reload complete")
    assert server.get("/") == "two"
