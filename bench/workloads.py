"""The workloads: which application, what is asked of it, and what becomes of the connection after a response.

Law: a table and its types; starts nothing, measures nothing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

#: The part of a mixed load that is slow, and where it is asked for: `bench/apps/wait.py`.
SLOW_SHARE = 0.1
SLOW_PATH = "/20"


class Persistence(enum.Enum):
    """What the client asks for after each response."""

    KEEP_ALIVE = "keep-alive"
    CLOSE = "close"


class Slow(enum.Enum):
    """What a tenth of the load is a tenth of.

    ``CONNECTIONS``: some connections ask slow requests and nothing else, so that slow ones hold as many threads as
    there are such connections, and the others ask as fast as they are answered. ``REQUESTS``: each request on each
    connection, by lot; soon there is a slow one on nearly every connection, and in every thread.
    """

    CONNECTIONS = "connections"
    REQUESTS = "requests"


@dataclass(frozen=True)
class Case:
    """One application and what is asked of it.

    :ivar needs: the distribution that the application imports.
    :ivar content: the request's body; with one the request is a POST of JSON.
    :ivar slow: which part of the load asks for :data:`SLOW_PATH` instead, whose answer is the same.
    """

    name: str
    module: str
    body: bytes
    needs: str | None = None
    path: str = "/"
    content: bytes = b""
    slow: Slow | None = None


@dataclass(frozen=True)
class Workload:
    """One case under one kind of connection."""

    case: Case
    persistence: Persistence
    name: str = field(init=False)

    def __post_init__(self) -> None:
        suffix = self.persistence.value.replace("-", "")
        object.__setattr__(self, "name", f"{self.case.name}-{suffix}")

    @property
    def method(self) -> str:
        """Of each request."""
        return "POST" if self.case.content else "GET"

    @property
    def headers(self) -> dict[str, str]:
        """The request headers; HTTP/1.1 needs none to keep a connection alive."""
        found = {"Content-Type": "application/json"} if self.case.content else {}
        if self.persistence is Persistence.CLOSE:
            found["Connection"] = "close"
        return found

    @property
    def paths(self) -> tuple[str, ...]:
        """Where requests go: the common path, and the slow one if there is one."""
        return (self.case.path, SLOW_PATH) if self.case.slow else (self.case.path,)

    def request(self, path: str) -> bytes:
        """One request as it is sent."""
        content = self.case.content
        headers = {
            "Host": "bench",
            **self.headers,
            **({"Content-Length": str(len(content))} if content else {}),
        }
        lines = [f"{self.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + content


GREETING = b"Hello, World!\n"
ROWS = 12
#: What `bench/apps/django_page.py` makes of its template and its rows.
PAGE = (
    "<!doctype html>\n<title>Entries</title>\n<h1>Entries</h1>\n<table>\n"
    + "".join(f"<tr><td>{n}</td><td>Entry {n} &lt;of {ROWS}&gt;</td></tr>\n" for n in range(1, ROWS + 1))
    + "</table>\n"
).encode()
#: What is posted, and what `bench/apps/json_post.py` answers.
ORDER = b'{"name": "bench", "items": [{"price": 3, "count": 2}, {"price": 5, "count": 7}], "paid": true}'
RECEIPT = b'{"name": "bench", "items": 2, "total": 41}'

CASES = (
    Case("hello", "hello", GREETING),
    Case("10k", "large", b"x" * 10240),
    Case("flask", "flask_hello", GREETING, needs="Flask"),
    Case("django", "django_page", PAGE, needs="Django"),
    Case("json", "json_post", RECEIPT, content=ORDER),
    Case("wait1ms", "wait", GREETING, path="/1"),
    Case("wait20ms", "wait", GREETING, path=SLOW_PATH),
    Case("mixed", "wait", GREETING, slow=Slow.CONNECTIONS),
    Case("saturated", "wait", GREETING, slow=Slow.REQUESTS),
)

WORKLOADS = tuple(Workload(case, persistence) for persistence in Persistence for case in CASES)
