"""The stacks of all threads, as text.

Law: reads what the interpreter shows of its threads, and changes nothing.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from ...pristine import sys, threading


def format_stacks() -> str:
    """One paragraph for each thread: its name, its native id, and where it is, the innermost call last."""
    return "\n".join(f"thread {name}:\n{lines}" for name, lines in _stacks())


def format_places() -> str:
    """One paragraph for each place where threads are: threads that wait at the same one are told of together."""
    places: dict[str, list[str]] = {}
    for name, lines in _stacks():
        places.setdefault(lines, []).append(name)
    # Where one thread alone is comes last: that is what somebody looks for, and what is kept of a text that is cut.
    crowded_first = sorted(places.items(), key=lambda place: -len(place[1]))
    return "\n".join(
        f"thread{'s' * (len(names) > 1)} {', '.join(names)}:\n{lines}" for lines, names in crowded_first
    )


def _stacks() -> Iterator[tuple[str, str]]:
    """Each thread by name and native id, and its stack."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        try:
            # A subclass of the application's has its own idea of these, and a loader of the source of a module.
            frame = frames.get(thread.ident or 0)
            if frame is not None:
                yield f"{thread.name} ({thread.native_id})", "".join(traceback.format_stack(frame))
        except BaseException as error:
            yield f"{type(thread).__name__} (cannot be shown)", f"  {type(error).__name__}\n"
