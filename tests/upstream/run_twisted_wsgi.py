"""Run Twisted's own tests of `WSGIResource` on ours, and print what failed as JSON.

Law: a program of its own, because those tests spin the global reactor.
"""

from __future__ import annotations

import json
import sys

from twisted.trial import reporter, runner
from twisted.web.test import test_wsgi

from twistcorn.worker.wsgi.resource import WSGIResource


def main() -> None:
    """Every test case of the module, with the class in its place."""
    test_wsgi.WSGIResource = WSGIResource  # type: ignore[attr-defined]
    result = reporter.TestResult()
    runner.TestLoader().loadModule(test_wsgi)(result)
    failed = {test.id().rpartition("test_wsgi.")[2] for test, _ in [*result.failures, *result.errors]}
    print(json.dumps({"run": result.testsRun, "failed": sorted(failed)}))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
