"""Following outbound calls through the bus."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from services.dialer.calls.dialer import Dialer, new_call_id
from services.dialer.calls.follow import ActiveCalls, CallFollower
from services.dialer.calls.order import CallLimits, GatewayAddress
from shared.bus.memory import MemoryBus
from shared.bus.messages import BusEvent, Channel
from shared.metrics.catalogue import DialerMetrics
from shared.protocol.call import CallChange, CallId, CallState, Direction, EndClass, EndReason
from shared.runtime.tasks import TaskOwner
from shared.vobiz.client import HangupOutcome

CALL = CallId("c1")
OUTBOUND = {"direction": Direction.OUTBOUND}
ENDED = {"end_class": EndClass.CALLER, "end_reason": EndReason.BUSY}


def figures(registry: CollectorRegistry) -> tuple[float | None, float | None]:
    labels = {"end_class": "caller", "end_reason": "busy"}
    return (
        registry.get_sample_value("voice_dialer_active_calls"),
        registry.get_sample_value("voice_dialer_ended_total", labels),
    )


def test_ends_count_once_and_late_news_revives_nothing() -> None:
    calls = ActiveCalls()
    calls.on_active(CALL)
    calls.on_active(CALL)
    assert len(calls) == 1
    assert calls.on_end(CALL)
    assert not calls.on_end(CALL)
    calls.on_active(CALL)
    assert len(calls) == 0


def test_the_memory_of_ends_is_bounded() -> None:
    calls = ActiveCalls()
    for number in range(10_001):
        calls.on_end(CallId(str(number)))
    calls.on_active(CallId("0"))
    assert len(calls) == 1


def test_events_without_a_call_or_of_an_unknown_state_are_passed_over() -> None:
    registry = CollectorRegistry()
    follower = CallFollower(MemoryBus(), DialerMetrics(registry))
    follower.on_event(BusEvent(Channel.CALLS, "state", None, {}))
    odd = {"state": "hovering", "direction": "outbound"}
    follower.on_event(BusEvent(Channel.CALLS, "state", CALL, odd))
    assert figures(registry) == (0.0, None)


async def test_figures_follow_calls_that_began_before_and_after() -> None:
    bus, registry = MemoryBus(), CollectorRegistry()
    await bus.calls.apply(CallChange(CallId("old"), CallState.RINGING, OUTBOUND))
    await bus.calls.apply(CallChange(CallId("over"), CallState.FAILED, OUTBOUND))
    await bus.calls.apply(CallChange(CallId("in"), CallState.IN_PROGRESS, {"direction": "inbound"}))
    follower = CallFollower(bus, DialerMetrics(registry))
    async with TaskOwner("test") as tasks:
        tasks.start(follower.run(), name="follow")
        await follower.following.wait()
        assert figures(registry) == (1.0, None)
        await bus.calls.apply(CallChange(CALL, CallState.QUEUED, OUTBOUND))
        await bus.calls.apply(CallChange(CALL, CallState.BUSY, ENDED))
        await bus.calls.apply(CallChange(CallId("old"), CallState.BUSY, ENDED))
        for _ in range(20):  # turns of the loop, for the follower to take in what was published
            await asyncio.sleep(0)
        assert figures(registry) == (0.0, 2.0)


class NoVobiz:
    """A CallControl that nobody should ask."""

    async def make_call(
        self, body: object, *, before_sending: object = None, after_sending: object = None
    ) -> str | None:
        raise AssertionError(body)

    async def hang_up(self, call_uuid: str) -> HangupOutcome:
        raise AssertionError(call_uuid)


async def test_a_sweep_ends_only_queued_outbound_calls_that_are_old() -> None:
    now = datetime.now(UTC)
    bus = MemoryBus(wall=lambda: now - timedelta(seconds=700))
    for name, state, fields in (
        ("lost", CallState.QUEUED, OUTBOUND),
        ("talking", CallState.IN_PROGRESS, OUTBOUND),
        ("inbound", CallState.QUEUED, {"direction": Direction.INBOUND}),
        ("odd", CallState.QUEUED, {**OUTBOUND, "created_at": "yesterday"}),
        (
            "fresh",
            CallState.QUEUED,
            {**OUTBOUND, "created_at": (now - timedelta(seconds=42)).isoformat()},
        ),
    ):
        await bus.calls.apply(CallChange(CallId(name), state, fields))
    registry = CollectorRegistry()
    dialer = Dialer(
        NoVobiz(),
        bus.calls,
        DialerMetrics(registry),
        gateway=GatewayAddress("http://127.0.0.1:5000"),
        limits=CallLimits(),
    )
    assert await dialer.sweep(now=now, silent_for_s=600) == 1
    ended = await bus.calls.get(CallId("lost"))
    assert ended is not None
    assert (ended.state, ended.end_reason) == (CallState.FAILED, EndReason.UNKNOWN)
    assert await dialer.sweep(now=now, silent_for_s=600) == 0
    assert registry.get_sample_value("voice_dialer_swept_calls_total") == 1
    assert registry.get_sample_value("voice_dialer_oldest_queued_seconds") == 42
    await bus.calls.apply(CallChange(CallId("fresh"), CallState.RINGING, {}))
    await dialer.sweep(now=now, silent_for_s=600)
    assert registry.get_sample_value("voice_dialer_oldest_queued_seconds") == 0


def test_ids_never_repeat() -> None:
    assert len({new_call_id() for _ in range(100)}) == 100
