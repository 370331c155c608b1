"""What is told to whoever watches a call now: pub/sub alone, kept nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from shared.bus.base import BusUnavailable
from shared.bus.redis.store import Store
from shared.protocol.call import CallId

_log = structlog.get_logger(__name__)
_WAIT_S = 5.0


class RedisLive:
    """LiveFeed on pub/sub, a channel for each call."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _channel(self, call_id: CallId) -> str:
        return f"{self._store.prefix}:live:{call_id}"

    async def publish(self, call_id: CallId, text: str) -> None:
        """PUBLISH."""
        await self._store.run(
            "live_publish", self._store.redis.publish(self._channel(call_id), text)
        )

    @asynccontextmanager
    async def follow(self, call_id: CallId) -> AsyncIterator[AsyncIterator[str]]:
        """SUBSCRIBE on a connection of its own."""
        pubsub = self._store.redis.pubsub()
        try:
            await self._store.run("live_follow", pubsub.subscribe(self._channel(call_id)))
            yield _texts(pubsub)
        finally:
            try:
                await self._store.run("live_leave", pubsub.aclose())  # type: ignore[no-untyped-call] # redis-py's own
            except BusUnavailable:
                _log.debug("live_not_left")


async def _texts(pubsub: PubSub) -> AsyncIterator[str]:
    while True:
        try:
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=_WAIT_S)
        except (RedisError, OSError, RuntimeError) as exc:
            raise BusUnavailable(f"live: {exc}") from exc
        if message is not None:
            yield str(message["data"])
