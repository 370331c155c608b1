"""One contract over both buses: in memory and on a real Redis."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.bus.base import Bus, BusUnavailable
from shared.bus.memory import MemoryBus
from shared.bus.messages import BusEvent, Channel, WorkerLease
from shared.bus.redis import open_bus
from shared.protocol.call import CallChange, CallId, CallState, Direction, EndClass, WorkerId
from tests.support.redis_server import RedisServer

CALL = CallId("call-1")


def lease(name: str, *, capacity: int = 2, **more: Any) -> WorkerLease:
    return WorkerLease(WorkerId(name), f"{name}:5001", capacity, **more)


async def take(events: AsyncIterator[BusEvent], count: int) -> list[BusEvent]:
    async with asyncio.timeout(5):
        return [await anext(events) for _ in range(count)]


class BusContract:
    """What every bus keeps; the classes at the end say for which."""

    async def test_subscriber_gets_only_its_channels_in_order(self, bus: Bus) -> None:
        async with bus.events.subscribe(Channel.CALLS) as events:
            for kind in ("a", "b"):
                await bus.events.publish(BusEvent(Channel.CALLS, kind, CALL, {"n": kind}))
                await bus.events.publish(BusEvent(Channel.WORKERS, "other"))
            got = await take(events, 2)
        assert [event.kind for event in got] == ["a", "b"]
        assert got[0].call_id == CALL
        assert got[0].data == {"n": "a"}

    async def test_subscriber_that_was_away_catches_up(self, bus: Bus) -> None:
        first = await bus.events.publish(BusEvent(Channel.HANGUPS, "1"))
        for kind in ("2", "3"):
            await bus.events.publish(BusEvent(Channel.HANGUPS, kind))
        async with bus.events.subscribe(Channel.HANGUPS, after=first.entry_id) as events:
            await bus.events.publish(BusEvent(Channel.HANGUPS, "4"))
            assert [event.kind for event in await take(events, 3)] == ["2", "3", "4"]

    async def test_each_subscriber_gets_every_event(self, bus: Bus) -> None:
        async with AsyncExitStack() as stack:
            all_events = [
                await stack.enter_async_context(bus.events.subscribe(Channel.CALLS))
                for _ in range(3)
            ]
            await bus.events.publish(BusEvent(Channel.CALLS, "x"))
            for events in all_events:
                assert (await take(events, 1))[0].kind == "x"

    async def test_record_is_created_merged_and_only_moves_forward(self, bus: Bus) -> None:
        applied = await bus.calls.apply(
            CallChange(
                CALL, CallState.RINGING, {"direction": Direction.INBOUND, "metadata": {"a": "1"}}
            )
        )
        assert applied.state_changed
        assert not applied.became_final
        await bus.calls.apply(CallChange(CALL, CallState.IN_PROGRESS, {"metadata": {"b": "2"}}))
        late = await bus.calls.apply(CallChange(CALL, CallState.RINGING, {"worker_id": "w"}))
        assert not late.state_changed
        record = await bus.calls.get(CALL)
        assert record is not None
        assert record.state is CallState.IN_PROGRESS
        assert record.metadata == {"a": "1", "b": "2"}
        assert record.worker_id == "w"
        assert record.created_at
        assert record.answered_at
        assert record.direction is Direction.INBOUND

    async def test_exactly_one_of_many_hangups_makes_the_call_final(self, bus: Bus) -> None:
        await bus.calls.apply(CallChange(CALL, CallState.IN_PROGRESS))
        async with bus.events.subscribe(Channel.HANGUPS) as events:
            outcomes = await asyncio.gather(
                *(
                    bus.calls.apply(CallChange(CALL, state, {"end_class": EndClass.CALLER}))
                    for state in (CallState.COMPLETED, CallState.FAILED, CallState.BUSY) * 4
                )
            )
            assert sum(outcome.became_final for outcome in outcomes) == 1
            (event,) = await take(events, 1)
            assert event.call_id == CALL
            await bus.events.publish(BusEvent(Channel.HANGUPS, "end-of-test"))
            assert (await take(events, 1))[0].kind == "end-of-test"

    async def test_concurrent_changes_lose_no_field(self, bus: Bus) -> None:
        await asyncio.gather(
            *(
                bus.calls.apply(CallChange(CALL, None, {"milestones": {f"m{n}": float(n)}}))
                for n in range(20)
            )
        )
        record = await bus.calls.get(CALL)
        assert record is not None
        assert record.milestones == {f"m{n}": float(n) for n in range(20)}

    async def test_recent_records_come_newest_first_and_bounded(self, bus: Bus) -> None:
        for n in range(5):
            await bus.calls.apply(CallChange(CallId(f"c{n}"), CallState.QUEUED))
            await asyncio.sleep(0.002)
        assert [record.call_id for record in await bus.calls.recent(3)] == ["c4", "c3", "c2"]
        assert await bus.calls.recent(0) == []
        older = await bus.calls.recent(2, before=CallId("c3"))
        assert [record.call_id for record in older] == ["c2", "c1"]
        assert await bus.calls.recent(9, before=CallId("c0")) == []
        assert await bus.calls.recent(9, before=CallId("unknown")) == []
        assert await bus.calls.get(CallId("unknown")) is None

    async def test_reservations_never_pass_the_capacity_and_spread(self, bus: Bus) -> None:
        await bus.workers.heartbeat(lease("w1"), [])
        await bus.workers.heartbeat(lease("w2"), [])
        got = await asyncio.gather(*(bus.workers.reserve(CallId(f"c{n}")) for n in range(7)))
        booked = [worker.worker_id for worker in got if worker is not None]
        assert sorted(booked) == ["w1", "w1", "w2", "w2"]
        assert {worker.active for worker in await bus.workers.workers()} == {2}

    async def test_lesser_load_and_lag_are_taken_of_two(self, bus: Bus) -> None:
        await bus.workers.heartbeat(lease("busy", capacity=10), [CallId(f"b{n}") for n in range(5)])
        await bus.workers.heartbeat(lease("late", capacity=10, lag_ms=90.0), [])
        for n in range(4):
            booked = await bus.workers.reserve(CallId(f"c{n}"))
            assert booked is not None
            assert booked.worker_id == "busy"
        got = [await bus.workers.reserve(CallId(f"d{n}")) for n in range(2)]
        assert "late" in {worker.worker_id for worker in got if worker is not None}

    async def test_own_zone_comes_first_while_it_has_room(self, bus: Bus) -> None:
        await bus.workers.heartbeat(lease("near", zone="a"), [])
        await bus.workers.heartbeat(lease("far", capacity=50, zone="b"), [])
        got = [await bus.workers.reserve(CallId(f"c{n}"), zone="a") for n in range(3)]
        assert [worker.worker_id for worker in got if worker] == ["near", "near", "far"]
        unknown = await bus.workers.reserve(CallId("c9"), zone="elsewhere")
        assert unknown is not None
        assert unknown.worker_id == "far"

    async def test_calls_spread_over_many_workers(self, bus: Bus) -> None:
        for n in range(6):
            await bus.workers.heartbeat(lease(f"w{n}", capacity=20), [])
        for n in range(60):
            await bus.workers.reserve(CallId(f"c{n}"))
        loads = [worker.active for worker in await bus.workers.workers()]
        assert sum(loads) == 60
        assert min(loads) >= 5
        assert max(loads) <= 15

    async def test_worker_that_has_lost_a_call_does_not_take_it_back(self, bus: Bus) -> None:
        """A frozen worker wakes and names a call in its heartbeat that has gone to another."""
        await bus.workers.heartbeat(lease("w1"), [CALL])
        await bus.workers.heartbeat(lease("w2"), [])
        moved = await bus.workers.reserve(CALL, exclude=[WorkerId("w1")])
        assert moved is not None
        await bus.workers.heartbeat(lease("w1"), [CALL])
        again = await bus.workers.reserve(CALL)
        assert again is not None
        assert again.worker_id == moved.worker_id == "w2"
        assert [worker.active for worker in await bus.workers.workers()] == [1, 1]

    async def test_same_call_is_booked_once(self, bus: Bus) -> None:
        await bus.workers.heartbeat(lease("w1"), [])
        await bus.workers.heartbeat(lease("w2"), [])
        first = await bus.workers.reserve(CALL)
        again = await bus.workers.reserve(CALL)
        assert first is not None
        assert again is not None
        assert first.worker_id == again.worker_id
        assert sum(worker.active for worker in await bus.workers.workers()) == 1

    async def test_refusing_worker_is_excluded_and_its_booking_given_up(self, bus: Bus) -> None:
        await bus.workers.heartbeat(lease("w1"), [])
        first = await bus.workers.reserve(CALL)
        assert first is not None
        assert await bus.workers.reserve(CALL, exclude=[first.worker_id]) is None
        await bus.workers.heartbeat(lease("w2"), [])
        second = await bus.workers.reserve(CALL, exclude=[first.worker_id])
        assert second is not None
        assert second.worker_id == "w2"
        assert [worker.active for worker in await bus.workers.workers()] == [0, 1]

    async def test_draining_worker_is_not_booked_and_withdrawn_one_is_gone(self, bus: Bus) -> None:
        await bus.workers.heartbeat(lease("w1", draining=True), [])
        assert await bus.workers.reserve(CALL) is None
        await bus.workers.heartbeat(lease("w1"), [])
        assert await bus.workers.reserve(CALL) is not None
        await bus.workers.withdraw(WorkerId("w1"))
        assert await bus.workers.workers() == []
        assert await bus.workers.reserve(CALL) is None

    async def test_released_place_is_free_again(self, bus: Bus) -> None:
        await bus.workers.heartbeat(lease("w1", capacity=1), [])
        assert await bus.workers.reserve(CALL) is not None
        assert await bus.workers.reserve(CallId("other")) is None
        await bus.workers.release(WorkerId("w1"), CALL)
        assert await bus.workers.reserve(CallId("other")) is not None

    async def test_heartbeat_confirms_calls_without_counting_them_twice(self, bus: Bus) -> None:
        await bus.workers.heartbeat(lease("w1"), [])
        await bus.workers.reserve(CALL)
        await bus.workers.heartbeat(lease("w1"), [CALL])
        assert [worker.active for worker in await bus.workers.workers()] == [1]

    async def test_values_expire_and_are_taken_once(self, bus: Bus) -> None:
        assert await bus.values.put("k", "1", ttl_s=5, only_if_absent=True)
        assert not await bus.values.put("k", "2", ttl_s=5, only_if_absent=True)
        assert await bus.values.get("k") == "1"
        await bus.values.delete("k")
        assert await bus.values.get("k") is None
        await bus.values.put("short", "x", ttl_s=0.02)
        await asyncio.sleep(0.05)
        assert await bus.values.get("short") is None
        assert [await bus.values.increment("n", ttl_s=5) for _ in range(3)] == [1, 2, 3]
        assert await bus.values.increment("n", ttl_s=5, above=70) == 71
        assert await bus.values.increment("n", ttl_s=5, above=70) == 72

    async def test_who_follows_a_call_is_told_of_it_alone_and_from_now_on(self, bus: Bus) -> None:
        await bus.live.publish(CALL, "too early")
        async with bus.live.follow(CALL) as first, bus.live.follow(CALL) as second:
            await bus.live.publish(CallId("another"), "of another")
            for text in ("a", '{"kind":"caller","text":"नमस्ते"}'):
                await bus.live.publish(CALL, text)
            for texts in (first, second):
                async with asyncio.timeout(5):
                    assert [await anext(texts) for _ in range(2)] == [
                        "a",
                        '{"kind":"caller","text":"नमस्ते"}',
                    ]
        await bus.live.publish(CALL, "nobody is there")

    async def test_bus_answers_ping(self, bus: Bus) -> None:
        assert await bus.ping()


class TestMemoryBus(BusContract):
    @pytest.fixture
    def bus(self) -> Bus:
        return MemoryBus()


class TestRedisBus(BusContract):
    @pytest.fixture
    async def bus(self, redis_url: str) -> AsyncIterator[Bus]:
        async with open_bus(redis_url) as opened:
            yield opened


async def test_subscription_outlives_redis_and_misses_nothing(redis_server: RedisServer) -> None:
    async with (
        open_bus(redis_server.url) as bus,
        bus.events.subscribe(Channel.CALLS) as events,
    ):
        await bus.events.publish(BusEvent(Channel.CALLS, "before"))
        assert (await take(events, 1))[0].kind == "before"
        waiting = asyncio.ensure_future(take(events, 3))
        await asyncio.sleep(0.05)
        redis_server.stop()
        redis_server.start()
        for kind in ("1", "2", "3"):
            await bus.events.publish(BusEvent(Channel.CALLS, kind))
        assert [event.kind for event in await waiting] == ["1", "2", "3"]


async def test_a_burst_of_commands_keeps_few_connections(redis_server: RedisServer) -> None:
    async with (
        open_bus(redis_server.url, timeout_s=10) as bus,
        Redis.from_url(redis_server.url) as other,
    ):
        before = (await other.info("clients"))["connected_clients"]
        calls = [CallId(f"burst-{n}") for n in range(400)]
        assert await asyncio.gather(*(bus.calls.get(call) for call in calls)) == [None] * 400
        assert (await other.info("clients"))["connected_clients"] - before <= 16


async def test_commands_whose_turn_does_not_come_fail_in_time(redis_server: RedisServer) -> None:
    async with open_bus(redis_server.url, timeout_s=0.3) as bus:
        await bus.values.put("k", "v", ttl_s=60)
        redis_server.process.send_signal(signal.SIGSTOP)
        try:
            began_s = time.monotonic()
            asked = [bus.values.get("k") for _ in range(100)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            took_s = time.monotonic() - began_s
        finally:
            redis_server.process.send_signal(signal.SIGCONT)
        assert {type(answer) for answer in answers} == {BusUnavailable}
        assert took_s < 3
        assert await bus.values.get("k") == "v"


async def test_absent_redis_is_one_kind_of_error_and_in_time() -> None:
    async with open_bus("redis://127.0.0.1:1/0", timeout_s=0.3) as bus:
        assert not await bus.ping()
        with pytest.raises(BusUnavailable):
            await bus.calls.get(CALL)
        with pytest.raises(BusUnavailable):
            await bus.workers.reserve(CALL)
