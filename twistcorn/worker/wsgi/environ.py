"""The WSGI environ of a request (PEP 3333, "environ Variables").

Law: pure: everything comes from the request, the listener and the settings. A client can set HTTP_* variables and those
that PEP 3333 takes from the request, and nothing else.
"""

from __future__ import annotations

import io
import itertools
import re
import secrets
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from ... import __version__
from ...errors import HTTPError
from ...settings import Settings
from ..http.forwarded import Trust, client_of
from ..http.request import HeaderBlock, Request, RequestLine
from ..loop.addresses import Address
from .files import FileWrapper

#: Cached variable names; bounded, because clients choose the names.
_NAMES_LIMIT = 1024
#: Fields that proxies set, in the order of `forwarded.client_of`.
_FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST")
_NO_BODY = io.BytesIO
#: A request id from outside goes into logs: accept only plain ids.
_IDENT = re.compile(r"[A-Za-z0-9._\-+/=]{1,128}")


class _Errors:
    """`wsgi.errors`: the current sys.stderr, which the app may have replaced."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def writelines(self, lines: list[str]) -> None:
        sys.stderr.writelines(lines)

    def flush(self) -> None:
        sys.stderr.flush()


@dataclass(frozen=True)
class _Shared:
    """The shared part of the environ of requests with the same header fields.

    :ivar environ: the variables.
    :ivar from_peer: whether the client is the peer, not one that a proxy reported.
    :ivar script_name: SCRIPT_NAME, from the settings or a proxy.
    :ivar ident: the request's id, if it came with one.
    :ivar told: whether this depends on the peer, because proxy fields are present.
    """

    environ: dict[str, Any]
    from_peer: bool
    script_name: str
    ident: str
    told: bool


class EnvironMaker:
    """Makes environs for one listener.

    :param worker: the worker's number, for the app's own logs.
    """

    def __init__(self, settings: Settings, address: Address, worker: int, threads: int, workers: int) -> None:
        self._unix = address.port == 0
        self._script_name = settings.script_name
        #: The field in which trusted proxies send SCRIPT_NAME; empty: none.
        self._mount = settings.script_name_header.lower().encode()
        self._trust = Trust(settings.forwarded_allow_ips)
        self._underscores = settings.header_map
        self._names: dict[bytes, str] = {}
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._template: dict[str, Any] = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": _Errors(),
            "wsgi.multithread": threads > 1,
            "wsgi.multiprocess": workers > 1,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "wsgi.file_wrapper": FileWrapper,
            "twistcorn.worker": worker,
            "twistcorn.attempt": 1,
            "twistcorn.queue_time": 0.0,
            "SERVER_SOFTWARE": f"twistcorn/{__version__}",
            "SERVER_NAME": "localhost" if self._unix else address.host,
            "SERVER_PORT": str(address.port or 80),
        }

    def make(self, request: Request, peer: tuple[str, str]) -> dict[str, Any]:
        """Build the environ of one request.

        :param peer: address and port of the client; empty for a peer on a UNIX socket.
        :raises HTTPError: 500 when the path is not under SCRIPT_NAME, as Gunicorn does; 400 for a name with an
            underscore, when those are refused.
        """
        made = request.made
        if made is None or made[0] is not self:
            made = self._make_template(request, peer[0])
        environ: dict[str, Any] = made[1].copy()
        if made[2]:
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = peer
        environ["twistcorn.request_id"] = made[3] or f"{self._prefix}-{next(self._numbers):x}"
        body = request.body
        if body.__class__ is bytes:
            environ["wsgi.input"] = _NO_BODY(body)
        else:
            environ["wsgi.input"] = body.file
            if request.block.length < 0 <= request.length:
                # Without a length, most frameworks silently read nothing.
                environ["CONTENT_LENGTH"] = str(request.length)
        return environ

    def _make_template(self, request: Request, peer: str) -> tuple[EnvironMaker, dict[str, Any], bool, str]:
        """The shared part of the environ of this request; cached in the request unless it depends on the peer."""
        line, block = request.line, request.block
        shared = block.made.get(self) or self._share(block, peer in self._trust)
        environ = shared.environ.copy()
        environ.update(line.environ or _read_line(line))
        if shared.script_name and line.path != b"*":
            environ["PATH_INFO"] = self._under(shared.script_name, environ["PATH_INFO"])
        made = (self, environ, shared.from_peer, shared.ident)
        if not shared.told:
            request.made = made
        return made

    def _share(self, block: HeaderBlock, trusted: bool) -> _Shared:
        """The shared part of these fields, built once; with proxy fields once per trust level."""
        shared: _Shared | None = block.made.get((self, trusted))
        if shared is None:
            shared = self._read_block(block, trusted)
            block.made[(self, trusted) if shared.told else self] = shared
        return shared

    def _read_block(self, block: HeaderBlock, trusted: bool) -> _Shared:
        environ = self._template.copy()
        told = self._add_fields(environ, block)
        script_name = told if told is not None and trusted else self._script_name
        if block.length == -1:
            # The body is complete and decoded.
            environ.pop("HTTP_TRANSFER_ENCODING", None)
        if self._unix and (host := environ.get("HTTP_HOST")):
            _name_server(environ, host)
        forwarded = not environ.keys().isdisjoint(_FORWARDED)
        if forwarded and trusted:
            _forward(environ, self._trust)
        environ["SCRIPT_NAME"] = script_name
        ident = environ.get("HTTP_X_REQUEST_ID", "")
        return _Shared(
            environ,
            from_peer="REMOTE_ADDR" not in environ,
            script_name=script_name,
            ident=ident if _IDENT.fullmatch(ident) else "",
            told=forwarded or told is not None,
        )

    def _add_fields(self, environ: dict[str, Any], block: HeaderBlock) -> str | None:
        """Add the variables of the fields; returns the SCRIPT_NAME that a proxy sent, or None."""
        script_name = None
        for name, value in block.headers:
            key = self._names.get(name)
            if key is None:
                key = self._variable(name)
            text = value.decode("latin-1")
            if not key:
                if name == self._mount:
                    script_name = text
            elif key in environ:
                environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + text
            else:
                environ[key] = text
        return script_name

    def _variable(self, name: bytes) -> str:
        """The environ variable of a field, cached."""
        if b"_" in name and self._underscores == "refuse" and name != self._mount:
            raise HTTPError(400, "underscore in a header name")
        key = "" if name == self._mount else variable(name, self._underscores == "dangerous")
        if len(self._names) >= _NAMES_LIMIT:
            # Clients choose the names: one client's inventions must not fill the cache for the others.
            self._names.clear()
        self._names[name] = key
        return key

    def _under(self, script_name: str, path: str) -> str:
        rest = path[len(script_name) :]
        if not path.startswith(script_name) or (rest and not rest.startswith("/")):
            raise HTTPError(500, f"the path is not under SCRIPT_NAME {script_name}")
        return rest


def _read_line(line: RequestLine) -> dict[str, Any]:
    """The variables of a request line, built once."""
    path = line.path
    text = "" if path == b"*" else (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")
    line.environ = {
        "REQUEST_METHOD": line.method,
        "PATH_INFO": text,
        "QUERY_STRING": line.query.decode("latin-1"),
        "RAW_URI": line.target.decode("latin-1"),
        "SERVER_PROTOCOL": "HTTP/1.1" if line.version == (1, 1) else "HTTP/1.0",
    }
    return line.environ


def _forward(environ: dict[str, Any], trust: Trust) -> None:
    """Replace the peer by the client that trusted proxies report."""
    hop = client_of(trust, *(environ.get(name, "") for name in _FORWARDED))
    if hop is None:
        return
    if hop.address:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = hop.address, hop.port or "0"
    if hop.scheme:
        environ["wsgi.url_scheme"] = hop.scheme
    if hop.host:
        environ["HTTP_HOST"] = hop.host


def variable(name: bytes, underscores: bool = False) -> str:
    """The environ variable of a field; empty for a field that is dropped.

    A name with an underscore could pass for another (`X_Forwarded_For`), and `Proxy` for a setting (httpoxy).

    :param name: in lower case.
    :param underscores: whether to keep names with an underscore.
    """
    if (b"_" in name and not underscores) or name in (b"proxy", b"script_name"):
        return ""
    key = name.decode("ascii").upper().replace("-", "_")
    return key if name in (b"content-type", b"content-length") else "HTTP_" + key


def _name_server(environ: dict[str, Any], host: str) -> None:
    """Take the server's name from the Host field: a UNIX socket has none."""
    name, separator, port = host.rpartition(":")
    if separator and port.isdigit():
        environ["SERVER_NAME"], environ["SERVER_PORT"] = name, port
    elif host:
        environ["SERVER_NAME"] = host
