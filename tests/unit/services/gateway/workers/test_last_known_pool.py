"""Calls go by the pool as it was last seen while the bus is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.gateway.workers.last_known_pool import LastKnownPool, PoolMemory
from services.gateway.workers.outage import Outage, PromptValues
from shared.bus.base import BusUnavailable
from shared.bus.memory import MemoryBus
from shared.bus.memory_workers import MemoryWorkers
from shared.bus.messages import LEASE_S, WorkerLease
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, WorkerId
from tests.support.virtual_loop import LoopClock, in_virtual_time

W1, W2 = WorkerId("w1"), WorkerId("w2")


class Bus:
    """A pool in memory that can be away, hang, or lose its data."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.workers_of_it = MemoryWorkers(self.clock, Random(1))
        self.is_away = False
        self.is_hanging = False
        self.is_full = False
        self.asked = 0

    def lose_data(self) -> None:
        self.workers_of_it = MemoryWorkers(self.clock, Random(1))

    async def _answer(self) -> MemoryWorkers:
        self.asked += 1
        if self.is_hanging:
            await asyncio.sleep(1)
            raise BusUnavailable("timeout")
        if self.is_away:
            raise BusUnavailable("away")
        return self.workers_of_it

    async def write(self) -> None:
        if self.is_full or self.is_away:
            raise BusUnavailable("nothing can be written")

    async def heartbeat(self, lease: WorkerLease, calls: Collection[CallId]) -> None:
        await self.write()
        await (await self._answer()).heartbeat(lease, calls)

    async def withdraw(self, worker_id: WorkerId) -> None:
        await (await self._answer()).withdraw(worker_id)

    async def reserve(
        self, call_id: CallId, *, exclude: Collection[WorkerId] = (), zone: str = ""
    ) -> WorkerLease | None:
        return await (await self._answer()).reserve(call_id, exclude=exclude, zone=zone)

    async def release(self, worker_id: WorkerId, call_id: CallId) -> None:
        await (await self._answer()).release(worker_id, call_id)

    async def workers(self) -> list[WorkerLease]:
        return await (await self._answer()).workers()


class Stage:
    def __init__(self, **memory: Any) -> None:
        self.bus = Bus()
        self.registry = CollectorRegistry()
        self.outage = Outage(self.bus.clock)
        self.pool = LastKnownPool(
            self.bus,
            self.outage,
            PoolMemory(**memory),
            GatewayMetrics(self.registry),
            self.bus.clock,
            write=self.bus.write,
            chance=Random(2),
        )

    async def beat(self, *names: str, capacity: int = 2, zone: str = "") -> None:
        for name in names:
            lease = WorkerLease(WorkerId(name), f"{name}:1", capacity, zone=zone)
            await self.bus.workers_of_it.heartbeat(lease, [])

    async def reserve(self, call: str, *exclude: WorkerId) -> WorkerId | None:
        lease = await self.pool.reserve(CallId(call), exclude=exclude)
        return lease.worker_id if lease is not None else None

    def reserved(self, source: str) -> float:
        name = "voice_gateway_reservations_total"
        return self.registry.get_sample_value(name, {"source": source}) or 0.0


async def seen(stage: Stage, *names: str, **more: Any) -> None:
    await stage.beat(*names, **more)
    await stage.pool.look()


@in_virtual_time
async def test_the_bus_books_while_it_answers() -> None:
    stage = Stage(zone="a")
    await seen(stage, "w1", zone="b", capacity=50)
    await seen(stage, "w2", zone="a")
    assert [await stage.reserve(f"c{n}") for n in range(3)] == [W2, W2, W1]
    assert (stage.reserved("bus"), stage.reserved("memory")) == (3, 0)


@in_virtual_time
async def test_the_pool_is_shown_by_what_its_workers_do() -> None:
    stage = Stage()
    task = asyncio.get_running_loop().create_task(stage.pool.run())
    await stage.beat("w1", "w2")
    for name, more in (("w3", {"draining": True}), ("w4", {"active": 2})):
        lease = WorkerLease(WorkerId(name), f"{name}:1", 2, **more)
        await stage.bus.workers_of_it.heartbeat(lease, [CallId("c1"), CallId("c2")])
    await asyncio.sleep(1.5)
    shown = {
        state: stage.registry.get_sample_value("voice_gateway_pool_workers", {"state": state})
        for state in ("open", "full", "draining")
    }
    assert shown == {"open": 2, "full": 1, "draining": 1}
    task.cancel()


@in_virtual_time
async def test_memory_books_and_counts_when_it_does_not() -> None:
    stage = Stage()
    await seen(stage, "w1", "w2")
    stage.bus.is_away = True
    got = [await stage.reserve(f"c{n}") for n in range(4)]
    assert sorted(name for name in got if name) == [W1, W1, W2, W2]
    assert await stage.reserve("c0") == got[0]
    assert [w.active for w in await stage.pool.workers()] == [2, 2]
    assert stage.reserved("memory") == 5


@in_virtual_time
async def test_a_worker_itself_says_that_it_is_full() -> None:
    """Its calls may have ended since it was counted."""
    stage = Stage()
    await seen(stage, "w1", capacity=1)
    stage.bus.is_away = True
    assert [await stage.reserve("c1"), await stage.reserve("c2")] == [W1, W1]
    assert await stage.reserve("c2", W1) is None


@in_virtual_time
async def test_a_slow_bus_is_waited_for_once_and_not_asked_by_each_call() -> None:
    stage = Stage(slow_s=0.4)
    await seen(stage, "w1")
    stage.bus.is_hanging = True
    before_s, asked = stage.bus.clock.now_s(), stage.bus.asked
    for n in range(5):
        assert await stage.reserve(f"c{n}") == W1
    assert stage.bus.clock.now_s() - before_s == pytest.approx(0.4)
    assert stage.bus.asked == asked + 1


@in_virtual_time
async def test_the_memory_lasts_for_a_bounded_time() -> None:
    stage = Stage(keep_s=60)
    await seen(stage, "w1")
    stage.bus.is_away = True
    await asyncio.sleep(59)
    assert await stage.reserve("c1") == W1
    await asyncio.sleep(2)
    with pytest.raises(BusUnavailable):
        await stage.reserve("c2")
    with pytest.raises(BusUnavailable):
        await stage.pool.workers()


@in_virtual_time
async def test_a_gateway_that_never_saw_the_pool_knows_nobody() -> None:
    stage = Stage()
    stage.bus.is_away = True
    with pytest.raises(BusUnavailable):
        await stage.reserve("c1")


@in_virtual_time
async def test_who_refused_one_call_is_not_the_first_for_the_next() -> None:
    stage = Stage()
    await seen(stage, "w1", "w2", capacity=10)
    stage.bus.is_away = True
    assert await stage.reserve("c0", W1) == W2
    assert {await stage.reserve(f"d{n}") for n in range(6)} == {W2}
    await asyncio.sleep(6)
    assert W1 in {await stage.reserve(f"e{n}") for n in range(6)}


@in_virtual_time
async def test_draining_workers_are_left_alone() -> None:
    stage = Stage()
    lease = WorkerLease(W1, "w1:1", 2, draining=True)
    await stage.bus.workers_of_it.heartbeat(lease, [])
    await stage.pool.look()
    stage.bus.is_away = True
    assert await stage.reserve("c1") is None


@in_virtual_time
async def test_what_is_given_up_while_away_is_free_again() -> None:
    stage = Stage()
    await seen(stage, "w1")
    booked_before = await stage.reserve("c0")
    stage.bus.is_away = True
    await stage.reserve("c1")
    await stage.pool.release(W1, CallId("c1"))
    assert [w.active for w in await stage.pool.workers()] == [1]
    with pytest.raises(BusUnavailable):
        await stage.pool.release(WorkerId(booked_before or ""), CallId("c0"))


@in_virtual_time
async def test_a_redis_that_lost_its_data_hears_of_the_workers_again_first() -> None:
    """The pool is empty until the next heartbeats: new calls must not hear busy words for that."""
    stage = Stage()
    await seen(stage, "w1", "w2")
    stage.bus.is_away = True
    assert await stage.reserve("c1") is not None
    stage.bus.is_away = False
    stage.bus.lose_data()
    await asyncio.sleep(1.1)
    await stage.pool.look()
    assert await stage.reserve("c2") is not None
    assert len(await stage.pool.workers()) == 2
    await stage.beat("w2", capacity=1)
    assert await stage.reserve("c3") == W2
    await asyncio.sleep(LEASE_S)
    await stage.pool.look()
    assert await stage.reserve("c4") is None


@in_virtual_time
async def test_an_empty_pool_is_believed_after_a_while() -> None:
    stage = Stage()
    await seen(stage, "w1")
    stage.bus.lose_data()
    await stage.pool.look()
    assert await stage.reserve("c1") == W1
    await asyncio.sleep(LEASE_S)
    await stage.pool.look()
    assert await stage.reserve("c2") is None
    assert await stage.pool.workers() == []


@in_virtual_time
async def test_a_bus_that_takes_no_writes_is_away() -> None:
    """A full Redis answers every question: it said that there are no workers, their leases over."""
    stage = Stage()
    await stage.beat("w1")
    await stage.pool.look()
    stage.bus.is_full = True
    task = asyncio.ensure_future(stage.pool.run())
    await asyncio.sleep(3 * LEASE_S)
    assert await stage.bus.workers() == []
    assert stage.outage.is_on
    lease = await stage.pool.reserve(CallId("c1"))
    assert lease is not None
    assert lease.worker_id == W1
    stage.bus.is_full = False
    await stage.beat("w1")
    await asyncio.sleep(1.5)
    assert not stage.outage.is_on
    task.cancel()


@in_virtual_time
async def test_the_pool_is_looked_at_each_second_and_outlives_the_bus() -> None:
    stage = Stage()
    task = asyncio.get_running_loop().create_task(stage.pool.run())
    await stage.beat("w1")
    await asyncio.sleep(1.5)
    stage.bus.is_away = True
    await asyncio.sleep(10)
    assert await stage.reserve("c1") == W1
    assert (stage.registry.get_sample_value("voice_gateway_pool_age_seconds") or 0) >= 8
    stage.bus.is_away = False
    await stage.beat("w2")
    await asyncio.sleep(5)
    assert stage.registry.get_sample_value("voice_gateway_pool_age_seconds") == 0
    task.cancel()


@in_virtual_time
async def test_workers_speak_to_the_bus_itself() -> None:
    stage = Stage()
    await stage.pool.heartbeat(WorkerLease(W1, "w1:1", 2), [])
    await stage.pool.look()
    await stage.pool.withdraw(W1)
    assert await stage.pool.workers() == []


@in_virtual_time
async def test_values_say_at_once_that_the_bus_is_away() -> None:
    clock = LoopClock()
    outage = Outage(clock)
    values = PromptValues(MemoryBus(clock=clock).values, outage)
    assert await values.put("k", "v", ttl_s=10)
    assert await values.increment("n", ttl_s=10) == 1
    outage.begin()
    with pytest.raises(BusUnavailable):
        await values.get("k")
    await asyncio.sleep(3)
    assert await values.get("k") == "v"
    assert outage.end()
    assert not outage.end()
    await values.delete("k")
    assert await values.get("k") is None


@in_virtual_time
async def test_a_value_that_can_not_be_had_begins_an_outage() -> None:
    class Away:
        async def get(self, key: str) -> str | None:
            raise BusUnavailable(key)

    outage = Outage(LoopClock())
    with pytest.raises(BusUnavailable):
        await PromptValues(Away(), outage).get("k")  # type: ignore[arg-type] # one method is asked
    assert outage.is_on


def anywhere(address: str) -> bool:
    return True


def not_at(*addresses: str) -> Callable[[str], bool]:
    return lambda address: address not in addresses


@in_virtual_time
async def test_a_call_has_a_place_elsewhere_where_another_worker_is_open() -> None:
    stage = Stage()
    assert not stage.pool.take_place(anywhere)
    await seen(stage, "w1")
    assert not stage.pool.take_place(not_at("w1:1"))
    await seen(stage, "w1", "w2")
    asked = stage.bus.asked
    assert stage.pool.take_place(not_at("w1:1"))
    assert not stage.pool.take_place(not_at("w1:1", "w2:1"))
    assert stage.bus.asked == asked


@in_virtual_time
async def test_full_and_draining_workers_have_no_place() -> None:
    stage = Stage()
    full = WorkerLease(W1, "w1:1", 1)
    await stage.bus.workers_of_it.heartbeat(full, [CallId("c1")])
    draining = WorkerLease(W2, "w2:1", 5, draining=True)
    await stage.bus.workers_of_it.heartbeat(draining, [])
    await stage.pool.look()
    assert not stage.pool.take_place(anywhere)


@in_virtual_time
async def test_no_more_calls_are_told_of_a_place_than_there_are() -> None:
    stage = Stage()
    await seen(stage, "w1", "w2", capacity=2)
    from_w1 = not_at("w1:1")
    assert [stage.pool.take_place(from_w1) for _ in range(4)] == [True, True, False, False]
    assert await stage.reserve("c1", W1) == W2
    assert await stage.reserve("c2", W1) == W2
    assert not stage.pool.take_place(from_w1)
    await stage.bus.workers_of_it.release(W2, CallId("c1"))
    await stage.pool.look()
    assert [stage.pool.take_place(from_w1) for _ in range(2)] == [True, False]


@in_virtual_time
async def test_a_place_that_was_told_of_and_not_taken_is_there_again_at_the_next_look() -> None:
    stage = Stage()
    await seen(stage, "w2", capacity=1)
    assert [stage.pool.take_place(anywhere) for _ in range(2)] == [True, False]
    await seen(stage, "w2", capacity=1)
    assert stage.pool.take_place(anywhere)


@in_virtual_time
async def test_places_booked_from_memory_are_taken() -> None:
    stage = Stage(keep_s=60)
    await seen(stage, "w2", capacity=2)
    stage.bus.is_away = True
    assert stage.pool.take_place(anywhere)
    assert await stage.reserve("c1") == W2
    assert [stage.pool.take_place(anywhere) for _ in range(2)] == [True, False]
    await asyncio.sleep(61)
    assert not stage.pool.take_place(anywhere)
