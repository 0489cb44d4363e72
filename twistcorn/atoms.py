"""The format of the access log: what an operator writes, taken apart.

Law: pure. Knows the names of the atoms; `logs.lines` knows what they mean for a request. A format that parses can be
written for every request.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: Atoms of Apache's formats, by the letters that Gunicorn gives them.
CLASSIC = tuple("hlutrmUqHsBbfaTMDLp")
#: Ours: the worker's number; seconds in the queue, in the application, and waiting for the client; which attempt it is;
#: the request's id; how the answer ended (Apache's %X).
OWN = ("worker", "queue", "app", "write", "attempt", "id", "X")

_COMBINED = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
#: Formats with a name; `json` is one, too, and no text.
NAMED = {
    "combined": _COMBINED,
    "extended": f"{_COMBINED} %(id)s worker=%(worker)s attempt=%(attempt)s queue=%(queue)s app=%(app)s"
    " write=%(write)s end=%(X)s",
}
JSON = "json"

_TOKEN = re.compile(r"%(?:%|\(\{([^{}]+)\}([ioe])\)s|\((\w+)\)s)|(%)")


class Atom(NamedTuple):
    """One piece of a format.

    :ivar kind: `text` as it stands; `atom` by name; `i` a field of the request, `o` one of the response, `e` a variable
        of the environ, each by name.
    """

    kind: str
    name: str


def parse(text: str) -> list[Atom]:
    """The pieces of a format, or of one with a name.

    :raises ValueError: naming the fault.
    """
    text = NAMED.get(text, text)
    found: list[Atom] = []
    last = 0
    for token in _TOKEN.finditer(text):
        found.append(Atom("text", text[last : token.start()]))
        last = token.end()
        key, kind, name, wrong = token.groups()
        if wrong or (name and name not in CLASSIC and name not in OWN):
            problem = f"unknown atom %({name})s" if name else "a literal % is written %%"
            raise ValueError(f"{', '.join(NAMED)}, {JSON} or a format: {problem}; see docs/logging.md")
        found.append(Atom(kind, key) if kind else Atom("atom", name) if name else Atom("text", "%"))
    found.append(Atom("text", text[last:]))
    return [piece for piece in found if piece.name]


def access_format(text: str) -> str:
    """A format as an option takes it: checked, and kept as it is written."""
    if not text.strip() or not text.isprintable():
        raise ValueError(f"{', '.join(NAMED)}, {JSON} or a format of one printable line; see docs/logging.md")
    parse(text)
    return text
