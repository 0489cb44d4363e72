"""The claims of the admin endpoint (admin, pages, visits): health, what is shown to whom, actions, and refusals."""

from __future__ import annotations

import json
import re
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from tests.master.stage import texts
from tests.master.visitors import HOST, Answer, House
from twistcorn.errors import AddressError, SettingsError
from twistcorn.master.admin.http_server import (
    IDLE_SECONDS,
    MAX_BODY_BYTES,
    MAX_CONNECTIONS,
    MAX_DROPPED_BYTES,
)

Make = Callable[..., House]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes a server with an admin endpoint, of one worker."""
    made: list[House] = []

    def build(run: bool = True, **settings: Any) -> House:
        made.append(House(**{"workers": 1, **settings}))
        if run:
            made[-1].run()
        return made[-1]

    yield build
    for house in made:
        house.close()


@pytest.fixture
def house(make: Make) -> House:
    """A server with one ready worker, without tokens."""
    return make()


def health(house: House) -> dict[str, tuple[int, str]]:
    """What is said of the server's health."""
    answers = {name: house.get(f"/{name}") for name in ("livez", "readyz", "startupz")}
    return {name: (answer.status, answer.body) for name, answer in answers.items()}


class TestHealth:
    def test_bound_only(self, make: Make) -> None:
        """Before anything runs, the process lives."""
        assert health(make(run=False)) == {
            "livez": (200, "live\n"), "readyz": (503, "starting\n"), "startupz": (503, "starting\n"),
        }  # fmt: skip

    def test_first_worker_boots(self, make: Make) -> None:
        """It is still starting."""
        house = make(run=False)
        house.serve = house.supervisor.start  # type: ignore[method-assign, assignment]
        house.run()
        assert health(house)["readyz"] == (503, "starting\n")
        assert health(house)["startupz"] == (503, "starting\n")

    def test_serving(self, house: House) -> None:
        """All is well."""
        assert health(house) == {
            "livez": (200, "live\n"), "readyz": (200, "ready\n"), "startupz": (200, "started\n"),
        }  # fmt: skip

    def test_no_worker_is_ready(self, house: House) -> None:
        """The last one died, and its replacement boots."""
        house.spawner.exits(house.ready[0], code=1)
        assert health(house)["readyz"] == (503, "no worker is ready\n")
        assert health(house)["startupz"] == (200, "started\n")
        house.boot_all()
        assert health(house)["readyz"] == (200, "ready\n")

    def test_server_was_told_to_stop(self, house: House) -> None:
        """From that moment it is not ready, whatever it still answers; and it lives."""
        house.board.announce_stop()
        assert health(house) == {
            "livez": (200, "live\n"), "readyz": (503, "stopping\n"), "startupz": (200, "started\n"),
        }  # fmt: skip
        house.supervisor.stop(quick=False)
        assert health(house)["readyz"] == (503, "stopping\n")

    def test_without_a_token(self, make: Make) -> None:
        """Load balancers have none, and use any name."""
        house = make(admin_token="see")
        assert house.get("/readyz", Host="10.0.0.7").status == 200
        assert make().get("/readyz", Host="10.0.0.7").status == 200


class TestBinding:
    def test_others_could_reach_it(self, make: Make) -> None:
        """Without a token that is refused, with what to do; nothing listens."""
        house = make(run=False, admin="tcp:0:interface=0.0.0.0")
        problem = refused(house)
        assert isinstance(problem, SettingsError)
        assert re.fullmatch(
            r"--admin http://0\.0\.0\.0:\d+ is reachable from other machines: set --admin-token, or use a loopback"
            r" address such as 127\.0\.0\.1:\d+",
            str(problem),
        )
        assert not house.clock.readers

    def test_others_need_the_token(self, make: Make) -> None:
        """With one it is bound anywhere, and then any name is right."""
        house = make(admin="tcp:0:interface=0.0.0.0", admin_token="see")
        assert house.get("/history", Authorization="Bearer see", Host="server.example").status == 200

    def test_taken(self, make: Make) -> None:
        """The error is that of any address."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            problem = refused(make(run=False, admin=f"tcp:{port}:interface=127.0.0.1"))
        assert isinstance(problem, AddressError)
        assert str(problem) == f"cannot listen on tcp:{port}:interface=127.0.0.1: Address already in use"

    def test_unix_socket(self, make: Make, tmp_path: Path) -> None:
        """It is its owner's alone, needs no token, and is gone with the server."""
        path = tmp_path / "admin.sock"
        house = make(admin=f"unix:{path}:lockfile=0")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert house.get("/history", Host="whatever").status == 200
        house.admin.close()
        house.clock.advance(0)
        assert not path.exists()

    def test_unix_socket_with_a_mode(self, make: Make, tmp_path: Path) -> None:
        """The operator may open it to others."""
        path = tmp_path / "admin.sock"
        make(run=False, admin=f"unix:{path}:lockfile=0:mode=660")
        assert stat.S_IMODE(path.stat().st_mode) == 0o660

    def test_process_ends_at_once(self, make: Make, tmp_path: Path) -> None:
        """No file stays behind."""
        path = tmp_path / "admin.sock"
        make(run=False, admin=f"unix:{path}:lockfile=0").admin.abandon()
        assert not path.exists()


class TestReading:
    def test_page(self, house: House) -> None:
        """It is one page with its style and scripts; nothing of it is from elsewhere, kept or framed."""
        answer = house.get("/")
        assert answer.status == 200
        assert 'data-actions="none"' in answer.body
        for name in re.findall(r'(?:href|src)="([^":]+\.(?:css|js))"', answer.body):
            assert house.get(f"/{name}").status == 200
        assert not re.search(r"https?://", answer.body + house.get("/admin.js").body)
        assert answer.fields["cache-control"] == "no-store"
        assert answer.fields["x-content-type-options"] == "nosniff"
        assert answer.fields["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in answer.fields["content-security-policy"]

    def test_head(self, house: House) -> None:
        """As GET, without the body; of events there is no end to wait for."""
        visitor = house.visitor()
        for path in ("/", "/livez", "/history", "/metrics"):
            assert int(visitor.ask("HEAD", path).fields["content-length"]) > 0
        answer = visitor.ask("HEAD", "/events")
        assert (answer.status, answer.fields["content-type"]) == (200, "text/event-stream")
        assert visitor.ask("GET", "/livez").body == "live\n"

    def test_history(self, house: House) -> None:
        """A sample each second."""
        house.answers(house.ready[0], 7)
        house.pass_by(2.1)
        past = json.loads(house.get("/history").body)
        assert len(past["samples"]["time"]) == 2
        assert past["samples"]["utilization"] == [0.0, 0.0]
        assert sum(past["samples"]["rate"]) > 0

    def test_history_before_the_start(self, make: Make) -> None:
        """There is none."""
        assert json.loads(make(run=False).get("/history").body)["samples"] == {}

    def test_metrics(self, house: House) -> None:
        """In the format of whoever scrapes; it need not be there at once."""
        house.scraped = Deferred()
        visitor = house.visitor()
        assert visitor.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
        house.scraped.callback(("text/openmetrics", b"up 1\n"))
        assert visitor.transport.value().endswith(b"up 1\n")
        assert b"Content-Type: text/openmetrics\r\n" in visitor.transport.value()

    def test_scraper_leaves(self, house: House) -> None:
        """Nobody is answered then."""
        house.scraped = Deferred()
        visitor = house.visitor()
        visitor.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        visitor.leave()
        house.scraped.callback(("text/plain", b"up 1\n"))
        assert visitor.transport.value() == b""

    def test_metrics_fail(self, house: House) -> None:
        """That is a mistake of ours: the log says what, the scraper only that."""
        house.scraped = fail(ZeroDivisionError("secret"))
        with capturedLogs() as logged:
            answer = house.get("/metrics")
        assert (answer.status, "secret" in answer.body) == (500, False)
        assert any("internal error on the admin endpoint" in text for text in texts(logged))

    @pytest.mark.parametrize("path", ["/", "/events", "/history", "/metrics"])
    def test_token_is_needed(self, make: Make, path: str) -> None:
        """401 with one plain line, and how to show it."""
        house = make(admin_token="see", admin_action_token="act")
        for fields in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "twistcorn-admin-1=wrong"}):
            answer = house.get(path, **fields)
            assert answer.status == 401
            assert answer.body.count("\n") == 1
            assert answer.fields["www-authenticate"].startswith("Bearer")
        for token in ("see", "act"):
            assert house.ask("HEAD", path, Authorization=f"Bearer {token}").status == 200

    def test_name_of_another(self, house: House) -> None:
        """DNS rebinding: a page elsewhere whose name comes to mean this address reads nothing."""
        for path in ("/", "/history", "/metrics", "/login"):
            answer = house.get(path, Host="evil.example")
            assert (answer.status, "localhost" in answer.body) == (403, True)


def cookie_of(answer: Answer) -> str:
    """The cookie that an answer sets, as the browser sends it."""
    cookie = answer.fields["set-cookie"]
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
    return cookie.partition(";")[0]


class TestLogIn:
    def test_form(self, make: Make) -> None:
        """A browser without a token is shown a form; what is typed there opens the page."""
        house = make(admin_token="see", admin_action_token="act")
        answer = house.get("/", Accept="text/html")
        assert (answer.status, "<form" in answer.body) == (401, True)
        for token, actions in (("see", "locked"), ("act", "allowed")):
            answer = house.ask("POST", "/login", f"token={token}", Origin=f"http://{HOST}")
            assert (answer.status, answer.fields["location"]) == (303, "./")
            assert token not in cookie_of(answer)
            assert f'data-actions="{actions}"' in house.get("/", Cookie=cookie_of(answer)).body

    def test_link(self, make: Make) -> None:
        """`?token=` does the same, and the page behind it has another address."""
        house = make(admin_action_token="act")
        answer = house.get("/?token=act")
        assert "url=./" in answer.body
        assert 'data-actions="allowed"' in house.get("/", Cookie=cookie_of(answer)).body
        assert 'data-actions="locked"' in house.get("/").body

    def test_wrong_token(self, make: Make) -> None:
        """It opens nothing, and no cookie is set; nor does a form of another page."""
        house = make(admin_token="see")
        wrong = house.get("/?token=wrong")
        forged = house.ask("POST", "/login", "token=see", Origin="http://evil.example")
        for answer in (wrong, house.ask("POST", "/login", "token="), forged):
            assert (answer.status, "set-cookie" in answer.fields, answer.body.count("\n")) == (403, False, 1)


class TestActions:
    @pytest.fixture
    def house(self, make: Make) -> House:
        """A server of two workers that can be acted on."""
        return make(workers=2, admin_action_token="act")

    def act(self, house: House, action: str, body: str = "", **fields: str) -> Answer:
        """Act, with the token."""
        return house.ask("POST", f"/actions/{action}", body, Authorization="Bearer act", **fields)

    def test_scale(self, house: House) -> None:
        """So many workers are wanted."""
        assert self.act(house, "scale", "workers=3").body == "worker target set to 3\n"
        assert house.supervisor.target == 3

    def test_recycle(self, house: House) -> None:
        """A worker is replaced: first the new one, then it goes."""
        assert self.act(house, "recycle", "worker=1").status == 200
        house.boot_all()
        assert house.states == {1: "draining", 2: "ready", 3: "ready"}

    def test_reload(self, house: House) -> None:
        """It is answered when it is over."""
        visitor = house.visitor()
        head = f"POST /actions/reload HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer act\r\n\r\n"
        assert visitor.send(head.encode()) == b""
        house.boot_all()
        assert visitor.transport.value().endswith(b"\r\n\r\nreloaded\n")

    def test_reload_that_does_not_go_through(self, house: House) -> None:
        """The answer says why."""
        house.written = SettingsError("invalid value 'x' for --threads: expected a whole number")
        answer = self.act(house, "reload")
        assert (answer.status, answer.body) == (409, "invalid value 'x' for --threads: expected a whole number\n")

    @pytest.mark.parametrize(
        ("action", "body", "status"),
        [
            ("scale", "", 400), ("scale", "workers=", 400), ("scale", "workers=-1", 400), ("scale", "workers=0", 409),
            ("scale", "workers=99999", 409), ("scale", "workers=9999999999", 400), ("scale", "workers=%D9%A3", 400),
            ("recycle", "worker=77", 409), ("recycle", "workers=1", 400),
        ],
    )  # fmt: skip
    def test_what_cannot_be_done(self, house: House, action: str, body: str, status: int) -> None:
        """One plain line says why, and nothing is changed."""
        answer = self.act(house, action, body)
        assert (answer.status, answer.body.count("\n")) == (status, 1)
        unchanged(house)

    def test_server_stops(self, house: House) -> None:
        """Nothing is done then."""
        house.board.announce_stop()
        assert self.act(house, "scale", "workers=3").status == 409
        unchanged(house)

    @pytest.mark.parametrize("action", ["reload", "scale?workers=5", "recycle?worker=1"])
    def test_without_the_token(self, make: Make, action: str) -> None:
        """Whoever has none, that for reading, a wrong one, or a cookie on a page of another origin, changes nothing."""
        house = make(workers=2, admin_token="see", admin_action_token="act")
        cookie = cookie_of(house.ask("POST", "/login", "token=act"))
        for fields in (
            {}, {"Authorization": "Bearer see"}, {"Authorization": "Bearer wrong"}, {"Cookie": cookie},
            {"Cookie": cookie, "X_Twistcorn": "page", "Origin": "http://127.0.0.1:8000"},
        ):  # fmt: skip
            answer = house.ask("POST", f"/actions/{action}", **fields)
            assert (answer.status, answer.body.count("\n")) == (403, 1)
        unchanged(house)

    def test_as_the_page_does(self, house: House) -> None:
        """With the cookie, a field that no form can send, and its own origin."""
        cookie = cookie_of(house.ask("POST", "/login", "token=act"))
        answer = house.ask(
            "POST", "/actions/scale", "workers=1", Cookie=cookie, X_Twistcorn="page", Origin=f"http://{HOST}"
        )
        assert answer.body == "worker target set to 1\n"

    def test_read_only(self, make: Make) -> None:
        """Without a token for actions there are none."""
        house = make(workers=2)
        answer = house.ask("POST", "/actions/reload")
        assert (answer.status, "read-only" in answer.body) == (403, True)
        unchanged(house)


def unchanged(house: House) -> None:
    """Two workers of the first generation, as wanted."""
    house.boot_all()
    assert (house.supervisor.target, house.generations) == (2, {1: "ready ready"})


class TestRefusals:
    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("POST", "/", "GET, HEAD"), ("OPTIONS", "/events", "GET, HEAD"), ("DELETE", "/livez", "GET, HEAD"),
            ("GET", "/actions/reload", "POST"), ("get", "/", "GET, HEAD"), ("PUT", "/login", "GET, HEAD, POST"),
        ],
    )  # fmt: skip
    def test_method(self, house: House, method: str, path: str, allowed: str) -> None:
        """405, and what is allowed."""
        answer = house.ask(method, path)
        assert (answer.status, answer.fields["allow"]) == (405, allowed)

    @pytest.mark.parametrize(
        "path", ["/x", "//", "/events/", "/admin.html", "/../settings.py", "/%2e%2e/x", "http://x/"]
    )
    def test_path(self, house: House, path: str) -> None:
        """404."""
        assert house.get(path).status == 404

    def test_body(self, make: Make) -> None:
        """A large one is not kept, and told so; a huge one is not even read to its end."""
        house = make(admin_action_token="act")
        assert house.ask("POST", "/login", "x" * (MAX_BODY_BYTES + 1)).status == 413
        visitor = house.visitor()
        visitor.send(b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(MAX_DROPPED_BYTES // 65536 + 1):
            visitor.send(b"10000\r\n%s\r\n" % (b"x" * 65536))
        assert visitor.transport.value().startswith(b"HTTP/1.1 413 ")
        assert visitor.transport.disconnecting

    def test_rest_of_a_huge_body(self, house: House) -> None:
        """What came with the piece that was too much is not refused once more."""
        visitor = house.visitor()
        visitor.send(b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        visitor.send(b"10000\r\n%s\r\n" % (b"x" * 65536) * (MAX_DROPPED_BYTES // 65536 + 3))
        assert visitor.transport.value().count(b"HTTP/1.1 413 ") == 1

    @pytest.mark.parametrize(
        "data",
        [
            b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
            b"nonsense\r\n\r\n", b"GET /\xe9 HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"\x16\x03\x01\x00\xa5\r\n\r\n",
        ],
    )  # fmt: skip
    def test_malformed(self, house: House, data: bytes) -> None:
        """400, and the connection ends."""
        visitor = house.visitor()
        assert visitor.send(data).startswith(b"HTTP/1.1 400 ")
        assert visitor.transport.disconnecting

    def test_too_many_connections(self, house: House) -> None:
        """One too many is closed while all others wait for an answer; when one leaves there is room."""
        house.scraped = Deferred()
        visitors = [house.visitor() for _ in range(MAX_CONNECTIONS)]
        for visitor in visitors:
            visitor.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert house.visitor().protocol is None
        visitors[0].leave()
        assert house.get("/livez").status == 200

    def test_many_that_ask_nothing(self, house: House) -> None:
        """Who sends half a head, for ever, keeps nobody out: the oldest go, but not who waits for an answer."""
        reader, *others = [house.visitor() for _ in range(MAX_CONNECTIONS)]
        reader.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for each in others:
            each.send(b"GET / HTTP/1.1\r\nHost: ")
        assert house.get("/livez").status == 200
        assert house.get("/livez").status == 200
        assert [each.transport.aborted for each in (reader, *others[:3])] == [False, True, True, False]

    def test_connection_that_says_nothing(self, house: House) -> None:
        """It is ended after a while, and nothing is logged."""
        visitor = house.visitor()
        with capturedLogs() as logged:
            house.clock.advance(IDLE_SECONDS + 1)
        assert visitor.transport.disconnecting
        assert not logged

    def test_whole_server(self, house: House) -> None:
        """`OPTIONS *` is a wrong path like others, and answered with the same fields."""
        answer = house.ask("OPTIONS", "*")
        assert (answer.status, answer.fields["server"]) == (404, "twistcorn")


class TestEnd:
    def test_closed(self, house: House) -> None:
        """All connections end, and nothing is left to do."""
        visitor, reader = house.visitor(), house.visitor()
        reader.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        house.admin.close()
        house.admin.close()
        assert visitor.transport.disconnecting
        assert reader.transport.value().endswith(b"\r\n0\r\n\r\n")
        assert not house.clock.readers


def refused(house: House) -> BaseException | None:
    """Why the endpoint could not be bound."""
    caught: list[BaseException | None] = []

    def catch(failure: Failure) -> None:
        caught.append(failure.value)

    house.bound.addErrback(catch)
    return caught[0]
