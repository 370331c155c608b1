"""One contract over both stores of sessions: in memory and on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from shared.bus.base import BusUnavailable, EpochPassed, Saved, SessionStore
from shared.bus.memory import MemoryBus
from shared.bus.redis import open_bus
from shared.bus.redis.client import open_client
from shared.protocol.call import CallId

CALL, OTHER = CallId("call-1"), CallId("call-2")


async def _keys(redis: Redis) -> list[str]:
    """Every key of the server that has ours."""
    return list(await redis.eval("return redis.call('KEYS', '*')", 1, "{parley}"))


class SessionsContract:
    """What every store keeps; the classes at the end say for which."""

    async def test_the_newest_snapshot_comes_back(self, sessions: SessionStore) -> None:
        assert await sessions.load(CALL) is None
        assert await sessions.epoch(CALL) == 0
        assert await sessions.save(CALL, 1, "first")
        assert await sessions.save(CALL, 1, "नमस्ते")
        assert await sessions.load(CALL) == Saved(1, "नमस्ते")
        assert await sessions.epoch(CALL) == 1
        assert await sessions.load(OTHER) is None

    async def test_an_older_epoch_can_neither_write_nor_claim_nor_forget(
        self, sessions: SessionStore
    ) -> None:
        await sessions.save(CALL, 2, "second")
        assert not await sessions.save(CALL, 1, "first")
        assert not await sessions.forget(CALL, 1)
        with pytest.raises(EpochPassed) as passed:
            await sessions.claim(CALL, 1)
        assert passed.value.epoch == 2
        assert await sessions.load(CALL) == Saved(2, "second")

    async def test_a_claim_returns_the_snapshot_and_shuts_its_writer_out(
        self, sessions: SessionStore
    ) -> None:
        await sessions.save(CALL, 1, "first")
        assert await sessions.claim(CALL, 3) == Saved(1, "first")
        assert await sessions.epoch(CALL) == 3
        assert not await sessions.save(CALL, 1, "late")
        assert not await sessions.save(CALL, 2, "late")
        assert await sessions.claim(CALL, 3) == Saved(1, "first")
        assert await sessions.save(CALL, 3, "third")
        assert await sessions.claim(CALL, 12) == Saved(3, "third")

    async def test_a_claim_of_an_unknown_call_shuts_out_too(self, sessions: SessionStore) -> None:
        assert await sessions.claim(CALL, 2) is None
        assert not await sessions.save(CALL, 1, "late")

    async def test_what_is_forgotten_is_still_fenced(self, sessions: SessionStore) -> None:
        await sessions.save(CALL, 1, "first")
        await sessions.claim(CALL, 2)
        assert await sessions.forget(CALL, 2)
        assert await sessions.load(CALL) is None
        assert await sessions.epoch(CALL) == 2
        assert not await sessions.save(CALL, 1, "late")
        assert await sessions.claim(CALL, 3) is None

    async def test_of_many_claims_the_highest_stands(self, sessions: SessionStore) -> None:
        await sessions.save(CALL, 1, "first")
        claims = (sessions.claim(CALL, epoch) for epoch in (4, 2, 6, 3, 5))
        await asyncio.gather(*claims, return_exceptions=True)
        assert await sessions.epoch(CALL) == 6


class TestMemorySessions(SessionsContract):
    @pytest.fixture
    def sessions(self) -> SessionStore:
        return MemoryBus().sessions


class TestRedisSessions(SessionsContract):
    @pytest.fixture
    async def sessions(self, redis_url: str) -> AsyncIterator[SessionStore]:
        async with open_bus(redis_url, timeout_s=5) as bus:
            yield bus.sessions

    async def test_nothing_of_it_is_kept_for_ever(
        self, sessions: SessionStore, redis_url: str
    ) -> None:
        await sessions.save(CALL, 1, "first")
        await sessions.claim(OTHER, 1)
        async with open_client(redis_url, prefix="{parley}") as redis:
            lives_ms = [await redis.pttl(key) for key in await _keys(redis)]
            assert len(lives_ms) == 2
            assert all(0 < life_ms <= 7_200_000 for life_ms in lives_ms)
            await sessions.forget(CALL, 1)
            assert 0 < await redis.pttl("{parley}:session:call-1") <= 600_000

    async def test_a_redis_that_is_away_is_said_to_be(self) -> None:
        async with open_bus("redis://127.0.0.1:1", timeout_s=1) as bus:
            for work in (
                bus.sessions.save(CALL, 1, "x"),
                bus.sessions.load(CALL),
                bus.sessions.claim(CALL, 1),
                bus.sessions.forget(CALL, 1),
                bus.sessions.epoch(CALL),
            ):
                with pytest.raises(BusUnavailable):
                    await work
