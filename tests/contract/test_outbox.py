"""One contract over both outboxes, and records that expire: in memory and on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from shared.bus.base import Bus, Outbox
from shared.bus.memory import MemoryBus
from shared.bus.memory_outbox import MemoryOutbox
from shared.bus.messages import Added, Claim, OutboxItem, Retried
from shared.bus.redis import open_bus
from shared.bus.redis.client import open_client
from shared.bus.redis.outbox import RedisOutbox
from shared.bus.redis.store import Store
from shared.protocol.call import CallChange, CallId, CallState
from shared.runtime.clock import SystemClock

CALL = CallId("call-1")
MAX_PENDING, MAX_DEAD = 4, 2


@dataclass
class Boxes:
    """An outbox with small bounds, and its bus."""

    box: Outbox
    bus: Bus

    async def claim(self, worker: str = "w", *, lease_s: float = 30.0, limit: int = 9) -> list[Any]:
        return await self.box.claim(worker, lease_s=lease_s, limit=limit)

    async def claim_one(self, worker: str = "w", *, lease_s: float = 30.0) -> Claim:
        (claim,) = await self.box.claim(worker, lease_s=lease_s, limit=1)
        return claim


def item(name: str, **more: Any) -> OutboxItem:
    return OutboxItem(name, f"payload of {name}", **more)


class OutboxContract:
    """What every outbox keeps; the classes at the end say for which."""

    async def test_an_item_is_claimed_once_and_gone_when_done(self, kept: Boxes) -> None:
        assert await kept.box.add(item("a")) is Added.NEW
        claim = await kept.claim_one()
        assert (claim.item_id, claim.payload, claim.attempt) == ("a", "payload of a", 1)
        assert 0 <= claim.age_s < 5
        assert await kept.claim("another") == []
        assert (await kept.box.counts()).pending == 1
        assert await kept.box.done("a")
        assert not await kept.box.done("a")
        assert (await kept.box.counts()).pending == 0

    async def test_an_id_is_taken_once_even_after_it_is_done(self, kept: Boxes) -> None:
        assert await kept.box.add(item("a")) is Added.NEW
        assert await kept.box.add(item("a")) is Added.KNOWN
        await kept.claim_one()
        await kept.box.done("a")
        assert await kept.box.add(item("a")) is Added.KNOWN
        assert await kept.claim() == []

    async def test_of_many_workers_one_gets_an_item(self, kept: Boxes) -> None:
        for name in "abc":
            await kept.box.add(item(name))
        got = await asyncio.gather(*(kept.claim(f"w{n}", limit=1) for n in range(12)))
        assert sorted(claim.item_id for claims in got for claim in claims) == ["a", "b", "c"]

    async def test_items_come_in_the_order_they_are_due_and_as_many_as_asked(
        self, kept: Boxes
    ) -> None:
        for name in "abc":
            await kept.box.add(item(name))
            await asyncio.sleep(0.003)
        assert [claim.item_id for claim in await kept.claim(limit=2)] == ["a", "b"]
        assert await kept.claim(limit=0) == []
        assert [claim.item_id for claim in await kept.claim(limit=2)] == ["c"]

    async def test_after_the_lease_another_worker_takes_it_and_fences_the_first(
        self, kept: Boxes
    ) -> None:
        await kept.box.add(item("a"))
        dying = await kept.claim_one("dying", lease_s=0.03)
        assert await kept.claim("other") == []
        await asyncio.sleep(0.06)
        taken = await kept.claim_one("other")
        assert taken.attempt == 2
        assert await kept.box.retry(dying, after_s=0) is Retried.LOST
        assert not await kept.box.bury(dying, reason="late")
        assert await kept.claim() == []
        assert await kept.box.retry(taken, after_s=0) is Retried.WAITING

    async def test_a_retried_item_is_due_again_after_its_wait(self, kept: Boxes) -> None:
        await kept.box.add(item("a"))
        claim = await kept.claim_one()
        assert await kept.box.retry(claim, after_s=0.05) is Retried.WAITING
        assert await kept.claim() == []
        await asyncio.sleep(0.08)
        assert (await kept.claim_one()).attempt == 2

    async def test_tries_used_up_make_a_dead_letter(self, kept: Boxes) -> None:
        await kept.box.add(item("a", max_attempts=2))
        assert await kept.box.retry(await kept.claim_one(), after_s=0) is Retried.WAITING
        assert await kept.box.retry(await kept.claim_one(), after_s=0) is Retried.DEAD
        (letter,) = await kept.box.dead(9)
        assert (letter.item_id, letter.payload) == ("a", "payload of a")
        assert (letter.attempts, letter.reason) == (2, "tries")
        counts = await kept.box.counts()
        assert (counts.pending, counts.dead) == (0, 1)
        assert await kept.box.add(item("a")) is Added.KNOWN

    async def test_an_item_whose_every_worker_dies_is_not_tried_for_ever(self, kept: Boxes) -> None:
        await kept.box.add(item("a", max_attempts=2))
        for _ in range(2):
            await kept.claim_one(lease_s=0.001)
            await asyncio.sleep(0.01)
        assert await kept.claim() == []
        assert [letter.reason for letter in await kept.box.dead(9)] == ["tries"]

    async def test_a_wait_beyond_the_greatest_age_makes_a_dead_letter(self, kept: Boxes) -> None:
        await kept.box.add(item("a", max_age_s=60))
        assert await kept.box.retry(await kept.claim_one(), after_s=61) is Retried.DEAD
        await kept.box.add(item("b", max_age_s=0.01))
        await asyncio.sleep(0.03)
        assert await kept.claim() == []
        assert [letter.reason for letter in await kept.box.dead(9)] == ["age", "age"]

    async def test_a_buried_item_is_listed_with_its_reason(self, kept: Boxes) -> None:
        await kept.box.add(item("a"))
        claim = await kept.claim_one()
        assert await kept.box.bury(claim, reason="status_410")
        assert not await kept.box.bury(claim, reason="again")
        assert [letter.reason for letter in await kept.box.dead(9)] == ["status_410"]
        assert await kept.claim() == []

    async def test_a_late_delivery_takes_a_letter_from_the_dead(self, kept: Boxes) -> None:
        await kept.box.add(item("a"))
        await kept.box.bury(await kept.claim_one(), reason="x")
        assert await kept.box.done("a")
        assert await kept.box.dead(9) == []

    async def test_only_the_newest_dead_letters_are_kept(self, kept: Boxes) -> None:
        for name in "abc":
            await kept.box.add(item(name))
            await kept.box.bury(await kept.claim_one(), reason=name)
            await asyncio.sleep(0.003)
        assert [letter.item_id for letter in await kept.box.dead(9)] == ["c", "b"]
        assert [letter.item_id for letter in await kept.box.dead(1)] == ["c"]
        assert (await kept.box.counts()).dead == MAX_DEAD

    async def test_a_full_outbox_refuses_and_counts_it(self, kept: Boxes) -> None:
        for number in range(MAX_PENDING):
            assert await kept.box.add(item(f"{number}")) is Added.NEW
        assert await kept.box.add(item("more")) is Added.FULL
        counts = await kept.box.counts()
        assert (counts.pending, counts.refused) == (MAX_PENDING, 1)
        await kept.box.done("0")
        assert await kept.box.add(item("more")) is Added.NEW

    async def test_nothing_of_an_item_outlives_its_time(self, kept: Boxes) -> None:
        await kept.box.add(item("waits", keep_s=0.04))
        await kept.box.add(item("dies", keep_s=0.04))
        claims = {claim.item_id: claim for claim in await kept.claim(lease_s=0.001)}
        await kept.box.bury(claims["dies"], reason="x")
        await asyncio.sleep(0.08)
        assert await kept.claim() == []
        assert await kept.box.dead(9) == []
        counts = await kept.box.counts()
        assert (counts.pending, counts.dead) == (0, 0)
        assert await kept.box.add(item("waits")) is Added.NEW

    # --- records -----------------------------------------------------------------------------

    async def test_a_record_expires_by_its_own_retention(self, kept: Boxes) -> None:
        calls = kept.bus.calls
        await calls.apply(CallChange(CALL, CallState.IN_PROGRESS, retention_s=0.05))
        await calls.apply(CallChange(CallId("stays"), CallState.IN_PROGRESS))
        assert await calls.get(CALL) is not None
        await asyncio.sleep(0.09)
        assert await calls.get(CALL) is None
        assert [record.call_id for record in await calls.recent(1)] == ["stays"]
        applied = await calls.apply(CallChange(CALL, CallState.COMPLETED))
        assert applied.became_final
        assert applied.record.retention_s is None

    async def test_a_retention_holds_for_later_changes_and_counts_from_the_last(
        self, kept: Boxes
    ) -> None:
        calls = kept.bus.calls
        await calls.apply(CallChange(CALL, CallState.IN_PROGRESS, retention_s=0.6))
        await asyncio.sleep(0.35)
        applied = await calls.apply(CallChange(CALL, CallState.COMPLETED))
        assert applied.record.retention_s == 0.6
        await asyncio.sleep(0.35)
        assert await calls.get(CALL) is not None
        await asyncio.sleep(0.35)
        assert await calls.get(CALL) is None


class TestMemoryOutbox(OutboxContract):
    @pytest.fixture
    def kept(self) -> Boxes:
        box = MemoryOutbox(SystemClock(), max_pending=MAX_PENDING, max_dead=MAX_DEAD)
        return Boxes(box, MemoryBus())


class TestRedisOutbox(OutboxContract):
    @pytest.fixture
    async def kept(self, redis_url: str) -> AsyncIterator[Boxes]:
        async with open_client(redis_url, prefix="{parley}") as redis, open_bus(redis_url) as bus:
            store = Store(redis, prefix="{parley}", timeout_s=2.0, metrics=None)
            yield Boxes(RedisOutbox(store, max_pending=MAX_PENDING, max_dead=MAX_DEAD), bus)
