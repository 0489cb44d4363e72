"""`python -m twistcorn`: the console script, where it is not on the PATH or another interpreter shall run it."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
