"""Twisted's own tests of the WSGI resource pass on ours, but for differences that are meant.

Law: every difference is named here with its reason; one that is not named, or is there no more, fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("run_twisted_wsgi.py")

ONCE = "PEP 3333: start_response a second time without exc_info is a fatal error; the stock resource takes the last"
FINAL = "RFC 9110 15.2: an informational status ends nothing; the stock resource sends 100 and 107 as answers"
DIFFERENCES = {
    "ApplicationTests.test_applicationCloseException": "what close() raises is logged; the answer is whole, and the"
    " connection goes on",
    "StartResponseTests.test_applicationProvidedServerAndDate": "an application's own Server and Date are kept",
    "StartResponseTests.test_multipleStartResponse": ONCE,
    "StartResponseTests.test_writeAcceptsOnlyByteStrings": f"its error handler calls start_response again. {ONCE}",
    "StartResponseTests.test_startResponseWithException": FINAL,
    "StartResponseTests.test_status": FINAL,
    "StartResponseTests.test_write": FINAL,
    "WSGIResourceTests.test_applicationAndRequestThrow": "the application's exception is logged too, not only ours",
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What Twisted's tests said."""
    folder = tmp_path_factory.mktemp("trial")
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], cwd=folder, capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_all_of_twisteds_tests_are_run(outcome: Any) -> None:
    """The module has its hundred tests."""
    assert outcome["run"] >= 100


def test_only_the_differences_that_are_meant_fail(outcome: Any) -> None:
    """What fails is what is listed here, no more and no less."""
    assert set(outcome["failed"]) == set(DIFFERENCES)
