"""What is installed: a wheel, and an editable install, make `twist twistcorn` and `twistcorn` work.

Law: nothing is fetched. setuptools is the one of this environment, and the dependencies are lent by a .pth file:
such a file is not followed further, so that this environment's own install of twistcorn, when it is editable, is
not seen. Each test also asks where what it found came from.
"""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: What a distribution is built from; the rest of the checkout, with what others build in it, stays out of it.
SOURCES = ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "twistcorn", "twisted")

WHERE = "import twistcorn, twisted.plugins.twistcorn_plugin as plugin; print(twistcorn.__file__, plugin.__file__)"


def run(*command: str | Path, cwd: Path) -> str:
    """What a command printed; when it fails, the test does, with all that it said."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def pip(python: str | Path, *arguments: str | Path, cwd: Path) -> None:
    """pip for an environment, with nothing fetched; pip and setuptools themselves may be lent."""
    run(python, "-m", "pip", "-q", *arguments, "--no-deps", "--no-build-isolation", "--no-index", cwd=cwd)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of its own, so that building leaves nothing behind and finds nothing left by others."""
    checkout = tmp_path_factory.mktemp("checkout")
    ignore = shutil.ignore_patterns("__pycache__", "dropin.cache", "*.egg-info")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, checkout / name)
    return checkout


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the tree makes."""
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--wheel-dir", folder, sources, cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a new, empty environment, outside the checkout, that borrows the dependencies."""
    venv.create(tmp_path / "env", symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(packages, "zz_dependencies.pth").write_text("\n".join(sorted(lent)) + "\n")
    return python


def offers_twistcorn(python: Path, cwd: Path) -> None:
    """Both ways to start twistcorn are there."""
    assert re.search(r"^ +twistcorn +\S", run(python, "-m", "twisted", "--help", cwd=cwd), re.MULTILINE)
    assert re.search(r"^ +run +\S", run(python.with_name("twistcorn"), "--help", cwd=cwd), re.MULTILINE)


def origins(python: Path, cwd: Path) -> list[Path]:
    """Where the package and the plugin are imported from."""
    return [Path(word) for word in run(python, "-c", WHERE, cwd=cwd).split()]


@pytest.mark.slow
def test_wheel_in_an_empty_environment(wheel: Path, python: Path, tmp_path: Path) -> None:
    """A wheel installed outside the checkout offers `twist twistcorn` and `twistcorn`."""
    pip(python, "install", "--ignore-installed", wheel, cwd=tmp_path)

    assert all(path.is_relative_to(tmp_path / "env") for path in origins(python, tmp_path))
    offers_twistcorn(python, tmp_path)


@pytest.mark.slow
def test_editable_install_in_an_empty_environment(sources: Path, python: Path, tmp_path: Path) -> None:
    """`pip install -e .` offers the same, from the checkout: Twisted finds the plugin by sys.path."""
    pip(python, "install", "--ignore-installed", "--editable", sources, cwd=tmp_path)

    assert all(path.is_relative_to(sources) for path in origins(python, tmp_path))
    offers_twistcorn(python, tmp_path)


@pytest.mark.slow
def test_contents_of_the_wheel(wheel: Path) -> None:
    """The wheel holds every module, the admin page, the type marker and the plugin, and nothing from beside them."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "twistcorn").rglob("*.py")}

    static = {str(path.relative_to(ROOT)) for path in (ROOT / "twistcorn" / "static").iterdir()}

    assert "twistcorn/static/admin.html" in static
    assert names == modules | static | {"twistcorn/py.typed", "twisted/plugins/twistcorn_plugin.py"}


def test_dependencies_are_declared() -> None:
    """What the package imports from outside is in install_requires: nothing comes by way of something else."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    required = re.findall(r"^[\w.-]+", config["options"]["install_requires"], re.MULTILINE)
    provided = {file.parts[0].removesuffix(".py") for name in required for file in files(name) or ()}

    assert imported_from_outside(ROOT / "twistcorn") - provided == set()


def imported_from_outside(folder: Path) -> set[str]:
    """The top-level packages, neither ours nor the standard library's, that the modules of a folder import."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    return {name.partition(".")[0] for name in names} - {"twistcorn", *sys.stdlib_module_names}
