"""Client data from trusted proxies: X-Forwarded-For, -Proto, -Host, and Forwarded (RFC 7239).

Law: pure. Reads only what a trusted peer sent, and believes a hop only if every hop between it and us is trusted: the
rightmost untrusted address is the client. Ignores malformed values.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple

from ...grammar import TOKEN

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: RFC 7239 section 4: pairs of a token and a token or quoted string.
_PAIR = re.compile(rf'[ \t]*({TOKEN})=(?:"((?:[^"\\]|\\.)*)"|([^\s";,]+))[ \t]*')
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~]+)(?::[0-9]{1,5})?")
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?")
_SCHEMES = ("http", "https")
#: Hops read; a longer chain is an attack, not proxies.
_MAX_HOPS = 32


class Hop(NamedTuple):
    """What one proxy says of its client, and how that connected. Empty: unknown."""

    address: str
    port: str
    scheme: str
    host: str


class Trust:
    """The peers whose fields are believed.

    :param networks: addresses and networks (CIDR), or `*` for everybody.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._everybody = "*" in networks
        self._networks: list[Network] = [ipaddress.ip_network(text, strict=False) for text in networks if text != "*"]
        self._known: dict[str, bool] = {}

    def __contains__(self, peer: str) -> bool:
        """Whether an address is trusted; the empty address, a peer on a UNIX socket, always is."""
        known = self._known.get(peer)
        if known is None:
            known = self._find(peer)
            if len(self._known) >= 256:
                self._known.clear()
            self._known[peer] = known
        return known

    def _find(self, peer: str) -> bool:
        if not peer or self._everybody:
            return True
        address = parse_address(peer)
        return address is not None and any(address in network for network in self._networks)


def parse_address(text: str) -> Address | None:
    """Parse an address; an IPv4-mapped one (`::ffff:1.2.3.4`, from a dual-stack listener) becomes IPv4."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def client_of(trust: Trust, forwarded: str, x_for: str, x_proto: str, x_host: str) -> Hop | None:
    """What the trusted chain says about the client; None if it says nothing readable.

    :param forwarded: the value of Forwarded, which wins over the X- fields.
    """
    hops = _standard(forwarded) if forwarded else _customary(x_for, x_proto, x_host)
    for number in range(len(hops) - 1, -1, -1):
        hop = hops[number]
        if number == 0 or not hop.address or hop.address not in trust:
            return hop
    return None


def _standard(forwarded: str) -> list[Hop]:
    """The elements of Forwarded, as far as they are readable from the right end."""
    hops: list[Hop] = []
    for element in _split(forwarded)[-_MAX_HOPS:]:
        said: dict[str, str] = {}
        position = 0
        while position < len(element):
            found = _PAIR.match(element, position)
            if found is None:
                break
            said[found[1].lower()] = re.sub(r"\\(.)", r"\1", found[2]) if found[2] is not None else found[3]
            position = found.end() + 1
        # An unreadable element hides everything to its left.
        if position < len(element):
            hops.clear()
            said = {}
        hops.append(_hop(said.get("for", ""), said.get("proto", ""), said.get("host", "")))
    return hops


def _split(forwarded: str) -> list[str]:
    """Split at the commas outside quotes."""
    return [part for part in re.findall(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+', forwarded) if part.strip()]


def _customary(x_for: str, x_proto: str, x_host: str) -> list[Hop]:
    """The X- fields, hop by hop if they have equally many entries, otherwise the last entry for every hop."""
    addresses = [entry.strip() for entry in x_for.split(",")][-_MAX_HOPS:] if x_for else [""]
    schemes = _aligned(x_proto, len(addresses))
    hosts = _aligned(x_host, len(addresses))
    return [_hop(*entry) for entry in zip(addresses, schemes, hosts, strict=True)] if x_for or x_proto or x_host else []


def _aligned(field: str, size: int) -> list[str]:
    entries = [entry.strip() for entry in field.split(",")]
    return entries if len(entries) == size else [entries[-1]] * size


def _hop(node: str, scheme: str, host: str) -> Hop:
    address, port = "", ""
    if (plain := parse_address(node)) is not None:
        address = str(plain)
    elif (found := _NODE.fullmatch(node)) is not None and parse_address(found[1] or found[2]) is not None:
        address, port = str(parse_address(found[1] or found[2])), found[3] or ""
    scheme = scheme.lower()
    return Hop(
        address,
        port,
        scheme if scheme in _SCHEMES else "",
        host if _HOST.fullmatch(host) else "",
    )
