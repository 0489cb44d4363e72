"""A Python with servers in it: what versions it has, and what it lacks and why.

Law: asks an interpreter by running it; installs nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.command import BenchError
from bench.running import clean_environment

LIST_VERSIONS = (
    "import json, importlib.metadata as m; "
    "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
)
INSTALL_HINT = "pip install -e '.[test]'"


@dataclass(frozen=True)
class Installation:
    """One interpreter, the versions of what is installed there, and the reasons for what is not."""

    python: Path
    versions: Mapping[str, str]
    missing: Mapping[str, str] = field(default_factory=dict)

    def version(self, distribution: str) -> str | None:
        """The installed version; names are compared as packaging does."""
        return next((v for name, v in self.versions.items() if same_name(name, distribution)), None)

    def why_missing(self, distribution: str) -> str | None:
        """The reason a distribution cannot be used here, or ``None`` when it can."""
        if distribution in self.missing:
            return self.missing[distribution]
        if self.version(distribution) is None:
            return f"{distribution} is not installed for {self.python}"
        return None


def same_name(one: str, other: str) -> bool:
    """Whether two spellings name the same distribution."""
    return normal_name(one) == normal_name(other)


def normal_name(name: str) -> str:
    """The spelling packaging compares by, near enough for our pins."""
    return name.lower().replace("_", "-").replace(".", "-")


def _ask(python: Path, code: str, apps: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-c", code],
        cwd=apps,
        env=clean_environment(apps),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def installed_versions(python: Path, apps: Path) -> dict[str, str]:
    """All distributions an interpreter finds where the servers run."""
    answer = _ask(python, LIST_VERSIONS, apps)
    if answer.returncode != 0:
        raise BenchError(f"{python} does not run: {answer.stderr.strip()[-200:]}")
    versions: dict[str, str] = json.loads(answer.stdout)
    return versions


def import_failure(python: Path, module: str, apps: Path) -> str | None:
    """The last line of the error an import ends with, or ``None``."""
    answer = _ask(python, f"import {module}", apps)
    if answer.returncode == 0:
        return None
    return (answer.stderr.strip() or f"status {answer.returncode}").splitlines()[-1]


def own_installation(apps: Path) -> Installation:
    """The Python that runs the benchmark, which is to have twistcorn, Flask and Django."""
    python = Path(sys.executable)
    missing: dict[str, str] = {}
    for distribution, module in (("twistcorn", "twistcorn.cli"), ("Flask", "flask"), ("Django", "django")):
        failure = import_failure(python, module, apps)
        if failure is not None:
            missing[distribution] = f"{python} cannot import {module} ({failure}); try: {INSTALL_HINT}"
    return Installation(python, installed_versions(python, apps), missing)
