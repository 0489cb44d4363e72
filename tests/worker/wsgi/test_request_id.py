"""The request's id: in the environ, in the response's head, and the same in both."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.http.served import Client, Served
from tests.worker.conftest import TIMES
from twistcorn.worker.wsgi.files import FileWrapper

Serve = Callable[..., tuple[Served, Client]]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n"


class App:
    """Answers in one of several ways.

    :ivar ids: what it was given.
    """

    def __init__(self, way: str, fields: list[tuple[str, str]] | None = None, file: Path | None = None) -> None:
        self.way = way
        self.fields = fields or []
        self.file = file
        self.ids: list[str] = []

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        self.ids.append(environ["twistcorn.request_id"])
        start("200 OK", self.fields)
        if self.way == "whole":
            return [b"hello"]
        if self.way == "pieces":
            return self._pieces()
        return FileWrapper(open(self.file, "rb") if self.file else io.BytesIO(b"hello"))

    def _pieces(self) -> Iterator[bytes]:
        yield b"hel"
        yield b"lo"


@pytest.mark.parametrize("turns", ["inline", "pool"])
@pytest.mark.parametrize("way", ["whole", "pieces", "file"])
def test_each_answer_has_its_own(serve: Serve, tmp_path: Path, turns: str, way: str) -> None:
    """Though heads of answers are kept and repeated; the body is what it was, in every way to send one."""
    (tmp_path / "file").write_bytes(b"hello")
    app = App(way, file=tmp_path / "file")
    served, client = serve(app, replace(TIMES, turns=turns))
    for _ in range(3):
        served.send(client, GET % b"")

    answers = client.answers()
    assert [answer["X-Request-ID"] for answer in answers] == [[ident] for ident in app.ids]
    assert len(set(app.ids)) == 3
    assert {answer.body for answer in answers} == {b"hello"}


def test_one_that_came_with_the_request_goes_back(serve: Serve) -> None:
    """So that it can be followed through several servers."""
    app = App("whole")
    served, client = serve(app)
    served.send(client, GET % b"X-Request-ID: shop-77/a+b=\r\n")

    assert app.ids == ["shop-77/a+b="]
    assert client.answers()[0]["X-Request-ID"] == app.ids


@pytest.mark.parametrize("ident", [b"a b", b"\xe9", b"x" * 129, b'"', b"a\tb"])
def test_what_is_no_id_is_replaced(serve: Serve, ident: bytes) -> None:
    """It would get into logs and heads."""
    app = App("whole")
    served, client = serve(app)
    served.send(client, GET % b"X-Request-ID: %b\r\n" % ident)

    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", app.ids[0])
    assert client.answers()[0]["X-Request-ID"] == app.ids


@pytest.mark.parametrize("name", ["X-Request-ID", "x-request-id"])
def test_that_of_the_application_stands(serve: Serve, name: str) -> None:
    """It is sent as it is, and once."""
    served, client = serve(App("whole", [(name, "mine")]))
    served.send(client, GET % b"")

    assert client.answers()[0]["X-Request-ID"] == ["mine"]


def test_refused_request_has_none(serve: Serve) -> None:
    """It was not read."""
    served, client = serve(App("whole"))
    served.send(client, b"nonsense\r\n\r\n")

    assert client.answers()[0]["X-Request-ID"] == []
