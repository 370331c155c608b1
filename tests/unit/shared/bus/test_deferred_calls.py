"""Changes wait for the store in order, are written once, and are bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from shared.bus.base import BusUnavailable
from shared.bus.deferred_calls import DeferredCalls, WriteDeferred
from shared.bus.memory import MemoryBus
from shared.bus.messages import Applied, Channel
from shared.metrics.catalogue import DeferredMetrics
from shared.protocol.call import CallChange, CallId, CallRecord, CallState, EndClass
from tests.support.virtual_loop import LoopClock, VirtualLoop, in_virtual_time


class Store:
    """A store in memory that can be away, hang, or take a change and lose the answer."""

    def __init__(self) -> None:
        clock = LoopClock()
        self.bus = MemoryBus(clock=clock, wall=clock.wall)
        self.is_away = False
        self.is_hanging = False
        self.loses_answers = False
        self.applied: list[CallChange] = []

    async def apply(self, change: CallChange) -> Applied:
        if self.is_hanging:
            await asyncio.sleep(60)
        if self.is_away:
            raise BusUnavailable("away")
        if "bad" in change.call_id:
            raise ValueError(change.call_id)
        self.applied.append(change)
        applied = await self.bus.calls.apply(change)
        if self.loses_answers:
            raise BusUnavailable("the answer was lost")
        return applied

    async def get(self, call_id: CallId) -> CallRecord | None:
        return await self.bus.calls.get(call_id)

    async def recent(self, limit: int, *, before: CallId | None = None) -> list[CallRecord]:
        return await self.bus.calls.recent(limit, before=before)


class Stage:
    def __init__(self, **more: Any) -> None:
        self.store = Store()
        self.registry = CollectorRegistry()
        self.calls = DeferredCalls(self.store, DeferredMetrics(self.registry), LoopClock(), **more)

    def count(self, outcome: str) -> float:
        name = "voice_bus_deferred_changes_total"
        return self.registry.get_sample_value(name, {"outcome": outcome}) or 0.0

    async def defer(self, change: CallChange) -> None:
        with pytest.raises(WriteDeferred):
            await self.calls.apply(change)


def begin(call: str) -> CallChange:
    return CallChange(CallId(call), CallState.IN_PROGRESS)


def end(call: str, state: CallState = CallState.COMPLETED) -> CallChange:
    return CallChange(CallId(call), state, {"end_class": EndClass.CALLER})


@in_virtual_time
async def test_a_store_that_answers_is_written_to_at_once() -> None:
    stage = Stage()
    async with stage.calls:
        assert (await stage.calls.apply(end("c"))).became_final
        record = await stage.calls.get(CallId("c"))
        assert record is not None
        assert record.state is CallState.COMPLETED
        assert len(await stage.calls.recent(5)) == 1
    assert stage.count("kept") == 0


@in_virtual_time
async def test_changes_are_written_in_order_when_it_is_back() -> None:
    stage = Stage()
    changes = [begin("a"), begin("b"), end("a"), end("b")]
    async with stage.calls:
        stage.store.is_away = True
        for change in changes:
            await stage.defer(change)
        await asyncio.sleep(30)
        assert (len(stage.calls), stage.store.applied) == (4, [])
        stage.store.is_away = False
        await asyncio.sleep(1.1)
        written = [(change.call_id, change.state) for change in stage.store.applied]
        assert written == [(change.call_id, change.state) for change in changes]
        assert len(stage.calls) == 0
        assert (await stage.calls.apply(begin("c"))).state_changed
    assert (stage.count("kept"), stage.count("written")) == (4, 4)


@in_virtual_time
async def test_a_call_ended_when_it_ended_and_not_when_that_was_written() -> None:
    stage = Stage()
    async with stage.calls:
        await stage.calls.apply(begin("a"))
        stage.store.is_away = True
        ended_at = LoopClock().wall().isoformat(timespec="milliseconds")
        await stage.defer(end("a"))
        await asyncio.sleep(20)
        stage.store.is_away = False
        await asyncio.sleep(1.1)
    record = await stage.calls.get(CallId("a"))
    assert record is not None
    assert record.ended_at == ended_at


@in_virtual_time
async def test_an_end_told_again_and_one_whose_answer_was_lost_count_once() -> None:
    stage = Stage()
    async with stage.store.bus.events.subscribe(Channel.HANGUPS) as events, stage.calls:
        stage.store.loses_answers = True
        await stage.defer(end("a"))
        await stage.defer(end("a"))
        assert len(stage.calls) == 1
        stage.store.loses_answers = False
        await asyncio.sleep(1.1)
        await stage.calls.apply(end("b"))
        assert (await anext(events)).call_id == "a"
        assert (await anext(events)).call_id == "b"


@in_virtual_time
async def test_one_that_hung_keeps_its_place_before_those_refused_at_once() -> None:
    stage = Stage()
    async with stage.calls:
        stage.store.is_hanging = True
        first = asyncio.ensure_future(stage.calls.apply(begin("a")))
        await asyncio.sleep(0.5)
        stage.store.is_hanging, stage.store.is_away = False, True
        await stage.defer(end("a"))
        with pytest.raises(WriteDeferred):
            await first
        stage.store.is_away = False
        await asyncio.sleep(1.1)
    assert [change.state for change in stage.store.applied][-2:] == [
        CallState.IN_PROGRESS,
        CallState.COMPLETED,
    ]


@in_virtual_time
async def test_what_waits_is_bounded_and_ends_have_the_last_places() -> None:
    stage = Stage(max_waiting=4)
    async with stage.calls:
        stage.store.is_away = True
        await stage.defer(begin("a"))
        await stage.defer(begin("b"))
        with pytest.raises(BusUnavailable) as refused:
            await stage.calls.apply(begin("c"))
        assert not isinstance(refused.value, WriteDeferred)
        await stage.defer(end("a"))
        await stage.defer(end("b"))
        with pytest.raises(BusUnavailable):
            await stage.calls.apply(end("c"))
        assert stage.count("refused") == 2
        stage.store.is_away = False


@in_virtual_time
async def test_a_change_that_can_not_be_written_does_not_hold_the_rest_up() -> None:
    stage = Stage()
    async with stage.calls:
        stage.store.is_away = True
        await stage.defer(end("bad"))
        await stage.defer(end("good"))
        stage.store.is_away = False
        await asyncio.sleep(1.1)
        assert await stage.calls.get(CallId("good")) is not None
    assert stage.count("unwritable") == 1


@in_virtual_time
async def test_leaving_writes_what_waits_and_counts_what_is_lost() -> None:
    stage = Stage()
    async with stage.calls:
        stage.store.is_away = True
        await stage.defer(end("a"))
        stage.store.is_away = False
    assert await stage.calls.get(CallId("a")) is not None
    other = Stage()
    async with other.calls:
        other.store.is_away = True
        await other.defer(end("a"))
    assert other.count("lost") == 1


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(list(CallState)), st.booleans()),
        max_size=20,
    )
)
def test_whenever_the_store_is_away_the_records_are_the_same_in_the_end(
    history: list[tuple[str, CallState, bool]],
) -> None:
    async def run(*, has_outages: bool) -> list[tuple[str, CallState]]:
        stage = Stage()
        async with (
            stage.store.bus.events.subscribe(Channel.HANGUPS) as events,
            stage.calls,
        ):
            for call, state, is_away in history:
                stage.store.is_away = is_away and has_outages
                try:
                    await stage.calls.apply(CallChange(CallId(call), state))
                except WriteDeferred:
                    await asyncio.sleep(0.3)
            stage.store.is_away = False
            await asyncio.sleep(5)
            ended = [r.call_id for r in await stage.calls.recent(9) if r.state.is_final]
            told = [(await anext(events)).call_id for _ in ended]
            assert sorted(told, key=str) == sorted(ended)
            return sorted((r.call_id, r.state) for r in await stage.calls.recent(9))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(run(has_outages=True)) == runner.run(run(has_outages=False))
