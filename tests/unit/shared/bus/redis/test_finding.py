"""shared.bus.redis.finding: who is asked in which order; the rest is tested on real servers."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio.connection import Connection
from redis.asyncio.sentinel import MasterNotFoundError

from shared.bus.redis.finding import Address, Question, _Hosts
from tests.support.virtual_loop import in_virtual_time

HANG = [(f"10.0.0.{n}", 6379) for n in range(1, 7)]
LIVES = ("10.0.0.9", 6379)


class Hosts(_Hosts):
    """All but one of them hang."""

    def __init__(self, hosts: list[Address]) -> None:
        super().__init__(hosts, timeout_s=0.25, has_tls=False)
        self.asked: list[Address] = []

    async def _ask_one(self, address: Address, question: Question) -> Address | None:
        self.asked.append(address)
        if address != LIVES:
            await asyncio.sleep(3600)
        return LIVES


async def nothing(_connection: Connection, _address: Address) -> Address | None:
    return None


@in_virtual_time
async def test_commands_get_past_hosts_that_hang_though_each_ends_among_them() -> None:
    """Each began with the same hosts again: four that hung in a row kept a Redis away for good."""
    hosts = Hosts([*HANG, LIVES])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await hosts.ask(nothing)
    async with asyncio.timeout(1.0):
        assert await hosts.ask(nothing) == LIVES
    assert hosts.hosts[0] == LIVES
    assert sorted(hosts.hosts) == sorted([*HANG, LIVES])


@in_virtual_time
async def test_who_knew_is_asked_first_the_next_time() -> None:
    hosts = Hosts([HANG[0], LIVES])
    assert await hosts.ask(nothing) == LIVES
    hosts.asked.clear()
    assert await hosts.ask(nothing) == LIVES
    assert hosts.asked == [LIVES]


@in_virtual_time
async def test_when_nobody_answers_all_are_asked_and_none_is_forgotten() -> None:
    hosts = Hosts(HANG)
    with pytest.raises(MasterNotFoundError):
        await hosts.ask(nothing)
    assert hosts.asked == HANG
    assert hosts.hosts == tuple(HANG)
