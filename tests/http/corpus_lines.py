"""Request lines: method, target, version (RFC 9112 sections 2 and 3, RFC 9110 sections 4 and 9)."""

from __future__ import annotations

from .cases import NEXT, Case, Seen, accept, head, refuse, shown

HOST_A = ((b"host", b"a"),)


def line(text: bytes, *fields: bytes, host: bytes = b"Host: a") -> bytes:
    return head(*fields, line=text, host=host)


def target(text: bytes, host: bytes = b"Host: a") -> bytes:
    return line(b"GET " + text + b" HTTP/1.1", host=host)


#: (target, path, query)
ORIGIN_FORMS = [
    (b"/", b"/", b""),
    (b"/a/b;c=d", b"/a/b;c=d", b""),
    (b"/a?b=c?d&e=/f", b"/a", b"b=c?d&e=/f"),
    (b"/?", b"/", b""),
    (b"/a%2Fb%20c", b"/a%2Fb%20c", b""),
    (b"/%00", b"/%00", b""),
    (b"/%C3%A9%ff", b"/%C3%A9%ff", b""),
    (b"//a//b/", b"//a//b/", b""),
    (b"/../a/./b/..", b"/../a/./b/..", b""),
    (b"/http://b/", b"/http://b/", b""),
    (b"/*", b"/*", b""),
    (b"/a:80@b,(c)'!$&+=~-._", b"/a:80@b,(c)'!$&+=~-._", b""),
    (b"/?a=|{}^[]`", b"/", b"a=|{}^[]`"),  # browsers leave these as they are
]

#: (target, its Host, path, query)
ABSOLUTE_FORMS = [
    (b"http://a/x?y", b"Host: a", b"/x", b"y"),
    (b"HTTP://A/x", b"Host: a", b"/x", b""),
    (b"http://a", b"Host: A", b"/", b""),
    (b"http://a?y", b"Host: a", b"/", b"y"),
    (b"http://a:8000/x", b"Host: a:8000", b"/x", b""),
    (b"http://[::1]:8000//x", b"Host: [::1]:8000", b"//x", b""),
    (b"http://a/x?http://b/", b"Host: a", b"/x", b"http://b/"),
]

#: (method, section)
METHODS = [
    (b"HEAD", "9110 9.3.2"),
    (b"POST", "9110 9.3.3"),
    (b"PUT", "9110 9.3.4"),
    (b"DELETE", "9110 9.3.5"),
    (b"OPTIONS", "9110 9.3.7"),
    (b"TRACE", "9110 9.3.8"),
    (b"PATCH", "RFC 5789"),
    (b"get", "9110 9.1"),
    (b"Get", "9110 9.1"),
    (b"M-SEARCH", "9110 9.1"),
    (b"UPDATEREDIRECTREF", "9110 9.1"),
    (b"PRI", "9112 3.1"),
    (b"0", "9110 9.1"),
    (b"!#$%&'*+-.^_`|~", "9110 5.6.2"),
]

NO_METHODS = [
    b"G@T",
    b"G/T",
    b"(GET)",
    b'"GET"',
    b"GET:",
    b"G\xc9T",
    b"GE\x00T",
    b"GE\x7fT",
    b"G,T",
    b"",
    b"[]",
    b"{}",
]

#: Versions that cannot be read.
NO_VERSIONS = [
    b"http/1.1", b"Http/1.1", b"HTTP/1.", b"HTTP/.1", b"HTTP/1", b"HTTP/11", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/10.1",
    b"HTTP/1.1x", b"HTTP/1,1", b"HTTP/+1.1", b"HTTP/1.-1", b"HTTP/ 1.1", b"HTTP /1.1", b"HTTP/1 .1", b"HTP/1.1",
    b"HTTPS/1.1", b"ICY/1.1", b"HTTP\\1.1", b"HTTP/\xb2.0", b"HTTP/a.b", b"HTTP/2", b"HTTP/1.1 HTTP/1.1",
]  # fmt: skip

#: Targets of none of the four forms.
NO_TARGETS = [
    b"a", b"a/b", b"?a", b"./a", b"\\a", b"*", b"a:80", b"http:/a", b"http:a", b"http:///a", b"http://", b"http://?a",
    b"//a/b#c", b"/a#b", b"#", b"http://a/#b", b"ftp://a/", b"://a/", b"http://u@a/", b"http://u:p@a/", b"http://a:b/",
    b"http://[::1/", b"http://a b/", b"/a b", b"/a\tb", b"/a\x0bb", b"/a\x00b", b"/a\x7fb", b"/\xc3\xa9", b"/a\x85b",
    b"/a\rb", b"/a\nb", b"/a\x0c",
]  # fmt: skip

#: (name, section, bytes): request lines that are not.
NO_LINES = [
    ("two spaces in front of the target", "9112 3", line(b"GET  / HTTP/1.1")),
    ("two spaces behind the target", "9112 3", line(b"GET /  HTTP/1.1")),
    ("space behind the version", "9112 3", line(b"GET / HTTP/1.1 ")),
    ("tab behind the version", "9112 3", line(b"GET / HTTP/1.1\t")),
    ("tab in front of the target", "9112 3", line(b"GET\t/ HTTP/1.1")),
    ("tab behind the target", "9112 3", line(b"GET /\tHTTP/1.1")),
    ("form feed for a space", "9112 3", line(b"GET\x0c/ HTTP/1.1")),
    ("space in front of the method", "9112 3", line(b" GET / HTTP/1.1")),
    ("tab in front of the method", "9112 3", line(b"\tGET / HTTP/1.1")),
    ("NUL in front of the method", "9112 3", line(b"\x00GET / HTTP/1.1")),
    ("byte order mark in front", "9112 3", line(b"\xef\xbb\xbfGET / HTTP/1.1")),
    ("method alone", "9112 3", line(b"GET")),
    ("no target", "9112 3", line(b"GET HTTP/1.1")),
    ("blank target", "9112 3", line(b"GET  HTTP/1.1")),
    ("HTTP 0.9", "issue 3", b"GET /\r\n\r\n"),
    ("HTTP 0.9 in front of a request", "issue 3", b"GET /\r\n" + NEXT),
    ("HTTP 0.9 with fields", "issue 3", line(b"GET /")),
    ("response", "9112 3", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("PROXY protocol", "9112 3", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + NEXT),
    ("TLS hello", "9112 3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)),
    ("bare LF ends the line", "9112 2.2", b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    ("bare LF ends every line", "9112 2.2", b"GET / HTTP/1.1\nHost: a\n\n"),
    ("bare CR ends the line", "9112 2.2", b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
    ("two CR end the line", "9112 2.2", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    ("LF CR ends the line", "9112 2.2", b"GET / HTTP/1.1\n\rHost: a\r\n\r\n"),
    ("bare LF in front", "9112 2.2", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("bare CR in front", "9112 2.2", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("two empty lines in front", "issue 3", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("empty lines alone", "issue 3", b"\r\n\r\n\r\n"),
    ("blank line in front", "9112 2.2", b" \r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
]

CASES: list[Case] = [
    *(accept(f"target {shown(t)}", "9112 3.2.1", target(t), Seen(path=path, query=query))
      for t, path, query in ORIGIN_FORMS),
    *(accept(f"target {shown(t)} of {shown(host)}", "9112 3.2.2", target(t, host), Seen(path=path, query=query))
      for t, host, path, query in ABSOLUTE_FORMS),
    *(accept(f"method {shown(name)}", section, line(name + b" / HTTP/1.1"), Seen(name.decode()))
      for name, section in METHODS),
    accept("absolute target without Host on 1.0", "9112 3.2.2", line(b"GET http://a/x HTTP/1.0", host=b""),
           Seen(path=b"/x", version=(1, 0), keep=False)),
    accept("asterisk with OPTIONS", "9112 3.2.4", line(b"OPTIONS * HTTP/1.1"), Seen("OPTIONS", b"*")),
    accept("version 1.0", "9110 2.5", line(b"GET / HTTP/1.0"), Seen(version=(1, 0), keep=False)),
    accept("version 1.2 is read as 1.1", "9110 2.5", line(b"GET / HTTP/1.2"), Seen()),
    accept("version 1.9 is read as 1.1", "9110 2.5", line(b"GET / HTTP/1.9"), Seen()),
    accept("one empty line in front", "9112 2.2", b"\r\n" + line(b"GET /a HTTP/1.1"), Seen(path=b"/a", fields=HOST_A)),
    *(refuse(f"method {shown(name)}", "9110 9.1", line(name + b" / HTTP/1.1")) for name in NO_METHODS),
    refuse("method longer than any", "9112 3", line(b"A" * 100 + b" / HTTP/1.1"), 501),
    *(refuse(f"version {shown(version)}", "9112 2.3", line(b"GET / " + version)) for version in NO_VERSIONS),
    *(refuse(f"version {version.decode()}", "9110 15.6.6", line(b"GET / HTTP/" + version), 505)
      for version in (b"2.0", b"3.0", b"9.9")),
    refuse("version 0.9", "issue 3", line(b"GET / HTTP/0.9"), 400, 505),
    refuse("preface of HTTP/2", "issue 3", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    *(refuse(f"target {shown(t)}", "9112 3.2", target(t)) for t in NO_TARGETS),
    refuse("asterisk and more", "9112 3.2.4", line(b"OPTIONS *a HTTP/1.1")),
    refuse("asterisk with a query", "9112 3.2.4", line(b"OPTIONS *?a HTTP/1.1")),
    refuse("CONNECT", "9110 9.3.6", line(b"CONNECT a:80 HTTP/1.1", host=b"Host: a:80"), 501),
    refuse("CONNECT to a path", "9110 9.3.6", line(b"CONNECT / HTTP/1.1"), 400, 501),
    refuse("Host is not the target's", "issue 3", target(b"http://b/")),
    refuse("port of Host is not the target's", "issue 3", target(b"http://a:81/", b"Host: a:80")),
    refuse("absolute target without Host on 1.1", "9112 3.2", target(b"http://a/", b"")),
    refuse("absolute target with an empty Host", "issue 3", target(b"http://a/", b"Host:")),
    *(refuse(name, section, data) for name, section, data in NO_LINES),
]  # fmt: skip
