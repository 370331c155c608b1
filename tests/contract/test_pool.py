"""The pool under random schedules: against a model of it, and a real Redis against memory."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterator
from contextlib import AsyncExitStack
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.bus.memory_workers import MemoryWorkers
from shared.bus.messages import BOOKING_S, LEASE_S
from shared.bus.redis import RedisBus, open_bus
from shared.bus.redis.workers import RedisWorkers
from shared.protocol.call import CallId, WorkerId
from tests.support.clock import ManualClock
from tests.support.pool_schedule import (
    CALLS,
    CAPACITY,
    WORKERS,
    Heartbeat,
    Step,
    lease,
    play,
    steps,
)

T = TypeVar("T")
GATEWAYS = ("g1", "g2")
call_names = st.sampled_from(CALLS)
worker_names = st.sampled_from(WORKERS)
picks = st.integers(0, len(CALLS) - 1)


def nth(calls: Collection[str], pick: int) -> str:
    """Choose one of those there are."""
    return sorted(calls)[pick % len(calls)]


def now(work: Coroutine[Any, Any, T]) -> T:
    """Run what never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the pool in memory waited")


class Pool(RuleBasedStateMachine):
    """Gateways that book, connect, give up or die; workers that take calls, beat, freeze or go.

    The model knows what a place is worth: at each moment a worker truly carries `carried`, and a
    gateway that has booked and not yet connected has one of `promised`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.pool = MemoryWorkers(self.clock, Random(7))
        self.alive: set[str] = set()
        self.carried: dict[str, set[str]] = {name: set() for name in WORKERS}
        self.promised: dict[str, tuple[str, str]] = {}
        self.last_booking_s: dict[str, float] = {}

    def carrier(self, call: str) -> str | None:
        return next((w for w, calls in self.carried.items() if call in calls), None)

    def beat(self, worker: str) -> None:
        calls = [CallId(call) for call in sorted(self.carried[worker])]
        now(self.pool.heartbeat(lease(Heartbeat(worker, frozenset())), calls))

    def give_up(self, worker: str, call: str) -> None:
        before = self.count(worker)
        now(self.pool.release(WorkerId(worker), CallId(call)))
        assert self.count(worker) == before - 1, "the place is not free again"

    def count(self, worker: str) -> int:
        return sum(w.active for w in now(self.pool.workers()) if w.worker_id == worker)

    @initialize()
    def all_workers_start(self) -> None:
        for worker in WORKERS:
            self.worker_starts_or_beats(worker)

    @rule(worker=worker_names)
    def worker_starts_or_beats(self, worker: str) -> None:
        self.alive.add(worker)
        self.beat(worker)

    @rule(call=call_names, gateway=st.sampled_from(GATEWAYS))
    def gateway_books(self, call: str, gateway: str) -> None:
        if self.carrier(call) is not None:
            return
        got = now(self.pool.reserve(CallId(call)))
        if got is None:
            return
        if call in self.promised:
            assert got.worker_id == self.promised[call][1], "a second gateway got another worker"
        self.promised[call] = (gateway, got.worker_id)
        self.last_booking_s[call] = self.clock.now_s()

    @rule(pick=picks)
    @precondition(lambda self: self.promised)
    def call_is_connected(self, pick: int) -> None:
        call = nth(self.promised, pick)
        _, worker = self.promised.pop(call)
        assert len(self.carried[worker]) < CAPACITY, "booked where no place was free"
        self.carried[worker].add(call)
        self.beat(worker)

    @rule(pick=picks)
    @precondition(lambda self: any(self.carried.values()))
    def call_ends(self, pick: int) -> None:
        call = nth(set.union(*self.carried.values()), pick)
        worker = self.carrier(call)
        assert worker is not None
        self.carried[worker].discard(call)
        self.give_up(worker, call)

    @rule(pick=picks)
    @precondition(lambda self: self.promised)
    def gateway_gives_up(self, pick: int) -> None:
        call = nth(self.promised, pick)
        _, worker = self.promised.pop(call)
        self.give_up(worker, call)

    @rule(gateway=st.sampled_from(GATEWAYS))
    def gateway_dies(self, gateway: str) -> None:
        """Nobody gives its bookings up; they are left to lapse."""
        self.promised = {c: p for c, p in self.promised.items() if p[0] != gateway}

    @rule(worker=worker_names)
    @precondition(lambda self: len(self.alive) > 1)
    def worker_dies(self, worker: str) -> None:
        self.alive.discard(worker)
        self.carried[worker].clear()
        self.promised = {c: p for c, p in self.promised.items() if p[1] != worker}
        self.pass_time(LEASE_S)

    @rule(worker=worker_names)
    @precondition(lambda self: len(self.alive) > 1)
    def worker_withdraws(self, worker: str) -> None:
        self.alive.discard(worker)
        self.carried[worker].clear()
        self.promised = {c: p for c, p in self.promised.items() if p[1] != worker}
        now(self.pool.withdraw(WorkerId(worker)))

    @rule(seconds=st.sampled_from((1.0, 5.0, 15.0)))
    def pass_time(self, seconds: float) -> None:
        """Those alive beat each second meanwhile; gateways connect in time or give up."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            for worker in sorted(self.alive):
                self.beat(worker)
        now_s = self.clock.now_s()
        for call in [c for c in self.promised if now_s - self.last_booking_s[c] >= BOOKING_S]:
            del self.promised[call]

    @invariant()
    def no_worker_is_overbooked_and_no_booking_lost(self) -> None:
        leases = {w.worker_id: w for w in now(self.pool.workers())}
        assert set(leases) == self.alive
        for name in self.alive:
            promised = {c for c, (_, worker) in self.promised.items() if worker == name}
            assert len(self.carried[name] | promised) <= leases[WorkerId(name)].active <= CAPACITY

    def teardown(self) -> None:
        """In the end all places are free again, whoever died on the way."""
        for calls in self.carried.values():
            calls.clear()
        self.pass_time(BOOKING_S)
        assert all(worker.active == 0 for worker in now(self.pool.workers()))


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

_ADVANCE = """
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':*')) do
  if redis.call('TYPE', key).ok == 'zset' then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      redis.call('ZINCRBY', key, -tonumber(ARGV[2]), member)
    end
  end
  local left_ms = redis.call('PTTL', key)
  if left_ms >= 0 then redis.call('PEXPIRE', key, left_ms - tonumber(ARGV[2])) end
end
"""


class RedisPool:
    """A real Redis whose time a test can let pass, and a loop of its own."""

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.bus: RedisBus = self.runner.run(
            self._stack.enter_async_context(open_bus(url, timeout_s=5.0))
        )

    async def play(self, schedule: list[Step], seed: int) -> list[Any]:
        store = self.bus.store
        await store.redis.flushall()

        async def advance(seconds: int) -> None:
            await store.script("advance", _ADVANCE, seconds * 1000)

        return await play(schedule, RedisWorkers(store, Random(seed)), advance)

    def close(self) -> None:
        self.runner.run(self._stack.aclose())
        self.runner.close()


@pytest.fixture
def redis_pool(redis_url: str) -> Iterator[RedisPool]:
    pool = RedisPool(redis_url)
    yield pool
    pool.close()


async def play_in_memory(schedule: list[Step], seed: int) -> list[Any]:
    clock = ManualClock()

    async def advance(seconds: int) -> None:
        clock.advance(seconds)

    return await play(schedule, MemoryWorkers(clock, Random(seed)), advance)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(steps(), min_size=10, max_size=40), st.integers(0, 1000))
def test_redis_does_with_each_schedule_what_memory_does(
    redis_pool: RedisPool, schedule: list[Step], seed: int
) -> None:
    async def both() -> tuple[list[Any], list[Any]]:
        return await redis_pool.play(schedule, seed), await play_in_memory(schedule, seed)

    in_redis, in_memory = redis_pool.runner.run(both())
    assert in_redis == in_memory
