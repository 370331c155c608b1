"""Epochs of a call only grow, whatever the bus forgets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from services.gateway.calls.held import HeldCalls
from shared.protocol.call import CallId, Direction
from shared.protocol.worker import LinkRequest
from tests.support.clock import ManualClock
from tests.support.fragile_bus import FragileBus


class Opener:
    """Takes the epoch that a link would be opened with."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    async def open(self, request: LinkRequest, *, next_epoch: Any, **_: Any) -> SimpleNamespace:
        self.epochs.append(await next_epoch())
        return SimpleNamespace(concern=None, worker_id="w")


def request() -> LinkRequest:
    return LinkRequest(
        call_id=CallId("c"),
        agent="default",
        from_number="",
        to_number="",
        direction=Direction.INBOUND,
        metadata={},
    )


@pytest.mark.parametrize(
    "history",
    [
        "open away open open back open",
        "away open open open back open open",
        "open open forget open away open back open",
        "away open back forget open open",
    ],
)
async def test_epochs_grow_while_the_bus_is_away_and_when_it_has_forgotten(history: str) -> None:
    bus, opener, clock = FragileBus(), Opener(), ManualClock()
    calls = HeldCalls(opener, bus.values, clock, wait_s=30, memory_s=600)  # type: ignore[arg-type] # its one method
    held = calls.hold(request(), "uuid")
    for step in history.split():
        match step:
            case "open":
                await calls.open_link(held)
            case "away" | "back":
                bus.is_away = step == "away"
            case "forget":
                await bus.inner.values.delete("epoch:c")
    assert opener.epochs == sorted(set(opener.epochs))
    if not bus.is_away:
        stored = await bus.inner.values.get("epoch:c")
        assert stored == str(opener.epochs[-1])


async def test_another_gateways_epochs_are_counted_on() -> None:
    bus, opener, clock = FragileBus(), Opener(), ManualClock()
    calls = HeldCalls(opener, bus.values, clock, wait_s=30, memory_s=600)  # type: ignore[arg-type] # its one method
    for _ in range(4):
        await bus.inner.values.increment("epoch:c", ttl_s=60)
    await calls.open_link(calls.hold(request(), "uuid"))
    assert opener.epochs == [5]
