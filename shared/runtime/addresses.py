"""PURE. Which addresses belong to the public internet and to nobody's inside.

An address that a stranger, or a language model, has put into a URL must not lead to the host's own
services, its neighbours or its cloud's metadata.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_NAT64 = IPv6Network("64:ff9b::/96")
_LAST_32_BITS = 0xFFFFFFFF
# Services of clouds that tell secrets of the machine, at addresses that look public.
_METADATA = frozenset({ip_address("168.63.129.16"), ip_address("192.0.0.192")})


def is_public(ip: str | IPv4Address | IPv6Address) -> bool:
    """Whether an address is one host of the public internet.

    Not public are loopback, private, link-local, shared (carriers'), multicast, reserved and
    documentation addresses, those of clouds' metadata services, and IPv6 addresses that carry such
    an IPv4 address inside (mapped, NAT64, 6to4, Teredo). A text that is no address is not public
    either.
    """
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        inside = _carried(address)
        if inside is not None:
            return is_public(inside)
        if address.is_site_local:
            return False
    is_open = address.is_global and not address.is_multicast and not address.is_reserved
    return is_open and address not in _METADATA


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to, where it is one of those."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return IPv4Address(int(address) & _LAST_32_BITS)
    return None
