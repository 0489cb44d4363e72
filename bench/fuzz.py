"""``python -m bench fuzz --minutes N``: the fuzz of the request parser, for longer than a test run has time.

Law: runs the tests of ``tests/http/test_fuzz.py`` with seed after seed; judges nothing itself. A failure prints the
smallest example and the seed that finds it again.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from bench.command import EXIT_INCOMPLETE, Command

CHECKOUT = Path(__file__).parent.parent
TESTS = "tests/http/test_fuzz.py"
#: Examples of one run: short enough to end near the time asked for.
EXAMPLES = 5000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--minutes", type=float, default=5.0, help="how long to go on")
    parser.add_argument("--seed", type=int, help="one run with this seed, to find a failure again")


def fuzz_once(seed: int) -> int:
    """One run with a seed; the exit status of the tests."""
    environment = {**os.environ, "TWISTCORN_FUZZ_EXAMPLES": str(EXAMPLES), "TWISTCORN_FUZZ_SEED": str(seed)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--hypothesis-seed={seed}", TESTS]
    return subprocess.run(command, cwd=CHECKOUT, env=environment, check=False).returncode


def run(options: argparse.Namespace) -> int:
    """Fuzz until the time is over, or something fails."""
    end = time.monotonic() + options.minutes * 60
    runs = 0
    while True:
        seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
        status = fuzz_once(seed)
        runs += 1
        if status != 0:
            print(f"failed; again: python -m bench fuzz --seed {seed}")
            return EXIT_INCOMPLETE
        if options.seed is not None or time.monotonic() > end:
            print(f"{runs} runs of {EXAMPLES} examples, no failure")
            return 0


COMMAND = Command("fuzz", "feed the request parser with almost right requests, h11 beside it", add_arguments, run)
