"""What the pinned transport sends where; the inner transport is a fake that opens nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from shared.runtime.outbound_http import AddressRefused, PinnedTransport


class Names:
    """A resolver that knows a few names and may change its mind."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers.pop(0)


class Wire(httpx.AsyncBaseTransport):
    """Remembers what reached it; some addresses don't answer."""

    def __init__(self, *dead: str) -> None:
        self.dead = dead
        self.seen: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if request.url.host in self.dead:
            raise httpx.ConnectError("dead")
        return httpx.Response(204)


def client(names: Names, wire: Wire, *, allow_private: bool = False) -> httpx.AsyncClient:
    transport = PinnedTransport(allow_private=allow_private, resolve=names)
    transport._inner = wire  # type: ignore[assignment] # nothing is to be opened here
    return httpx.AsyncClient(transport=transport, trust_env=False)


async def test_the_checked_address_is_the_one_connected_to_under_the_name() -> None:
    names, wire = Names(["93.184.216.34"], ["127.0.0.1"]), Wire()
    async with client(names, wire) as http:
        await http.post("https://hooks.example:8443/in", content=b"x")
    (sent,) = wire.seen
    assert names.asked == [("hooks.example", 8443)]
    assert str(sent.url) == "https://93.184.216.34:8443/in"
    assert sent.headers["host"] == "hooks.example:8443"
    assert sent.extensions["sni_hostname"] == "hooks.example"
    assert await sent.aread() == b"x"


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["10.0.0.1", "::1"], ["169.254.169.254"], ["::ffff:10.0.0.1"]]
)
async def test_a_name_that_leads_inside_is_refused_and_nothing_is_sent(found: list[str]) -> None:
    wire = Wire()
    async with client(Names(found), wire) as http:
        with pytest.raises(AddressRefused, match=r"hooks\.example"):
            await http.get("http://hooks.example/")
    assert wire.seen == []


async def test_private_addresses_may_be_allowed() -> None:
    wire = Wire()
    async with client(Names(["10.0.0.1"]), wire, allow_private=True) as http:
        await http.get("http://inside.example/")
    assert wire.seen[0].url.host == "10.0.0.1"


async def test_of_mixed_addresses_only_public_ones_are_tried_until_one_answers() -> None:
    wire = Wire("93.184.216.34")
    names = Names(["10.0.0.1", "93.184.216.34", "2606:4700::1111"])
    async with client(names, wire) as http:
        assert (await http.get("http://hooks.example/")).status_code == 204
    assert [sent.url.host for sent in wire.seen] == ["93.184.216.34", "2606:4700::1111"]
    assert str(wire.seen[1].url) == "http://[2606:4700::1111]/"


async def test_no_address_that_answers_is_a_connect_error() -> None:
    wire = Wire("93.184.216.34", "93.184.216.35")
    async with client(Names(["93.184.216.34", "93.184.216.35"], []), wire) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("http://hooks.example/")
        with pytest.raises(httpx.ConnectError, match="no address"):
            await http.get("http://hooks.example/")


async def test_an_unknown_name_and_a_slow_name_server_are_connect_failures() -> None:
    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise OSError("unknown")

    async def slow(_host: str, _port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        raise AssertionError

    async with httpx.AsyncClient(transport=PinnedTransport(resolve=unknown)) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("http://hooks.example/")
    async with httpx.AsyncClient(transport=PinnedTransport(resolve=slow), timeout=0.02) as http:
        with pytest.raises(httpx.ConnectTimeout):
            await http.get("http://hooks.example/")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "http://[::1]:9/", "http://0x7f000001:9/", "http://2130706433:9"]
)
async def test_an_address_written_out_in_any_way_is_checked_too(url: str) -> None:
    async with httpx.AsyncClient(transport=PinnedTransport()) as http:
        with pytest.raises(AddressRefused):
            await http.get(url)


async def test_other_protocols_are_refused_before_anything_is_resolved() -> None:
    names = Names()
    async with client(names, Wire()) as http:
        with pytest.raises(httpx.UnsupportedProtocol):
            await http.get("ftp://hooks.example/")
    assert names.asked == []
