"""What the admin endpoint answers: the page, its events, the metrics, health, and the actions.

Law: one table of routes gives each path its methods and the role it needs. A wrong path, method or token gets one plain
line and changes nothing; every change goes through `operations`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from ...errors import HTTPError, OperationError
from ...logs.logger import Logger
from ..control.operations import Operations
from .feed import Feed
from .guard import ACTION_HEADER, Guard, Role, Shown
from .http_server import JSON, Visit, answer, begin, refuse

HTML = "text/html; charset=utf-8"

Handler = Callable[[Visit], int]


@dataclass(frozen=True)
class Page:
    """A path.

    :ivar role: what its sender must be; `methods`: what answers each.
    """

    role: Role
    methods: dict[bytes, Handler]


class PageSource(Protocol):
    """Where the answers come from (`admin.Admin`)."""

    @property
    def operations(self) -> Operations | None:
        """The verbs; None before the server has started, and after it has ended."""

    def health(self, name: str) -> tuple[bool, str]:
        """Whether the server is live, ready or started up, and what it says of it."""

    def scrape(self, accept: str) -> Deferred[tuple[str, bytes]]:
        """The metrics, in the format that is accepted: its type, and they."""

    def past(self) -> bytes:
        """The samples of the last 15 minutes, as JSON."""

    def events(self) -> bytes:
        """What a new reader is sent first."""


class Pages(Resource):
    """All paths.

    :param cookie: the name of the cookie, which no other server on this host has.
    """

    isLeaf = True
    log = Logger()

    def __init__(self, source: PageSource, guard: Guard, feed: Feed, cookie: str) -> None:
        super().__init__()
        self._source = source
        self._guard = guard
        self._feed = feed
        self._cookie = cookie
        folder = files("twistcorn") / "static"
        self._files = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
        self._routes = {
            b"/": self._get(Role.NOBODY, self._page),
            b"/admin.css": self._get(Role.NOBODY, lambda visit: answer(visit, self._files["admin.css"], "text/css")),
            b"/admin.js": self._get(
                Role.NOBODY, lambda visit: answer(visit, self._files["admin.js"], "text/javascript")
            ),
            b"/charts.js": self._get(
                Role.NOBODY, lambda visit: answer(visit, self._files["charts.js"], "text/javascript")
            ),
            b"/login": Page(Role.NOBODY, {**self._get(Role.NOBODY, self._form).methods, b"POST": self._log_in}),
            b"/events": self._get(Role.READER, self._events),
            b"/history": self._get(Role.READER, lambda visit: answer(visit, self._source.past(), JSON)),
            b"/metrics": self._get(Role.READER, self._metrics),
            b"/actions/reload": Page(Role.ACTOR, {b"POST": self._reload}),
            b"/actions/scale": Page(Role.ACTOR, {b"POST": self._scale}),
            b"/actions/recycle": Page(Role.ACTOR, {b"POST": self._recycle}),
            **{f"/{name}".encode(): self._get(Role.NOBODY, self._health) for name in ("livez", "readyz", "startupz")},
        }

    @staticmethod
    def _get(role: Role, handler: Handler) -> Page:
        return Page(role, {b"GET": handler, b"HEAD": handler})

    def render(self, request: Any) -> int:
        """Answer a request."""
        visit: Visit = request
        try:
            return self._find(visit)(visit)
        except HTTPError as error:
            return refuse(visit, error, **_fields_of(error, self._routes.get(visit.path)))
        except OperationError as error:
            return refuse(visit, HTTPError(409, str(error)))

    def _find(self, visit: Visit) -> Handler:
        """What answers a request that may be made."""
        route = self._routes.get(visit.path)
        if route is None:
            raise HTTPError(404, "not found")
        handler = route.methods.get(visit.method)
        if handler is None:
            raise HTTPError(405, f"method not allowed: expected {_allowed(route)}")
        shown = self._shown(visit)
        if visit.path not in _FOR_ALL and not self._guard.knows_host(shown.host):
            raise HTTPError(
                403, "host not allowed: use localhost or the IP address, or set --admin-token"
            )
        if self._guard.role(shown) < route.role:
            raise self._refusal(shown, route.role)
        return handler

    def _refusal(self, shown: Shown, needed: Role) -> HTTPError:
        """Why a sender may not."""
        if needed is Role.READER:
            what = "invalid token" if shown.authorization else "token required"
            return HTTPError(401, f"{what}: send Authorization: Bearer TOKEN, or log in at /login")
        if not self._guard.allows_actions:
            return HTTPError(403, "read-only: the server has no --admin-action-token")
        if self._guard.remembers(shown.cookie) is Role.ACTOR:
            return HTTPError(403, f"an action by cookie needs the header {ACTION_HEADER} and the same origin")
        return HTTPError(403, "action token required")

    def _shown(self, visit: Visit) -> Shown:
        cookie = visit.getCookie(self._cookie.encode()) or b""
        return Shown(
            host=visit.field("Host"),
            authorization=visit.field("Authorization"),
            cookie=cookie.decode("latin-1"),
            origin=visit.field("Origin"),
            marked=bool(visit.field(ACTION_HEADER)),
        )

    # Reading

    def _page(self, visit: Visit) -> int:
        token = visit.argument("token")
        if token:
            # No redirect: after a link from another site the browser would not send the cookie (SameSite).
            page = b'<!doctype html><meta http-equiv="refresh" content="0; url=./"><title>twistcorn</title>'
            return answer(visit, page, HTML, Set_Cookie=self._remember(token))
        shown = self._shown(visit)
        if self._guard.role(shown) is Role.NOBODY:
            if "text/html" in visit.field("Accept"):
                return self._form(visit, 401)
            raise self._refusal(shown, Role.READER)
        may_act = self._guard.remembers(shown.cookie) is Role.ACTOR
        actions = "allowed" if may_act else "locked" if self._guard.allows_actions else "none"
        return answer(visit, self._files["admin.html"].replace(b"@ACTIONS@", actions.encode()), HTML)

    def _form(self, visit: Visit, status: int = 200) -> int:
        return answer(visit, self._files["login.html"], HTML, status)

    def _log_in(self, visit: Visit) -> int:
        if not self._guard.is_same_origin(self._shown(visit)):
            raise HTTPError(403, "cross-origin log-in refused")
        cookie = self._remember(visit.argument("token"))
        return answer(visit, "", status=303, Location="./", Set_Cookie=cookie)

    def _remember(self, token: str) -> str:
        """The cookie for a token."""
        role = self._guard.role_of_token(token)
        if role is Role.NOBODY:
            raise HTTPError(403, "invalid token")
        return f"{self._cookie}={self._guard.cookie(role)}; Path=/; HttpOnly; SameSite=Strict"

    def _health(self, visit: Visit) -> int:
        good, text = self._source.health(visit.path[1:].decode())
        return answer(visit, f"{text}\n", status=200 if good else 503)

    def _events(self, visit: Visit) -> int:
        self._operations()
        if self._feed.is_full:
            raise HTTPError(503, "too many readers of the event feed")
        begin(visit, "text/event-stream", X_Accel_Buffering="no")
        if visit.method == b"HEAD":
            visit.finish()
        else:
            self._feed.add_reader(visit, self._source.events())
        return int(NOT_DONE_YET)

    def _metrics(self, visit: Visit) -> int:
        self._operations()
        scraped = self._source.scrape(visit.field("Accept"))
        _whenever(visit, scraped, lambda found: answer(visit, found[1], found[0]), self._failed)
        return int(NOT_DONE_YET)

    # Actions

    def _operations(self) -> Operations:
        operations = self._source.operations
        if operations is None:
            raise HTTPError(503, "the server is not running")
        return operations

    def _reload(self, visit: Visit) -> int:
        operations = self._operations()

        def over(problem: str) -> int:
            if problem:
                return refuse(visit, HTTPError(409, problem))
            last = operations.insight.last_reload()
            left_out = ", ".join(f"--{name}" for name in last["needs_restart"]) if last else ""
            return answer(visit, "reloaded" + (f"; not applied until a restart: {left_out}" if left_out else "") + "\n")

        _whenever(visit, operations.reload(), over, self._failed)
        return int(NOT_DONE_YET)

    def _scale(self, visit: Visit) -> int:
        target = self._operations().scale(_number(visit, "workers"))
        return answer(visit, f"worker target set to {target}\n")

    def _recycle(self, visit: Visit) -> int:
        ident = _number(visit, "worker")
        self._operations().recycle(ident)
        return answer(visit, f"replacing worker {ident}\n")

    def _failed(self, visit: Visit, failure: Failure) -> None:
        """An error in this server."""
        self.log.failure("internal error on the admin endpoint, at {path}", failure=failure, path=visit.path)
        refuse(visit, HTTPError(500, "internal error; see the server log"))


#: Health checks, answered whatever the field Host says.
_FOR_ALL = (b"/livez", b"/readyz", b"/startupz")


def _whenever(
    visit: Visit,
    deferred: Deferred[Any],
    then: Callable[[Any], int],
    failed: Callable[[Visit, Failure], None],
) -> None:
    """Answer when the Deferred fires, unless the client has left."""
    gone: list[bool] = []
    visit.notifyFinish().addErrback(lambda _: gone.append(True))
    deferred.addCallback(lambda result: None if gone else then(result))
    deferred.addErrback(lambda failure: None if gone else failed(visit, failure))


def _number(visit: Visit, name: str) -> int:
    text = visit.argument(name)
    # `isdecimal` alone lets other scripts' digits pass, and a long one is no number of workers.
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise HTTPError(400, f"{name} is missing or not a number: send the form field {name}=N")
    return int(text)


def _allowed(route: Page) -> str:
    return ", ".join(method.decode() for method in route.methods)


def _fields_of(error: HTTPError, route: Page | None) -> dict[str, str]:
    """What an error says besides its line (RFC 9110 sections 15.5.6 and 11.6.1)."""
    if error.status == 405 and route is not None:
        return {"Allow": _allowed(route)}
    return {"WWW_Authenticate": 'Bearer realm="twistcorn"'} if error.status == 401 else {}
