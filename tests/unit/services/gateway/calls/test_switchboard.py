"""services.gateway.calls.switchboard: what is known of a call that another gateway has had."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.access.admission import Admission, Refusal, SocketRefused
from services.gateway.access.tokens import make_token
from services.gateway.calls.held import HeldCalls
from services.gateway.calls.records import Records
from services.gateway.calls.routing import PublicAddress
from services.gateway.calls.switchboard import Switchboard
from services.gateway.calls.token_note import write_note
from shared.protocol.call import CallChange, CallId, CallState, Direction, WorkerId
from shared.protocol.worker import LinkRequest
from tests.support.clock import ManualClock
from tests.support.fragile_bus import FragileBus

CALL, SECRET = CallId("c"), b"secret"
ASKED = LinkRequest(
    CALL,
    agent="sales",
    from_number="+918000000001",
    to_number="+918000000002",
    direction=Direction.OUTBOUND,
    metadata={"name": "Asha"},
    call_uuid="uuid-1",
    webhook_base="https://voice.example.com",
)


def second_gateway(bus: FragileBus, clock: ManualClock) -> Switchboard:
    unused: Any = None
    return Switchboard(
        bus=bus,
        records=Records(bus.calls, "g2"),
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


@pytest.mark.parametrize("worker_id", [None, WorkerId("w-1")])
async def test_who_was_in_conversation_is_not_greeted_again_though_the_bus_is_slow(
    worker_id: WorkerId | None,
) -> None:
    """A slow reservation counts as the bus being away: whoever came back then began anew."""
    bus, clock = FragileBus(), ManualClock()
    fields = {"worker_id": worker_id} if worker_id else {}
    await bus.inner.calls.apply(CallChange(CALL, CallState.IN_PROGRESS, fields))
    switchboard = second_gateway(bus, clock)
    switchboard._records = Records(bus.inner.calls, "g2")
    bus.is_away = True
    token = make_token(SECRET, CALL, clock.wall().timestamp() + 30)
    admitted = await switchboard.admit(CALL, token, None)
    assert admitted.call.request.resume is (worker_id is not None)


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_call_answered_elsewhere_is_taken_by_its_token_while_the_bus_is_away(
    *, is_whole: bool
) -> None:
    bus, clock = FragileBus(), ManualClock()
    bus.is_away = True
    now_unix_s = clock.wall().timestamp()
    note = write_note(ASKED, now_unix_s - 7, is_whole=is_whole)
    token = make_token(SECRET, CALL, now_unix_s + 30, note)
    address = PublicAddress("https://voice.example.com")
    held = (await second_gateway(bus, clock).admit(CALL, token, address)).call
    said = (
        ASKED
        if is_whole
        else LinkRequest(
            CALL,
            agent="sales",
            direction=Direction.OUTBOUND,
            call_uuid="uuid-1",
            webhook_base="https://voice.example.com",
        )
    )
    assert held.request == said
    assert held.call_uuid == "uuid-1"
    # Whatever the first gateway has counted in these seven seconds, a worker takes this for newer.
    assert held.attaches >= 7


async def test_a_call_that_nobody_tells_of_is_refused() -> None:
    bus, clock = FragileBus(), ManualClock()
    bus.is_away = True
    for note in ("", "e30", "bm90IGpzb24"):
        token = make_token(SECRET, CALL, clock.wall().timestamp() + 30, note)
        with pytest.raises(SocketRefused) as refused:
            await second_gateway(bus, clock).admit(CALL, token, None)
        assert refused.value.reason is Refusal.UNKNOWN
