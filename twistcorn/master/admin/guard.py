"""Access to the admin endpoint: who may read, who may act.

Law: pure. Decides from the fields of a request; keeps no session. Tokens are compared in constant time. A cookie holds
a code made from the token, never the token: browsers send cookies to every port of a host, the application's too.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Host and port as in the field Host (RFC 9110 section 7.2).
_HOST = re.compile(r"(?P<name>\[[^]]*\]|[^:]*)(:\d*)?")

#: A form cannot send this field and a script of another origin may not: what acts by a cookie has to show it.
ACTION_HEADER = "X-Twistcorn"


class Role(enum.IntEnum):
    """What a client may do; each role includes the ones before it."""

    NOBODY = 0
    READER = 1
    ACTOR = 2


@dataclass(frozen=True)
class Shown:
    """What a request shows of who sent it: the values of its fields, empty where there is none.

    :ivar marked: whether the field `ACTION_HEADER` is there.
    """

    host: str = ""
    authorization: str = ""
    cookie: str = ""
    origin: str = ""
    marked: bool = False


class Guard:
    """Knows the tokens.

    :param token: the token for reading; empty: none is needed.
    :param action_token: the token for actions; empty: no actions.
    :param names: of the host, besides those of the loopback interface, that a browser may have used when nothing has
        to be shown (against DNS rebinding: a page elsewhere whose name comes to mean this address); None: any.
    """

    def __init__(self, token: str, action_token: str, names: Iterable[str] | None = ()) -> None:
        self._token = token
        self._action_token = action_token
        self._names = None if names is None else {name.strip("[]").lower() for name in names if name}

    @property
    def allows_actions(self) -> bool:
        """Whether there is a token for actions."""
        return bool(self._action_token)

    @property
    def is_open(self) -> bool:
        """Whether nothing has to be shown for reading."""
        return not self._token

    def knows_host(self, host: str) -> bool:
        """Whether a request was meant for this server, by its field Host."""
        if self._names is None or not self.is_open:
            return True
        found = _HOST.fullmatch(host)
        name = found["name"].strip("[]").lower() if found is not None else ""
        return name == "localhost" or is_loopback(name) or name in self._names

    def role_of_token(self, token: str) -> Role:
        """What a token opens."""
        if _same(token, self._action_token):
            return Role.ACTOR
        return Role.READER if _same(token, self._token) else Role.NOBODY

    def role(self, shown: Shown) -> Role:
        """What the sender of a request may do."""
        scheme, _, token = shown.authorization.partition(" ")
        by_token = self.role_of_token(token.strip()) if scheme.lower() == "bearer" else Role.NOBODY
        by_cookie = self._role_of_cookie(shown.cookie)
        if by_cookie is Role.ACTOR and by_token is not Role.ACTOR and not self._is_own(shown):
            by_cookie = Role.READER
        return max(by_token, by_cookie, Role.READER if self.is_open else Role.NOBODY)

    def remembers(self, cookie: str) -> Role:
        """What the page may offer to the holder of a cookie."""
        return self._role_of_cookie(cookie)

    def _role_of_cookie(self, cookie: str) -> Role:
        if _same(cookie, self.cookie(Role.ACTOR)):
            return Role.ACTOR
        return Role.READER if _same(cookie, self.cookie(Role.READER)) else Role.NOBODY

    def _is_own(self, shown: Shown) -> bool:
        """Whether our own page sent it: SameSite lets the other ports of this host pass."""
        return shown.marked and self.is_same_origin(shown)

    def is_same_origin(self, shown: Shown) -> bool:
        """Whether no page of another origin sent it, as far as the browser says."""
        return shown.origin in ("", f"http://{shown.host}", f"https://{shown.host}")

    def cookie(self, role: Role) -> str:
        """The cookie for a role; empty where there is no token for it."""
        token = self._action_token if role is Role.ACTOR else self._token
        if not token:
            return ""
        return hmac.new(token.encode(), f"twistcorn admin {role.name}".encode(), hashlib.sha256).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether an IP address is of this machine alone."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _same(given: str, wanted: str) -> bool:
    """In constant time; what is empty is never the same."""
    equal = hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode("utf-8", "surrogateescape"))
    return equal and bool(wanted)
