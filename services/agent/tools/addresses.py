"""PURE. Which addresses a request on an agent's behalf must not go to.

A model, and through it a caller, decides parts of a tool's request; the request must not reach the
platform's own network. An address inside another (IPv4 in IPv6, by any of the usual mappings) is
judged as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# Services of clouds that tell secrets of the machine, at addresses that look public.
_METADATA = frozenset({ip_address("168.63.129.16"), ip_address("192.0.0.192")})
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an address is one of the open Internet; what is no address is not."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(_is_open(one) for one in (parsed, *_within(parsed)))


def _is_open(address: IPv4Address | IPv6Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_unspecified
        and address not in _METADATA
    )


def _within(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address]:
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
    if 1 < int(address) <= 0xFFFFFFFF:
        yield IPv4Address(int(address))
