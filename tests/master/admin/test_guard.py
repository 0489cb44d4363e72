"""The claims of twistcorn.master.admin.guard: who may see, who may act, and which names a server has."""

from __future__ import annotations

import pytest

from twistcorn.master.admin.guard import Guard, Role, Shown, is_loopback

HOST = "127.0.0.1:9000"


def shown(
    token: str = "", cookie: str = "", origin: str = "", marked: bool = False, scheme: str = "Bearer"
) -> Shown:
    """What a request shows."""
    return Shown(HOST, f"{scheme} {token}" if token else "", cookie, origin, marked)


@pytest.fixture
def guard() -> Guard:
    """Two tokens."""
    return Guard("see", "act")


class TestTokens:
    @pytest.mark.parametrize(
        ("token", "role"),
        [
            ("see", Role.READER), ("act", Role.ACTOR), ("", Role.NOBODY), ("se", Role.NOBODY), ("see ", Role.READER),
            ("SEE", Role.NOBODY), ("seesee", Role.NOBODY), ("s\udce9e", Role.NOBODY), ("sée", Role.NOBODY),
        ],
    )  # fmt: skip
    def test_role(self, guard: Guard, token: str, role: Role) -> None:
        """The token for actions opens for reading as well; any other opens nothing."""
        assert guard.role(shown(token)) is role

    def test_scheme(self, guard: Guard) -> None:
        """Its name is written in any case (RFC 9110 section 11.1); another scheme shows nothing."""
        assert guard.role(shown("see", scheme="bEARER")) is Role.READER
        assert guard.role(shown("see", scheme="Basic")) is Role.NOBODY

    def test_no_token_for_reading(self) -> None:
        """Everybody reads; acting takes a token all the same."""
        guard = Guard("", "act")
        assert guard.role(shown()) is Role.READER
        assert guard.role(shown("act")) is Role.ACTOR

    def test_no_token_for_actions(self) -> None:
        """Nobody acts, least of all who shows an empty one."""
        guard = Guard("see", "")
        for each in (shown("see"), shown(cookie=guard.cookie(Role.ACTOR), marked=True), Shown(authorization="Bearer ")):
            assert guard.role(each) < Role.ACTOR
        assert not guard.allows_actions


class TestCookies:
    def test_cookie_instead_of_a_token(self, guard: Guard) -> None:
        """It opens what its token does; the token is not in it."""
        for token, role in (("see", Role.READER), ("act", Role.ACTOR)):
            cookie = guard.cookie(role)
            assert token not in cookie
            assert guard.role(shown(cookie=cookie, marked=True)) is role

    def test_cookie_of_another_token(self, guard: Guard) -> None:
        """A token that was changed closes what it had opened."""
        assert guard.role(shown(cookie=Guard("see", "other").cookie(Role.ACTOR), marked=True)) is Role.NOBODY

    def test_forged_request(self, guard: Guard) -> None:
        """A page of another port of this host has the cookie, and cannot act: neither mark nor origin are right."""
        cookie = guard.cookie(Role.ACTOR)
        for each in (
            shown(cookie=cookie),
            shown(cookie=cookie, marked=True, origin="http://127.0.0.1:8000"),
            shown(cookie=cookie, marked=True, origin="null"),
        ):
            assert guard.role(each) is Role.READER
        assert guard.role(shown(cookie=cookie, marked=True, origin=f"http://{HOST}")) is Role.ACTOR


class TestHosts:
    @pytest.mark.parametrize(
        "host", ["localhost", "LOCALHOST:9000", "127.0.0.1:9000", "127.1.2.3", "[::1]:9000", "[::1]", "inside:1"]
    )
    def test_own_names(self, host: str) -> None:
        """The names of this machine for itself, and the name that the operator bound."""
        assert Guard("", "", ["inside"]).knows_host(host)

    @pytest.mark.parametrize(
        "host",
        ["", "evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example", "[::1", "a:b:c", "0x7f.1"],
    )
    def test_names_of_others(self, host: str) -> None:
        """A name that somebody else gave this address."""
        assert not Guard("", "", ["", "inside"]).knows_host(host)

    def test_token_is_enough(self, guard: Guard) -> None:
        """Where a token is shown, the name does not matter; on a UNIX socket no browser comes."""
        assert guard.knows_host("admin.example")
        assert Guard("", "", None).knows_host("whatever")


def test_loopback() -> None:
    """Addresses of this machine alone, also as IPv6 writes them."""
    assert [is_loopback(each) for each in ("127.0.0.9", "::1", "::ffff:127.0.0.1")] == [True] * 3
    assert [is_loopback(each) for each in ("0.0.0.0", "::", "10.1.1.1", "fe80::1%eth0", "name")] == [False] * 5
