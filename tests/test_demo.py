"""The built-in demo keeps to WSGI, escapes what it shows, bounds what it takes and crashes only on request."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from twistcorn import demo

NOTHING: Mapping[str, Any] = {}
PATHS = ["/", "/slow?seconds=1", "/stream", "/crash", "/environ", "/healthz", "/nowhere"]


@dataclass
class Answer:
    status: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def environ_of(method: str, url: str, body: bytes | None, more: Mapping[str, Any]) -> dict[str, Any]:
    path, _, query = url.partition("?")
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
    environ["SCRIPT_NAME"] = ""
    if body is not None:
        environ.update({"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)})
    environ.update(more)
    setup_testing_defaults(environ)
    return environ


def ask(method: str, url: str, body: bytes | None = None, more: Mapping[str, Any] = NOTHING) -> Answer:
    """One request to the demo, under the eyes of wsgiref.validate."""
    said: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        said[:] = [status, dict(headers)]
        return said.append

    served: Any = validator(demo.app)
    result = served(environ_of(method, url, body, more), start_response)
    content = b"".join(result)
    result.close()
    return Answer(said[0], said[1], content)


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the demo asks for; none is made."""
    taken: list[float] = []
    monkeypatch.setattr(demo, "sleep", taken.append)
    return taken


class TestEveryPath:
    @pytest.mark.parametrize("path", PATHS)
    def test_a_head_request_gets_the_head_of_the_get_and_no_body(self, path: str) -> None:
        """HEAD has the same status and type as GET."""
        get, head = ask("GET", path), ask("HEAD", path)
        assert head.body == b""
        assert head.status == get.status
        assert head.headers["Content-Type"] == get.headers["Content-Type"]

    @pytest.mark.parametrize("path", PATHS)
    def test_an_announced_length_is_the_length_of_the_body(self, path: str) -> None:
        """Where there is a Content-Length, it counts bytes, not characters."""
        answer = ask("GET", path, more={"twistcorn.worker": "wörker"})
        assert int(answer.headers.get("Content-Length", len(answer.body))) == len(answer.body)

    @pytest.mark.parametrize("path", ["/", "/slow", "/stream", "/healthz"])
    def test_a_method_that_a_path_does_not_take_is_refused_with_those_that_it_takes(self, path: str) -> None:
        """405 comes with Allow, as RFC 9110 section 15.5.6 requires."""
        answer = ask("POST", path, b"")
        assert answer.status.startswith("405 ")
        assert answer.headers["Allow"] == "GET, HEAD"

    def test_a_path_that_is_not_there_is_not_found(self) -> None:
        """Anything else is a 404."""
        assert ask("GET", "/nowhere").status == "404 Not Found"

    def test_nothing_is_cached(self) -> None:
        """What a worker says about itself is true once."""
        assert ask("GET", "/").headers["Cache-Control"] == "no-store"


class TestHome:
    def test_it_shows_process_worker_and_thread(self) -> None:
        """The page shows who answered."""
        page = ask("GET", "/", more={"twistcorn.worker": 7}).text
        assert f"<dd>{os.getpid()}</dd>" in page
        assert "<dd>7</dd>" in page
        assert f"<dd>{threading.current_thread().name}</dd>" in page

    def test_without_a_worker_id_it_shows_a_question_mark(self) -> None:
        """The demo runs in any WSGI server."""
        assert "<dd>?</dd>" in ask("GET", "/").text

    def test_an_empty_path_is_the_page_too(self) -> None:
        """A server that mounts the demo may leave PATH_INFO empty."""
        assert ask("GET", "", more={"SCRIPT_NAME": "/mounted"}).status == "200 OK"

    def test_it_counts_the_requests_of_this_worker(self) -> None:
        """Each request, to whichever path, counts one."""

        def served() -> int:
            found = re.search(r"requests served</dt><dd>(\d+)<", ask("GET", "/").text)
            assert found
            return int(found.group(1))

        before = served()
        ask("GET", "/healthz")
        assert served() == before + 2

    def test_what_it_shows_is_escaped(self) -> None:
        """A worker id and a mount point are text, never markup."""
        page = ask("GET", "/", more={"SCRIPT_NAME": '/"><i>', "twistcorn.worker": "<b>&"}).text
        assert "&lt;b&gt;&amp;" in page
        assert "<i>" not in page

    def test_its_links_keep_the_mount_point(self) -> None:
        """Under a prefix the links still lead to the demo."""
        assert 'href="/mounted/stream"' in ask("GET", "/", more={"SCRIPT_NAME": "/mounted"}).text

    def test_it_loads_nothing_from_elsewhere(self) -> None:
        """The page loads nothing else, and its policy forbids it."""
        answer = ask("GET", "/")
        assert not re.search(r"<(script|img|link)|https?://|url\(", answer.text)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")

    def test_it_follows_the_colours_of_the_system(self) -> None:
        """Dark is for those who have asked for dark."""
        assert "@media (prefers-color-scheme: dark) {" in ask("GET", "/").text


class TestSlow:
    @pytest.mark.parametrize(
        ("query", "slept"), [("", 2.0), ("?seconds=0.5", 0.5), ("?seconds=0", 0.0), ("?seconds=1e9", 30.0)]
    )
    def test_it_sleeps_as_long_as_asked_up_to_30_seconds(
        self, query: str, slept: float, naps: list[float]
    ) -> None:
        """A client cannot hold a thread for longer."""
        assert ask("GET", f"/slow{query}").status == "200 OK"
        assert naps == [slept]

    @pytest.mark.parametrize("seconds", ["x", "nan", "inf", "-1"])
    def test_what_is_no_duration_is_refused(self, seconds: str, naps: list[float]) -> None:
        """It is the client's mistake, and nothing sleeps."""
        assert ask("GET", f"/slow?seconds={seconds}").status == "400 Bad Request"
        assert naps == []


class TestStream:
    def test_ten_lines_come_with_a_pause_between_each_two(self, naps: list[float]) -> None:
        """The lines have no length ahead of them, so they leave one by one."""
        answer = ask("GET", "/stream")
        assert answer.text.splitlines() == [f"line {n} of 10" for n in range(1, 11)]
        assert "Content-Length" not in answer.headers
        assert naps == [0.3] * 9


class TestCrash:
    @pytest.fixture(autouse=True)
    def kills(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
        """The signals that the demo sends; none arrives."""
        sent: list[tuple[int, int]] = []
        monkeypatch.setattr("os.kill", lambda pid, number: sent.append((pid, number)))
        return sent

    def test_a_get_shows_the_button_and_crashes_nothing(self, kills: list[tuple[int, int]]) -> None:
        """Crawlers and replays follow links, not forms."""
        answer = ask("GET", "/crash")
        assert '<form method="post" action="/crash">' in answer.text
        assert kills == []

    @pytest.mark.parametrize("site", [None, "same-origin", "none"])
    def test_a_post_of_the_demos_page_crashes_this_process(
        self, site: str | None, kills: list[tuple[int, int]]
    ) -> None:
        """It is a real crash, not an exit."""
        ask("POST", "/crash", b"", {"HTTP_SEC_FETCH_SITE": site} if site else {})
        assert kills == [(os.getpid(), signal.SIGSEGV)]

    def test_a_post_from_another_site_is_refused(self, kills: list[tuple[int, int]]) -> None:
        """A page elsewhere cannot use a visitor to crash a demo."""
        answer = ask("POST", "/crash", b"", {"HTTP_SEC_FETCH_SITE": "cross-site"})
        assert answer.status == "403 Forbidden"
        assert kills == []


def test_a_crash_ends_the_process_with_sigsegv() -> None:
    """Seen from outside, the worker has died of a signal."""
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "from twistcorn.demo import app\n"
        "app({'REQUEST_METHOD': 'POST', 'PATH_INFO': '/crash'}, print)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, timeout=60)
    assert ended.returncode == -signal.SIGSEGV


class TestTheRest:
    def test_error_raises_before_anything_is_said(self) -> None:
        """The server must answer 500."""
        with pytest.raises(RuntimeError, match="on purpose"):
            ask("GET", "/error")

    def test_environ_shows_every_key_in_order_as_plain_text(self) -> None:
        """Any value is shown as text in every browser."""
        answer = ask("GET", "/environ", more={"HTTP_X_MARKUP": "<script>"})
        lines = answer.text.splitlines()
        assert "HTTP_X_MARKUP = '<script>'" in lines
        keys = [line.partition(" = ")[0] for line in lines]
        assert keys == sorted(keys)
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    def test_environ_shows_text_that_utf_8_cannot_hold(self) -> None:
        """A lone surrogate in a variable is no reason to fail."""
        assert ask("GET", "/environ", more={"HTTP_X_ODD": "\udc80"}).status == "200 OK"

    def test_healthz_is_ok(self) -> None:
        """A health check needs two letters."""
        assert ask("GET", "/healthz").body == b"ok"


class TestEcho:
    def test_a_body_comes_back_byte_by_byte(self) -> None:
        """A body larger than one read is whole too."""
        body = bytes(range(256)) * 1000
        answer = ask("POST", "/echo", body)
        assert answer.body == body
        assert answer.headers["Content-Length"] == str(len(body))

    def test_it_reads_no_further_than_the_length(self) -> None:
        """What follows on the stream belongs to someone else."""
        environ = {"CONTENT_LENGTH": "2", "wsgi.input": io.BytesIO(b"ab next request")}
        assert ask("POST", "/echo", more=environ).body == b"ab"

    def test_a_body_without_a_length_is_read_to_the_end_that_the_server_makes(self) -> None:
        """This is a chunked body."""
        environ = {"wsgi.input": io.BytesIO(b"chunks"), "wsgi.input_terminated": True}
        assert ask("POST", "/echo", more=environ).body == b"chunks"

    def test_a_body_with_neither_length_nor_end_is_not_read(self) -> None:
        """Reading it could block forever."""
        assert ask("POST", "/echo", more={"wsgi.input": io.BytesIO(b"endless")}).body == b""

    def test_a_get_is_refused(self) -> None:
        """There is nothing to echo."""
        assert ask("GET", "/echo").headers["Allow"] == "POST"
