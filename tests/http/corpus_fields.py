"""Header fields, Host, Connection and Expect (RFC 9112 sections 3.2, 5 and 9, RFC 9110 sections 5, 7 and 10)."""

from __future__ import annotations

from .cases import Case, Seen, accept, head, refuse, shown

#: (field line, name in lower case, value)
FIELDS = [
    (b"X: a", b"x", b"a"),
    (b"X:a", b"x", b"a"),
    (b"X:", b"x", b""),
    (b"X: ", b"x", b""),
    (b"X: a b\tc", b"x", b"a b\tc"),
    (b"X:  \t a", b"x", b"a"),
    (b"X: a: b:c", b"x", b"a: b:c"),
    (b"X: :", b"x", b":"),
    (b"X: \xc3\xa9\x80\xff", b"x", b"\xc3\xa9\x80\xff"),
    (b'X: "a\\"b" <c>, {d}', b"x", b'"a\\"b" <c>, {d}'),
    (b"x-Y-z: a", b"x-y-z", b"a"),
    (b"X_Y: a", b"x_y", b"a"),
    (b"0: a", b"0", b"a"),
    (b"!#$%&'*+-.^_`|~: a", b"!#$%&'*+-.^_`|~", b"a"),
]

#: White space behind a value is no part of it.
BLANKS_BEHIND = [(b"X: a ", b"a"), (b"X: a\t", b"a"), (b"X:\ta \t ", b"a"), (b"X: \t", b"")]

#: Not a character of a token; the colon is, of course, where a name ends.
DELIMITERS = b' "(),/;<=>?@[\\]{}\t\x00\x01\x0b\x1f\x7f\x80\xe9\xff'
CONTROLS = b"\x00\x01\x07\x08\x0b\x0c\x0e\x1b\x1f\x7f"

#: (name, section, field lines)
NO_FIELDS = [
    ("space in front of the colon", "9112 5.1", b"X : a"),
    ("tab in front of the colon", "9112 5.1", b"X\t: a"),
    ("no name", "9112 5.1", b": a"),
    ("colon alone", "9112 5.1", b":"),
    ("no colon", "9112 5.1", b"X"),
    ("no colon, but blanks", "9112 5.1", b"X a b"),
    ("folded with a space", "9112 5.2", b"X: a\r\n b"),
    ("folded with a tab", "9112 5.2", b"X: a\r\n\tb"),
    ("folded, with nothing on the first line", "9112 5.2", b"X:\r\n a"),
    ("folded, with nothing on the second line", "9112 5.2", b"X: a\r\n "),
    ("folded, with a field on the second line", "9112 5.2", b"X: a\r\n Content-Length: 5"),
    ("bare CR in a value", "9112 2.2", b"X: a\rb"),
    ("bare CR behind a value", "9112 2.2", b"X: a\r\r\nY: b"),
    ("bare CR and a space", "9112 2.2", b"X: a\r b"),
    ("bare CR makes a field", "9112 2.2", b"X: a\rContent-Length: 5"),
    ("bare CR in front of a value", "9112 2.2", b"X:\r a"),
    ("bare CR in a name", "9112 2.2", b"X\rY: a"),
    ("bare LF in a value", "9112 2.2", b"X: a\nb"),
    ("bare LF makes a field", "9112 2.2", b"X: a\nContent-Length: 5"),
    ("bare LF in a name", "9112 2.2", b"X\nY: a"),
    ("bare LF makes an end", "9112 2.2", b"X: a\n\r\nY: b"),
    ("two bare LF make an end", "9112 2.2", b"X: a\n\nGET /smuggled HTTP/1.1"),
    ("LF CR between fields", "9112 2.2", b"X: a\n\rY: b"),
]

#: (name, section, bytes)
NO_HEADS = [
    ("space in front of the first field", "9112 2.2", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("tab in front of the first field", "9112 2.2", b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"),
    ("blank line for a first field", "9112 2.2", b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n"),
    ("bare LF for the empty line", "9112 2.2", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    ("bare CR for the empty line", "9112 2.2", b"GET / HTTP/1.1\r\nHost: a\r\n\r\rX"),
    ("CR LF CR and something else", "9112 2.2", b"GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n"),
]

#: Host fields that are right on 1.1.
HOSTS = [
    b"a", b"a.example.", b"a:80", b"a:", b"192.0.2.1:8000", b"[::1]", b"[::1]:80", b"a_b-c~d", b"a%20b", b"A.B", b"",
]  # fmt: skip
NO_HOSTS = [
    b"a b", b"a\tb", b"a/b", b"/a", b"a?b", b"a#b", b"u@a", b"u:p@a", b"http://a", b"a:b", b"a:80:80", b"a:-1",
    b"a:+80", b"a:80a", b"[::1", b"::1", b"[::1]a", b"[a b]", b"a, b", b"a\\b", b'"a"', b"<a>", b"\xc3\xa9",
    b"a\x00", b"a]",
]  # fmt: skip

#: (version, Connection fields, whether the connection is kept)
CONNECTIONS = [
    (1, (), True),
    (1, (b"close",), False),
    (1, (b"Close",), False),
    (1, (b"CLOSE",), False),
    (1, (b"foo, close",), False),
    (1, (b"close,foo",), False),
    (1, (b"foo ,\t,close ,",), False),
    (1, (b"foo", b"close"), False),
    (1, (b"close", b"foo"), False),
    (1, (b"keep-alive, close",), False),
    (1, (b"keep-alive", b"close"), False),
    (1, (b"keep-alive",), True),
    (1, (b"closed",), True),
    (1, (b"foo-close",), True),
    (1, (b"",), True),
    (1, (b"upgrade",), True),
    (0, (), False),
    (0, (b"keep-alive",), True),
    (0, (b"Keep-Alive",), True),
    (0, (b"foo, keep-alive",), True),
    (0, (b"foo", b"keep-alive"), True),
    (0, (b"close, keep-alive",), False),
    (0, (b"keep-alive", b"close"), False),
    (0, (b"keep-alive2",), False),
    (0, (b"",), False),
]


def connection(version: int, options: tuple[bytes, ...], keep: bool) -> Case:
    data = head(*(b"Connection: " + option for option in options), line=b"GET / HTTP/1.%d" % version)
    name = f"1.{version} with Connection {' and '.join(map(repr, map(shown, options))) or 'not there'}"
    return accept(name, "9112 9.3", data, Seen(version=(1, version), keep=keep))


TEN = Seen(version=(1, 0), keep=False)

CASES: list[Case] = [
    *(accept(f"field {shown(text)}", "9110 5.5", head(text), Seen(fields=((name, value),)))
      for text, name, value in FIELDS),
    *(accept(f"blanks behind {shown(text)}", "9112 5.1", head(text, b"Z: z"), Seen(fields=((b"x", v), (b"z", b"z"))))
      for text, v in BLANKS_BEHIND),
    accept("blanks behind Content-Length", "9112 5.1", head(b"Content-Length: 1 ") + b"a", Seen(body=b"a")),
    accept("blanks behind Host", "9112 5.1", head(host=b"Host: a\t"), Seen(fields=((b"host", b"a"),))),
    accept("field given several times", "9110 5.3", head(b"X: a", b"Y: b", b"x: c", b"X:"),
           Seen(fields=((b"x", b"a"), (b"y", b"b"), (b"x", b"c"), (b"x", b"")))),
    accept("empty field in front of another", "9110 5.5", head(b"X:", b"Content-Length: 1", b"Y:") + b"a",
           Seen(body=b"a", fields=((b"x", b""), (b"y", b"")))),
    accept("no field but Host", "9112 3.2", head(), Seen(fields=((b"host", b"a"),))),
    accept("no field on 1.0", "9112 3.2", b"GET / HTTP/1.0\r\n\r\n", TEN),
    *(refuse(f"{shown(bytes([c]))} in a name", "9110 5.1", head(b"X%cY: a" % c)) for c in DELIMITERS),
    *(refuse(f"{shown(bytes([c]))} ends a name", "9110 5.1", head(b"X%c: a" % c)) for c in b'"(\x00\x7f\xa0'),
    *(refuse(f"{shown(bytes([c]))} in a value", "9110 5.5", head(b"X: a%cb" % c)) for c in CONTROLS),
    *(refuse(f"{shown(bytes([c]))} for a value", "9110 5.5", head(b"X:%c" % c)) for c in b"\x00\x0b\x7f"),
    *(refuse(name, section, head(lines)) for name, section, lines in NO_FIELDS),
    *(refuse(f"{name}, first", section, head(lines, b"Host: a", host=b"")) for name, section, lines in NO_FIELDS),
    *(refuse(name, section, data) for name, section, data in NO_HEADS),
    *(accept(f"Host {shown(host)}", "9110 7.2", head(host=b"Host: " + host), Seen(fields=((b"host", host),)))
      for host in HOSTS),
    *(refuse(f"Host {shown(host)}", "9112 3.2", head(host=b"Host: " + host)) for host in NO_HOSTS),
    refuse("no Host on 1.1", "9112 3.2", head(b"X: a", host=b"")),
    refuse("no Host on 1.9", "9112 3.2", head(b"X: a", line=b"GET / HTTP/1.9", host=b"")),
    refuse("two Hosts", "9112 3.2", head(b"X: a", b"Host: b")),
    refuse("the same Host twice", "9112 3.2", head(b"hOST: a")),
    refuse("two Hosts on 1.0", "9112 3.2", head(b"Host: b", line=b"GET / HTTP/1.0")),
    refuse("an empty and a full Host", "9112 3.2", head(b"Host:")),
    refuse("malformed Host on 1.0", "9112 3.2", head(line=b"GET / HTTP/1.0", host=b"Host: a/b")),
    accept("Host_ is not Host", "9110 7.2", head(b"Host_: b", b"X-Host: c"), Seen(fields=((b"host", b"a"),))),
    *(connection(*row) for row in CONNECTIONS),
    accept("Proxy-Connection means nothing", "9112 C.2.2",
           head(b"Proxy-Connection: keep-alive", line=b"GET / HTTP/1.0"), TEN),
    accept("Keep-Alive alone means nothing", "9112 9.3", head(b"Keep-Alive: 300", line=b"GET / HTTP/1.0"), TEN),
    accept("Upgrade is not followed", "9110 7.8", head(b"Connection: Upgrade", b"Upgrade: websocket"), Seen()),
    accept("Upgrade with a body", "9110 7.8",
           head(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 18") + b"GET / HTTP/1.1\r\n\r\n",
           Seen(body=b"GET / HTTP/1.1\r\n\r\n")),
    accept("Upgrade with a chunked body", "9110 7.8",
           head(b"Connection: Upgrade", b"Upgrade: h2c", b"Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\n\r\n",
           Seen(body=b"a")),
    accept("Expect without a body", "9110 10.1.1", head(b"Expect: 100-continue"), Seen()),
    accept("Expect with its body", "9110 10.1.1", head(b"Expect: 100-Continue", b"Content-Length: 1") + b"a",
           Seen(body=b"a")),
    accept("Expect on 1.0", "9110 10.1.1", head(b"Expect: 100-continue", line=b"GET / HTTP/1.0"), TEN),
    refuse("unknown Expect", "9110 15.5.18", head(b"Expect: 200-ok"), 417),
    refuse("unknown Expect with a value", "9110 15.5.18", head(b"Expect: a=b;c"), 417),
    refuse("unknown Expect besides a known one", "9110 15.5.18", head(b"Expect: 100-continue, a"), 417),
    refuse("unknown Expect behind a known one", "9110 15.5.18", head(b"Expect: 100-continue", b"Expect: a"), 417),
    refuse("unknown Expect with a body", "9110 15.5.18", head(b"Expect: a", b"Content-Length: 1") + b"a", 417),
]  # fmt: skip
