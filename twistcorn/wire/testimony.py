"""The signal by which the master asks a worker for the stacks of its threads.

Law: a number. faulthandler answers it in C, into the last-words file, even if no Python code can run.
"""

from __future__ import annotations

from ..pristine import signal

#: A real-time signal, because all others have a meaning; near the end of the range, where collisions are unlikely.
TESTIFY = int(signal.SIGRTMAX) - 2
