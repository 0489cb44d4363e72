"""The stacks of all threads, as text.

Law: reads what the interpreter shows of its threads, and changes nothing.
"""

from __future__ import annotations

import sys
import threading
import traceback


def format_stacks() -> str:
    """One paragraph for each thread: its name, its native id, and where it is, the innermost call last."""
    frames = sys._current_frames()
    paragraphs = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None:
            lines = "".join(traceback.format_stack(frame))
            paragraphs.append(f"thread {thread.name} ({thread.native_id}):\n{lines}")
    return "\n".join(paragraphs)
