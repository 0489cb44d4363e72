"""The signal by which the master asks a worker's threads where they are.

Law: a number. faulthandler answers it in C, into the file for the last words, also where no Python code can run.
"""

from __future__ import annotations

from ..pristine import signal

#: A real-time signal, because all others have a meaning to somebody; near the end of them, where nobody looks.
TESTIFY = int(signal.SIGRTMAX) - 2
