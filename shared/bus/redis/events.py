"""Events on a stream and pub/sub: durable first, fast second, nothing missed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from shared.bus.base import BusUnavailable
from shared.bus.messages import BusEvent, Channel
from shared.bus.redis.store import Store

EVENT_RETENTION_S = 3600.0
_CATCH_UP_PAGE = 500
_IDLE_CATCH_UP_S = 5.0
_RECONNECT_S = (0.1, 0.2, 0.5, 1.0, 2.0)

# ARGV: prefix, retention_ms, then pairs channel, event JSON
EMIT = """
local function emit(prefix, retention_ms, channel, text)
  local now = redis.call('TIME')
  local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
  local id = redis.call('XADD', prefix .. ':events', 'MINID', '~', now_ms - retention_ms, '*',
                        'event', text)
  local seq = redis.call('INCR', prefix .. ':seq:' .. channel)
  redis.call('PUBLISH', prefix .. ':ch:' .. channel, seq .. ' ' .. id .. ' ' .. text)
  return id
end
"""

_PUBLISH = EMIT + "return emit(ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4])"

_log = structlog.get_logger(__name__)


class RedisEvents:
    """EventBus on a stream and pub/sub."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def publish(self, event: BusEvent) -> BusEvent:
        """Append to the stream and announce, in one script."""
        entry_id = await self._store.script(
            "publish",
            _PUBLISH,
            int(EVENT_RETENTION_S * 1000),
            event.channel.value,
            event.to_json(),
        )
        return event.placed(cast(str, entry_id))

    @asynccontextmanager
    async def subscribe(
        self, *channels: Channel, after: str | None = None
    ) -> AsyncIterator[AsyncIterator[BusEvent]]:
        """Follow channels; reconnects and catches up for as long as the context lasts."""
        subscription = _Subscription(self._store, channels, after)
        await subscription.begin()
        try:
            yield subscription.events()
        finally:
            await subscription.close()


class _Subscription:
    """A subscriber's place in the stream, and its pub/sub connection."""

    def __init__(self, store: Store, channels: Sequence[Channel], after: str | None) -> None:
        self._store = store
        self._channels = frozenset(channels)
        self._last_id = after
        self._next_number: dict[str, int] = {}
        self._pubsub: PubSub | None = None

    async def begin(self) -> None:
        await self._connect()
        if self._last_id is None:
            newest = await self._store.run(
                "subscribe",
                self._store.redis.xrevrange(f"{self._store.prefix}:events", count=1),
            )
            self._last_id = newest[0][0] if newest else "0-0"

    async def _connect(self) -> None:
        self._pubsub = self._store.redis.pubsub()
        names = [f"{self._store.prefix}:ch:{channel}" for channel in self._channels]
        await self._store.run("subscribe", self._pubsub.subscribe(*names))
        self._next_number.clear()

    async def close(self) -> None:
        if self._pubsub is not None:
            pubsub, self._pubsub = self._pubsub, None
            try:
                await self._store.run("unsubscribe", pubsub.aclose())  # type: ignore[no-untyped-call] # redis-py's own
            except BusUnavailable:
                _log.debug("bus_unsubscribe_failed")

    async def events(self) -> AsyncIterator[BusEvent]:
        failures = 0
        is_behind, was_idle = True, False
        while True:
            try:
                if self._pubsub is None:
                    await self._connect()
                    is_behind, was_idle = True, False
                if is_behind:
                    has_missed = False
                    async for event in self._catch_up():
                        has_missed = True
                        yield event
                    is_behind = False
                    failures = 0
                    if was_idle and has_missed:
                        # It is a server's that hangs, or that others don't publish on any more.
                        _log.warning("bus_subscription_deaf")
                        await self.close()
                        continue
                asked_s = time.monotonic()
                message = await self._next_message()
            except BusUnavailable as exc:
                _log.warning("bus_subscription_lost", error=str(exc), failures=failures)
                if self._store.metrics is not None:
                    self._store.metrics.reconnects.inc()
                await self.close()
                await asyncio.sleep(_RECONNECT_S[min(failures, len(_RECONNECT_S) - 1)])
                failures += 1
                continue
            if message is None:
                was_idle = time.monotonic() - asked_s >= 0.9 * _IDLE_CATCH_UP_S
                is_behind = True
                continue
            was_idle = False
            number, entry_id, text = message
            if _place(entry_id) <= _place(self._last_id or "0-0"):
                continue
            announced = _read_event(text, entry_id)
            if announced is None:
                continue
            expected = self._next_number.get(announced.channel)
            self._next_number[announced.channel] = number + 1
            if expected is not None and number != expected:
                is_behind = True
                continue
            self._last_id = entry_id
            yield announced

    async def _next_message(self) -> tuple[int, str, str] | None:
        """Wait for a message; None after a while without one, to look at the stream again."""
        assert self._pubsub is not None
        try:
            message = await self._pubsub.get_message(
                ignore_subscribe_messages=True, timeout=_IDLE_CATCH_UP_S
            )
        except (RedisError, OSError, RuntimeError) as exc:
            raise BusUnavailable(f"subscription: {exc}") from exc
        if message is None:
            return None
        number, entry_id, text = str(message["data"]).split(" ", 2)
        return int(number), entry_id, text

    async def _catch_up(self) -> AsyncIterator[BusEvent]:
        while True:
            page = await self._store.run(
                "catch_up",
                self._store.redis.xrange(
                    f"{self._store.prefix}:events", f"({self._last_id}", count=_CATCH_UP_PAGE
                ),
            )
            for entry_id, fields in page:
                self._last_id = entry_id
                caught_up = _read_event(fields["event"], entry_id)
                if caught_up is not None and caught_up.channel in self._channels:
                    yield caught_up
            if len(page) < _CATCH_UP_PAGE:
                return


def _place(entry_id: str) -> tuple[int, int]:
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number or 0)


def _read_event(text: str, entry_id: str) -> BusEvent | None:
    try:
        return BusEvent.from_json(text, entry_id=entry_id)
    except ValueError:
        _log.warning("bus_event_unreadable", entry_id=entry_id)
        return None
