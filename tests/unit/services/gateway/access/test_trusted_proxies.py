"""services.gateway.access.trusted_proxies: who a request comes from, behind proxies or not."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access.trusted_proxies import client_of, parse_networks

OURS = parse_networks("10.0.0.0/8, fd00::/8,192.0.2.1")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # Nobody in between, or somebody whose word does not count.
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.7"], "203.0.113.9"),
        ("192.0.2.2", ["198.51.100.7"], "192.0.2.2"),
        # One proxy of ours, and a chain of two.
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("192.0.2.1", ["198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("fd00::1", ["198.51.100.7", "10.0.0.2 , 10.0.0.3"], "198.51.100.7"),
        # What a client writes itself stands before what the proxy adds, and is not read.
        ("10.0.0.1", ["127.0.0.1, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.9", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.9, nonsense, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        # A proxy that says nothing, or nothing that can be read, is itself the client.
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, bad, 10.0.0.2"], "10.0.0.2"),
        # The proxies' own requests.
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
        # One spelling each, so that one client has one count.
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:DB8:0::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::0007"], "2001:db8::7"),
        ("testclient", ["198.51.100.7"], "testclient"),
    ],
)
def test_the_client_is_the_first_that_no_proxy_of_ours_vouches_for(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert client_of(peer, forwarded, OURS) == client


@given(st.lists(st.text(max_size=40), max_size=3))
def test_without_trusted_proxies_no_header_changes_anything(forwarded: list[str]) -> None:
    assert client_of("10.0.0.1", forwarded, ()) == "10.0.0.1"


@given(st.lists(st.text(max_size=40), max_size=3))
def test_whatever_a_client_writes_does_not_change_who_it_is(forwarded: list[str]) -> None:
    assert client_of("10.0.0.1", [*forwarded, "198.51.100.7"], OURS) == "198.51.100.7"


def test_networks_are_joined_by_commas_and_no_name_is_one() -> None:
    assert parse_networks(" ,") == ()
    assert parse_networks("10.1.0.0/16 ,::1") == (ip_network("10.1.0.0/16"), ip_network("::1"))
    for wrong in ("10.0.0.1/8", "proxy", "10.0.0.0/33", "10.0.0.1:80"):
        with pytest.raises(ValueError, match=r"does not appear|host bits"):
            parse_networks(wrong)
