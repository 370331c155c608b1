"""services.gateway.switchboard: what is known of a call that another gateway has had."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.admission import Admission
from services.gateway.held import HeldCalls
from services.gateway.records import Records
from services.gateway.switchboard import Switchboard
from services.gateway.tokens import make_token
from shared.protocol.call import CallChange, CallId, CallState, WorkerId
from tests.support.clock import ManualClock
from tests.support.fragile_bus import FragileBus

CALL, SECRET = CallId("c"), b"secret"


@pytest.mark.parametrize("worker_id", [None, WorkerId("w-1")])
async def test_who_was_in_conversation_is_not_greeted_again_though_the_bus_is_slow(
    worker_id: WorkerId | None,
) -> None:
    """A slow reservation counts as the bus being away: whoever came back then began anew."""
    bus, clock = FragileBus(), ManualClock()
    unused: Any = None
    fields = {"worker_id": worker_id} if worker_id else {}
    await bus.inner.calls.apply(CallChange(CALL, CallState.IN_PROGRESS, fields))
    switchboard = Switchboard(
        bus=bus,
        records=Records(bus.inner.calls, "g2"),
        calls=HeldCalls(unused, bus.values, clock, wait_s=30, memory_s=600),
        admission=Admission(bus, SECRET, "g2", clock, memory_s=600),
        errands=unused,
        texts=unused,
        memory_s=600,
        bridge_limits=unused,
        metrics=unused,
        clock=clock,
        tasks=unused,
    )
    bus.is_away = True
    token = make_token(SECRET, CALL, clock.wall().timestamp() + 30)
    admitted = await switchboard.admit(CALL, token, None)
    assert admitted.call.request.resume is (worker_id is not None)
