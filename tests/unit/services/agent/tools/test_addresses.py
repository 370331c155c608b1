from __future__ import annotations

import pytest

from services.agent.tools.addresses import is_public


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_addresses_of_the_open_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "0.0.0.0"),  # noqa: S104
        *("100.64.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "240.0.0.1"),
        *("168.63.129.16", "192.0.0.192", "100.100.100.200", "198.18.0.1", "203.0.113.5"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "::127.0.0.1"),
        *(
            "64:ff9b::a9fe:a9fe",
            "2001:db8::1",
            "2001:0:102:304::1",
            "not an address",
            "",
            "localhost",
            "2130706433",
        ),
    ],
)
def test_all_others_are_not(address: str) -> None:
    assert not is_public(address)
