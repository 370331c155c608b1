"""Which addresses are public."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from shared.runtime.addresses import is_public

PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.9"),
    *("198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
    *("2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1"),
    *("2002:7f00:1::", "2002:a00:1::", "2001:0:1:2:3:4:f5ff:fffe", "localhost", "", "1.2.3"),
    *("0x7f.1", "::127.0.0.1", "168.63.129.16", "192.0.0.192", "100.100.100.200", "2130706433"),
    *("64:ff9b::a9fe:a9fe", "2001:0:102:304::1"),
]
PUBLIC = ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("ip", PRIVATE)
def test_what_is_not_of_the_public_internet_is_not_public(ip: str) -> None:
    assert not is_public(ip)


@pytest.mark.parametrize("ip", [*PUBLIC, "64:ff9b::808:808", "2002:808:808::"])
def test_what_is_of_the_public_internet_is_public(ip: str) -> None:
    assert is_public(ip)


def test_an_address_object_serves_as_well_as_its_text() -> None:
    assert is_public(IPv4Address("8.8.8.8"))
    assert not is_public(IPv4Address("10.0.0.1"))
