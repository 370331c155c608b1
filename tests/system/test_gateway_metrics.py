"""What a gateway measures of one plain call, from its answer to its end."""

from __future__ import annotations

import pytest

from shared.bus.memory import MemoryBus
from tests.support.fake_worker import FakeWorker
from tests.support.gateway import MediaClient, new_call_id, running_gateway

pytestmark = pytest.mark.system


async def test_a_calls_figures_from_its_answer_to_its_end() -> None:
    bus = MemoryBus()
    async with FakeWorker(bus.workers) as worker, running_gateway(bus) as gateway:
        call_id = new_call_id()
        url = await gateway.media_url(call_id)
        link = await worker.call(call_id)
        assert gateway.metric("voice_gateway_answer_seconds_count") == 1
        assert 0 < gateway.metric("voice_gateway_answer_seconds_sum") < 1
        caller = await MediaClient.open(url, call_id)
        await caller.start()
        for _ in range(60):
            await caller.media()
        for _ in range(61):
            await link.next_frame()
        assert gateway.metric("voice_gateway_active_calls") == 1
        assert gateway.metric("voice_gateway_relay_queue_frames_count") == 1
        ended = {"direction": "inbound", "end_class": "success", "end_reason": "caller_hung_up"}
        for _ in range(2):  # Vobiz may bring it twice
            assert await gateway.hang_up(call_id) == 200
            assert gateway.metric("voice_gateway_ended_calls_total", **ended) == 1
        await caller.wait_closed()
        assert gateway.metric("voice_gateway_active_calls") == 0
