"""What proxies say about the client: which are believed, how far; malformed values change nothing."""

from __future__ import annotations

import pytest

from twistcorn.worker.http.forwarded import Hop, Trust, client_of

TRUST = Trust(["127.0.0.1", "::1", "10.0.0.0/8"])

#: Forwarded, X-Forwarded-For, -Proto, -Host -> what is believed.
SAID = {
    "one proxy": ("", "1.2.3.4", "https", "a.example", Hop("1.2.3.4", "", "https", "a.example")),
    "a spoofed entry on the left": ("", "6.6.6.6, 1.2.3.4", "https", "", Hop("1.2.3.4", "", "https", "")),
    "a chain of trusted proxies": ("", "1.2.3.4, 10.1.1.1, 10.2.2.2", "", "", Hop("1.2.3.4", "", "", "")),
    "all trusted: the leftmost": ("", "10.1.1.1, 10.2.2.2", "", "", Hop("10.1.1.1", "", "", "")),
    "as many schemes as hops: that of the hop": (
        "", "6.6.6.6, 1.2.3.4, 10.1.1.1", "http, https, http", "", Hop("1.2.3.4", "", "https", "")
    ),
    "another number of schemes: the last": (
        "", "1.2.3.4, 10.1.1.1", "https, http, https", "", Hop("1.2.3.4", "", "https", "")
    ),
    "an unknown scheme": ("", "1.2.3.4", "gopher", "", Hop("1.2.3.4", "", "", "")),
    "only a scheme": ("", "", "https", "", Hop("", "", "https", "")),
    "an address with a port": ("", "1.2.3.4:567", "", "", Hop("1.2.3.4", "567", "", "")),
    "IPv6 in brackets with a port": ("", "[2001:db8::1]:443", "", "", Hop("2001:db8::1", "443", "", "")),
    "IPv6 without brackets": ("", "2001:db8::1", "", "", Hop("2001:db8::1", "", "", "")),
    "an entry that is no address ends the chain": ("", "1.2.3.4, unknown, 10.1.1.1", "", "", Hop("", "", "", "")),
    "a host that is none": ("", "1.2.3.4", "", "a b/<c>", Hop("1.2.3.4", "", "", "")),
    "Forwarded": ("for=1.2.3.4;proto=https;host=a.example", "", "", "", Hop("1.2.3.4", "", "https", "a.example")),
    "Forwarded wins": ("for=1.2.3.4", "5.6.7.8", "https", "b.example", Hop("1.2.3.4", "", "", "")),
    "Forwarded with quotes and a chain": (
        'For="[2001:db8::1]:4711";Proto=HTTPS, for=10.0.0.1;proto=http', "", "", "",
        Hop("2001:db8::1", "4711", "https", ""),
    ),
    "a comma within quotes": (
        'for="1.2.3.4";host="a.example";x="1,2"', "", "", "", Hop("1.2.3.4", "", "", "a.example")
    ),
    "a hidden identifier": ("for=_hidden;proto=https, for=10.0.0.1", "", "", "", Hop("", "", "https", "")),
    "an element that cannot be read hides its left": (
        'for=1.2.3.4, for="broken, for=10.0.0.1', "", "", "", Hop("", "", "", "")
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID.values(), ids=SAID.keys())
def test_the_client_is_the_rightmost_address_that_is_not_trusted(case: tuple[str, str, str, str, Hop]) -> None:
    """A hop is believed as far as everything between it and us is trusted."""
    assert client_of(TRUST, *case[:4]) == case[4]


def test_nothing_said_changes_nothing() -> None:
    """Without a field there is no hop."""
    assert client_of(TRUST, "", "", "", "") is None


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [("127.0.0.1", True), ("::1", True), ("10.255.0.1", True), ("11.0.0.1", False), ("", True),
     ("::ffff:10.0.0.1", True), ("::ffff:11.0.0.1", False), ("fe80::1%eth0", False), ("no address", False)],
)  # fmt: skip
def test_a_peer_is_trusted_by_its_network(peer: str, trusted: bool) -> None:
    """Networks are compared in the address's own family; a peer on a UNIX socket has no address and is trusted."""
    assert (peer in TRUST) is trusted


def test_a_star_trusts_everybody() -> None:
    """`*` is for servers that only a proxy can reach."""
    assert "203.0.113.9" in Trust(["*"])
