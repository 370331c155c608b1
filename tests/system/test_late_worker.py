"""A worker whose loop is held up takes no new calls, and says so to the pool at once."""

from __future__ import annotations

import asyncio
import time

import pytest
from websockets.exceptions import InvalidStatus

from shared.protocol.call import CallId
from tests.system.test_worker import standing

pytestmark = pytest.mark.system


async def hold_up(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """Keep the loop busy for 0.1 s at a time: frames are late by that."""
    until_s = loop.time() + seconds
    while loop.time() < until_s:
        loop.call_soon(time.sleep, 0.1)
        await asyncio.sleep(0)


async def test_a_late_worker_keeps_its_calls_and_refuses_others() -> None:
    async with standing() as stand, stand.link("a"):
        assert stand.value("voice_agent_open_capacity_calls") == 2
        await hold_up(asyncio.get_running_loop(), 1.5)
        assert stand.value("voice_agent_open_capacity_calls") == 1
        with pytest.raises(InvalidStatus) as refused:
            async with stand.link("b"):
                pass
        assert refused.value.response.status_code == 503
        assert stand.value("voice_agent_capacity_calls") == 2
        (lease,) = await stand.bus.workers.workers()
        assert (lease.capacity, lease.active) == (1, 1)
        assert await stand.bus.workers.reserve(CallId("b")) is None
        assert stand.value("voice_agent_active_calls") == 1
