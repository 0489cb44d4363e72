"""The stacks of all threads, as text.

Law: reads the interpreter's threads, and changes nothing.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from ...pristine import sys, threading


def format_stacks() -> str:
    """One paragraph per thread: name, native id and stack, the innermost call last."""
    return "\n".join(f"thread {name}:\n{lines}" for name, lines in _stacks())


def format_places() -> str:
    """One paragraph per distinct stack, with all threads that have it."""
    places: dict[str, list[str]] = {}
    for name, lines in _stacks():
        places.setdefault(lines, []).append(name)
    # Stacks of a single thread come last: they matter most, and a cut text keeps its end.
    crowded_first = sorted(places.items(), key=lambda place: -len(place[1]))
    return "\n".join(
        f"thread{'s' * (len(names) > 1)} {', '.join(names)}:\n{lines}" for lines, names in crowded_first
    )


def _stacks() -> Iterator[tuple[str, str]]:
    """Each thread by name and native id, and its stack."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        try:
            # A Thread subclass of the application, or the loader of a module's source, may raise here.
            frame = frames.get(thread.ident or 0)
            if frame is not None:
                yield f"{thread.name} ({thread.native_id})", "".join(traceback.format_stack(frame))
        except BaseException as error:
            yield f"{type(thread).__name__} (cannot be shown)", f"  {type(error).__name__}\n"
