"""A bus that has lost its data does not shut a caller out, nor let a second one in."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.access.admission import HEARTBEAT_S, Admission, Refusal, SocketRefused
from shared.protocol.call import CallId
from shared.runtime.clock import Clock
from tests.support.clock import ManualClock
from tests.support.fragile_bus import FragileBus
from tests.support.virtual_loop import LoopClock, in_virtual_time

CALL = CallId("c")


class Door:
    def __init__(self, clock: Clock | None = None, bus: FragileBus | None = None) -> None:
        self.bus = bus or FragileBus()
        self.admission = Admission(self.bus, b"secret", "g1", clock or ManualClock(), memory_s=600)
        self.is_free = True

    async def admit(self, *, is_late: bool = False, was_used_here: bool = False) -> bool:
        async def is_free_here() -> bool:
            return self.is_free

        return await self.admission.admit(
            CALL, is_late=is_late, was_used_here=was_used_here, is_free_here=is_free_here
        )


async def test_the_first_to_come_is_no_reconnect_and_the_second_is() -> None:
    door = Door()
    assert not await door.admit()
    assert await door.admit(was_used_here=True)


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_reconnect_is_let_in_by_memory_when_the_bus_has_forgotten(is_late: bool) -> None:
    door = Door()
    await door.admit()
    await door.bus.inner.values.delete(f"media:{CALL}")
    assert await door.admit(is_late=is_late, was_used_here=True)
    assert await door.bus.inner.values.get(f"media:{CALL}") == "g1"


async def test_a_second_socket_is_refused_though_the_bus_has_forgotten_the_first() -> None:
    door = Door()
    await door.admit()
    await door.bus.inner.values.delete(f"media:{CALL}")
    door.is_free = False
    with pytest.raises(SocketRefused) as refused:
        await door.admit(was_used_here=True)
    assert refused.value.reason is Refusal.USED


async def test_a_late_token_that_nobody_here_has_seen_used_is_refused() -> None:
    with pytest.raises(SocketRefused) as refused:
        await Door().admit(is_late=True)
    assert refused.value.reason is Refusal.LATE


@in_virtual_time
async def test_who_comes_from_a_gateway_that_died_a_moment_ago_is_let_in() -> None:
    """It counted as alive for 4 s, and claims end after 1.5: the first reconnect was refused."""
    door = Door(LoopClock())
    other = Admission(door.bus, b"secret", "g2", LoopClock(), memory_s=600)
    await other.heartbeat()
    await door.bus.values.put(f"media:{CALL}", "g2", ttl_s=600)
    assert await door.admit()
    assert await door.bus.values.get(f"media:{CALL}") == "g1"


@in_virtual_time
async def test_a_gateway_that_lives_keeps_its_callers() -> None:
    door = Door(LoopClock())
    other = Admission(door.bus, b"secret", "g2", LoopClock(), memory_s=600)
    await door.bus.values.put(f"media:{CALL}", "g2", ttl_s=600)

    async def live() -> None:
        while True:
            await other.heartbeat()
            await asyncio.sleep(HEARTBEAT_S)

    living = asyncio.ensure_future(live())
    await asyncio.sleep(0.3)
    with pytest.raises(SocketRefused):
        await door.admit()
    living.cancel()
