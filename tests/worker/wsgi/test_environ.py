"""The environ of a request: what PEP 3333 asks for, and nothing that a client could smuggle in."""

from __future__ import annotations

import io
import socket
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.http.cases import DEFAULTS, head
from twistcorn.errors import HTTPError
from twistcorn.settings import Settings
from twistcorn.worker.http.request import parse_head
from twistcorn.worker.loop.addresses import Address
from twistcorn.worker.wsgi.environ import EnvironMaker

TCP = Address(socket.AF_INET, "192.0.2.1", 8000)
TCP6 = Address(socket.AF_INET6, "2001:db8::1", 8000)
UNIX = Address(socket.AF_UNIX, "/run/a.sock", 0)
STRANGER = ("198.51.100.7", "50000")
TRUSTED = ("127.0.0.1", "50000")


def environ(
    *fields: bytes,
    line: bytes = b"GET / HTTP/1.1",
    host: bytes = b"Host: a",
    body: object = None,
    peer: tuple[str, str] = STRANGER,
    address: Address = TCP,
    settings: Settings = DEFAULTS,
    threads: int = 8,
    workers: int = 1,
) -> dict[str, Any]:
    """The environ of a request with these fields."""
    request = parse_head(head(*fields, line=line, host=host), settings)
    if body is not None:
        request.body = body if isinstance(body, bytes) else SimpleNamespace(file=body)
    return EnvironMaker(settings, address, 3, threads, workers).make(request, peer)


def fields_of(made: Mapping[str, Any]) -> dict[str, str]:
    """The variables that come from header fields."""
    return {name: value for name, value in made.items() if name.startswith(("HTTP_", "CONTENT_"))}


class TestVariables:
    def test_plain_request(self) -> None:
        """Every variable that PEP 3333 requires is there, a native string where it is text."""
        made = environ(line=b"GET /a?b=c HTTP/1.1")

        wanted = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/a",
            "QUERY_STRING": "b=c",
            "SERVER_NAME": "192.0.2.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "198.51.100.7",
            "REMOTE_PORT": "50000",
            "RAW_URI": "/a?b=c",
            "HTTP_HOST": "a",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "twistcorn.worker": 3,
        }
        assert {name: made.get(name) for name in wanted} == wanted
        assert type(made) is dict
        assert [name for name, value in made.items() if "." not in name and type(value) is not str] == []
        assert fields_of(made) == {"HTTP_HOST": "a"}

    @pytest.mark.parametrize(
        ("threads", "workers", "told"), [(1, 1, (False, False)), (2, 1, (True, False)), (1, 2, (False, True))]
    )
    def test_threads_and_workers(self, threads: int, workers: int, told: tuple[bool, bool]) -> None:
        """The application learns whether it runs concurrently."""
        made = environ(threads=threads, workers=workers)

        assert (made["wsgi.multithread"], made["wsgi.multiprocess"]) == told

    def test_two_requests(self) -> None:
        """What one application does to its environ does not reach the next request."""
        maker = EnvironMaker(DEFAULTS, TCP, 0, 1, 1)
        first = maker.make(parse_head(head(b"X: a"), DEFAULTS), STRANGER)
        first.clear()

        assert "HTTP_X" not in maker.make(parse_head(head(), DEFAULTS), STRANGER)

    def test_errors_stream(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`wsgi.errors` is what standard error is at that moment."""
        stream = environ()["wsgi.errors"]
        replaced = io.StringIO()
        monkeypatch.setattr("sys.stderr", replaced)
        stream.write("a")
        stream.writelines(["b", "c"])
        stream.flush()

        assert replaced.getvalue() == "abc"

    def test_client_of_1_0(self) -> None:
        """The protocol is the request's."""
        assert environ(line=b"GET / HTTP/1.0")["SERVER_PROTOCOL"] == "HTTP/1.0"


class TestBody:
    def test_no_body(self) -> None:
        """`wsgi.input` is empty."""
        assert environ()["wsgi.input"].read() == b""

    def test_body_with_a_length(self) -> None:
        """`wsgi.input` can be read, sought and iterated."""
        stream = environ(b"Content-Length: 5", body=b"a\nb\nc")["wsgi.input"]

        assert (stream.readline(), stream.readlines(), stream.read()) == (b"a\n", [b"b\n", b"c"], b"")
        stream.seek(0)
        assert list(stream) == [b"a\n", b"b\n", b"c"]

    def test_body_in_a_file(self) -> None:
        """A file is handed on as it is."""
        file = io.BytesIO(b"hello")

        assert environ(b"Content-Length: 5", body=file)["wsgi.input"] is file

    def test_chunked_body(self) -> None:
        """It arrives decoded, so the environ has no coding."""
        made = environ(b"Transfer-Encoding: chunked", body=io.BytesIO(b"a"))

        assert fields_of(made) == {"HTTP_HOST": "a"}
        assert made["wsgi.input_terminated"] is True

    @pytest.mark.parametrize("length", [0, 5])
    def test_chunked_body_that_is_here(self, length: int) -> None:
        """Its length is known by then, and set: for this request, not for the next one with the same fields."""
        request = parse_head(head(b"Transfer-Encoding: chunked"), DEFAULTS)
        request.body, request.length = SimpleNamespace(file=io.BytesIO(b"a" * length)), length
        maker = EnvironMaker(DEFAULTS, TCP, 3, 8, 1)

        assert fields_of(maker.make(request, STRANGER)) == {"HTTP_HOST": "a", "CONTENT_LENGTH": str(length)}
        request.length = -1
        assert "CONTENT_LENGTH" not in maker.make(request, STRANGER)


class TestFields:
    def test_type_and_length(self) -> None:
        """They have special names, and only those."""
        made = environ(b"Content-Type: text/plain", b"Content-Length: 5", host=b"Host: a")

        assert fields_of(made) == {"HTTP_HOST": "a", "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "5"}

    def test_repeated_field(self) -> None:
        """Its values are joined with commas, in their order."""
        assert environ(b"X-Y: a", b"Z: z", b"x-y: b,c", b"X-y:")["HTTP_X_Y"] == "a,b,c,"

    def test_repeated_cookie(self) -> None:
        """A comma may be a part of a cookie, so those are joined as RFC 9113 section 8.2.3 has it."""
        assert environ(b"Cookie: a=b", b"Cookie: c=d")["HTTP_COOKIE"] == "a=b; c=d"

    @pytest.mark.parametrize(
        "name", [b"X_Forwarded_For", b"X_Y", b"_", b"X-Y_Z", b"Content_Length", b"Host_", b"wsgi_input"]
    )
    def test_underscore_in_a_name(self, name: bytes) -> None:
        """The field is dropped: it would pass for another (`X_Y` for `X-Y`)."""
        assert fields_of(environ(name + b": a")) == {"HTTP_HOST": "a"}

    def test_underscore_next_to_a_hyphen(self) -> None:
        """The field with the hyphen is left as it was."""
        assert environ(b"X-Y: right", b"X_Y: wrong", b"X_y: wrong")["HTTP_X_Y"] == "right"

    def test_underscores_are_wanted(self) -> None:
        """`--header-map dangerous` lets them in."""
        assert environ(b"X_Y: a", settings=replace(DEFAULTS, header_map="dangerous"))["HTTP_X_Y"] == "a"

    def test_underscores_are_refused(self) -> None:
        """`--header-map refuse` answers them with 400."""
        with pytest.raises(HTTPError) as caught:
            environ(b"X_Y: a", settings=replace(DEFAULTS, header_map="refuse"))
        assert caught.value.status == 400

    @pytest.mark.parametrize("header_map", ["drop", "dangerous", "refuse"])
    def test_proxy(self, header_map: str) -> None:
        """It would become HTTP_PROXY, which HTTP clients take for a setting (httpoxy)."""
        made = environ(b"Proxy: http://evil/", b"pRoXy: a", settings=replace(DEFAULTS, header_map=header_map))

        assert "HTTP_PROXY" not in made

    def test_value_beyond_ascii(self) -> None:
        """It is a string of its bytes (PEP 3333, "Unicode Issues")."""
        assert environ(b"X: caf\xc3\xa9 \xff")["HTTP_X"].encode("latin-1") == b"caf\xc3\xa9 \xff"

    def test_names_of_clients_making(self) -> None:
        """However many there were, each has its variable."""
        maker = EnvironMaker(DEFAULTS, TCP, 0, 1, 1)
        many = replace(DEFAULTS, limit_request_fields=5000)
        maker.make(parse_head(head(*(b"X-%d: a" % n for n in range(2000))), many), STRANGER)

        made = maker.make(parse_head(head(b"X-1999: b", b"X-1: c", b"X_1: d"), many), STRANGER)
        assert fields_of(made) == {"HTTP_HOST": "a", "HTTP_X_1999": "b", "HTTP_X_1": "c"}


class TestPaths:
    @pytest.mark.parametrize(
        ("target", "path", "query"),
        [
            (b"/", b"/", ""),
            (b"/a%2Fb", b"/a/b", ""),
            (b"/a%20b+c", b"/a b+c", ""),
            (b"/%C3%A9", b"/\xc3\xa9", ""),
            (b"/%ff%00", b"/\xff\x00", ""),
            (b"/%25", b"/%", ""),
            (b"/%2", b"/%2", ""),
            (b"/%zz", b"/%zz", ""),
            (b"//a//", b"//a//", ""),
            (b"/a/../b", b"/a/../b", ""),
            (b"/%3Fa?b%20c?d", b"/?a", "b%20c?d"),
            (b"/?", b"/", ""),
            (b"http://a/b%20c?d", b"/b c", "d"),
        ],
    )
    def test_path_and_query(self, target: bytes, path: bytes, query: str) -> None:
        """The path is decoded to bytes in a string, the query and RAW_URI are not."""
        made = environ(line=b"GET %b HTTP/1.1" % target)

        assert (made["PATH_INFO"].encode("latin-1"), made["QUERY_STRING"]) == (path, query)
        assert made["RAW_URI"].encode() == target

    def test_server_as_a_whole(self) -> None:
        """`*` is no path."""
        made = environ(line=b"OPTIONS * HTTP/1.1")

        assert (made["PATH_INFO"], made["RAW_URI"]) == ("", "*")

    @pytest.mark.parametrize(
        ("target", "path"), [(b"/shop", ""), (b"/shop/", "/"), (b"/shop/a", "/a"), (b"/%73hop/shop", "/shop")]
    )
    def test_application_is_mounted(self, target: bytes, path: str) -> None:
        """`--script-name` is taken off the path."""
        made = environ(line=b"GET %b HTTP/1.1" % target, settings=replace(DEFAULTS, script_name="/shop"))

        assert (made["SCRIPT_NAME"], made["PATH_INFO"]) == ("/shop", path)

    @pytest.mark.parametrize("target", [b"/", b"/shopping", b"/sho", b"//shop/a", b"/a/shop"])
    def test_path_is_not_under_the_application(self, target: bytes) -> None:
        """The proxy or the option is wrong, and the answer says so (500, as Gunicorn's)."""
        with pytest.raises(HTTPError) as caught:
            environ(line=b"GET %b HTTP/1.1" % target, settings=replace(DEFAULTS, script_name="/shop"))
        assert caught.value.status == 500

    def test_server_as_a_whole_with_a_mounted_application(self) -> None:
        """`*` is under every application."""
        made = environ(line=b"OPTIONS * HTTP/1.1", settings=replace(DEFAULTS, script_name="/shop"))

        assert (made["SCRIPT_NAME"], made["PATH_INFO"]) == ("/shop", "")

    @pytest.mark.parametrize(("peer", "believed"), [(TRUSTED, True), (("", ""), True), (STRANGER, False)])
    def test_proxy_sets_the_script_name(self, peer: tuple[str, str], believed: bool) -> None:
        """It is believed from trusted peers, and never a plain field."""
        made = environ(
            b"SCRIPT_NAME: /shop", line=b"GET /shop/a HTTP/1.1", peer=peer,
            settings=replace(DEFAULTS, script_name_header="SCRIPT_NAME"),
        )  # fmt: skip

        assert (made["SCRIPT_NAME"], made["PATH_INFO"]) == (("/shop", "/a") if believed else ("", "/shop/a"))
        assert "HTTP_SCRIPT_NAME" not in made

    @pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script-Name", "X-Script-Name"])
    @pytest.mark.parametrize("header", ["", "X-Mounted"])
    def test_no_other_field_sets_the_script_name(self, name: str, header: str) -> None:
        """A client behind a trusted proxy that passes any field on cannot get past its rules for paths."""
        settings = replace(DEFAULTS, script_name_header=header)
        made = environ(f"{name}: /shop".encode(), line=b"GET /shop/a HTTP/1.1", peer=TRUSTED, settings=settings)

        assert (made["SCRIPT_NAME"], made["PATH_INFO"]) == ("", "/shop/a")


class TestAddresses:
    def test_unix(self) -> None:
        """A peer on a UNIX socket has no address; the server's name is what the client called it."""
        made = environ(peer=("", ""), address=UNIX, host=b"Host: a.example:8080")

        assert (made["REMOTE_ADDR"], made["REMOTE_PORT"]) == ("", "")
        assert (made["SERVER_NAME"], made["SERVER_PORT"]) == ("a.example", "8080")

    @pytest.mark.parametrize(
        ("host", "told"),
        [
            (b"Host: a", ("a", "80")),
            (b"Host: [2001:db8::1]", ("[2001:db8::1]", "80")),
            (b"Host: [2001:db8::1]:81", ("[2001:db8::1]", "81")),
            (b"Host:", ("localhost", "80")),
            (b"", ("localhost", "80")),
        ],
    )
    def test_names_of_a_server_on_unix(self, host: bytes, told: tuple[str, str]) -> None:
        """Name and port are never empty (PEP 3333)."""
        made = environ(peer=("", ""), address=UNIX, host=host, line=b"GET / HTTP/1.0")

        assert (made["SERVER_NAME"], made["SERVER_PORT"]) == told

    def test_ipv6(self) -> None:
        """Addresses come without brackets and ports as text."""
        made = environ(peer=("2001:db8::7", "50000"), address=TCP6)

        assert (made["REMOTE_ADDR"], made["REMOTE_PORT"]) == ("2001:db8::7", "50000")
        assert (made["SERVER_NAME"], made["SERVER_PORT"]) == ("2001:db8::1", "8000")

    def test_host_of_a_client_over_tcp(self) -> None:
        """The listener's address is the server's; Host is only what the client says."""
        made = environ(host=b"Host: b:81")

        assert (made["SERVER_NAME"], made["SERVER_PORT"], made["HTTP_HOST"]) == ("192.0.2.1", "8000", "b:81")


class TestForwarded:
    FIELDS = (b"X-Forwarded-For: 203.0.113.9", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: shop.example")

    @pytest.mark.parametrize("peer", [TRUSTED, ("", ""), ("::1", "1")])
    def test_trusted_proxy(self, peer: tuple[str, str]) -> None:
        """Its client is the client."""
        made = environ(*self.FIELDS, peer=peer)

        assert (made["REMOTE_ADDR"], made["wsgi.url_scheme"]) == ("203.0.113.9", "https")
        assert made["HTTP_HOST"] == "shop.example"

    def test_stranger(self) -> None:
        """The same fields change nothing, and are plain fields."""
        made = environ(*self.FIELDS)

        assert (made["REMOTE_ADDR"], made["wsgi.url_scheme"], made["HTTP_HOST"]) == (
            "198.51.100.7",
            "http",
            "a",
        )
        assert made["HTTP_X_FORWARDED_FOR"] == "203.0.113.9"
