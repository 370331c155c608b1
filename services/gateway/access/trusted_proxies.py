"""PURE. Who a request comes from, where proxies of our own stand in front.

A forwarding header is anybody's to write. It counts only where the connection comes from a proxy
that is trusted, and only as far as trusted proxies have written it: each adds at the end the
address it was reached from, so it is read from the end, and the first address that is no trusted
proxy's is the client. What stands before it is the client's own word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_WITH_PORT = re.compile(r"\[(?P<six>[^\]]+)\](:[0-9]+)?|(?P<four>[0-9.]+):[0-9]+")


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read networks, or single addresses, joined by commas.

    Raises:
        ValueError: one is neither, or has bits beyond its mask.
    """
    names = (name.strip() for name in text.split(","))
    return tuple(ip_network(name) for name in names if name)


def client_of(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the address that a request comes from, as far as it is known for sure.

    Args:
        peer: the other end of the connection.
        forwarded: the values of all X-Forwarded-For headers, in their order.
        trusted: networks of the proxies whose word counts; none: the peer is the client.

    Returns:
        The address in its one spelling, IPv4 inside IPv6 as IPv4; a peer that is no address as is.
    """
    at = _address(peer)
    if at is None:
        return peer
    hops = [hop for value in forwarded for hop in value.split(",")] if trusted else []
    while hops and _is_within(at, trusted):
        before = _address(hops.pop())
        if before is None:
            break
        at = before
    return str(at)


def _address(text: str) -> Address | None:
    """Read an address, with a port or without."""
    match = _WITH_PORT.fullmatch(text.strip())
    bare = (match["six"] or match["four"]) if match else text.strip()
    try:
        found = ip_address(bare)
    except ValueError:
        return None
    inside = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return inside or found


def _is_within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
