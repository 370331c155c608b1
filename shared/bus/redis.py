"""The bus on Redis (6.2 or newer): records, events, pool, small values.

Every key carries the prefix, which holds a hash tag so that one script may touch several keys on
a cluster. Several installations on one Redis take different prefixes.

    {parley}:call:<id>       record, JSON, expires         {parley}:calls     index by creation
    {parley}:events          stream of all events          {parley}:seq:<ch>  numbers per channel
    {parley}:workers         worker ids by end of lease    {parley}:worker:<id>  lease, JSON
    {parley}:bookings:<id>   call ids by end of booking    {parley}:booked:<call>  worker id
    {parley}:value:<key>     small values
    channels parley:calls, parley:hangups, parley:workers (named `<prefix>:ch:<channel>`)

All times inside scripts are Redis's own, so that hosts need no common clock.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.bus.base import BusUnavailable
from shared.bus.messages import (
    Applied,
    BusEvent,
    Channel,
    WorkerLease,
    apply_change,
)
from shared.metrics.catalogue import BusMetrics
from shared.protocol.call import CallChange, CallId, CallRecord, WorkerId

LEASE_S = 3.0
BOOKING_S = 15.0
EVENT_RETENTION_S = 3600.0
RECORD_RETENTION_S = 7 * 86400.0
INDEX_SIZE = 100_000
_CATCH_UP_PAGE = 500
_IDLE_CATCH_UP_S = 5.0
_RECONNECT_S = (0.1, 0.2, 0.5, 1.0, 2.0)
_CONFLICT_TRIES = 50

# ARGV: prefix, retention_ms, then pairs channel, event JSON
_EMIT = """
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

_PUBLISH = _EMIT + "return emit(ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4])"

# Compare and set: the merge itself is pure Python, shared with the memory bus.
# ARGV: prefix, retention_ms, call id, text expected ('' for none), new text, record_ttl_ms,
#       created_ms, index size, then pairs channel, event JSON
_STORE = (
    _EMIT
    + """
local prefix, key = ARGV[1], ARGV[1] .. ':call:' .. ARGV[3]
local current = redis.call('GET', key)
if (current or '') ~= ARGV[4] then return 0 end
redis.call('SET', key, ARGV[5], 'PX', ARGV[6])
if not current then
  redis.call('ZADD', prefix .. ':calls', ARGV[7], ARGV[3])
  redis.call('ZREMRANGEBYRANK', prefix .. ':calls', 0, -(tonumber(ARGV[8]) + 1))
end
for i = 9, #ARGV, 2 do emit(prefix, tonumber(ARGV[2]), ARGV[i], ARGV[i + 1]) end
return 1
"""
)

_NOW_MS = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
"""

# ARGV: prefix, worker id, lease JSON, lease_ms, then call ids
_HEARTBEAT = (
    _NOW_MS
    + """
local prefix, worker, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[4])
redis.call('ZADD', prefix .. ':workers', now_ms + lease_ms, worker)
redis.call('SET', prefix .. ':worker:' .. worker, ARGV[3], 'PX', lease_ms)
local bookings = prefix .. ':bookings:' .. worker
redis.call('ZREMRANGEBYSCORE', bookings, '-inf', now_ms)
for i = 5, #ARGV do
  redis.call('ZADD', bookings, now_ms + lease_ms, ARGV[i])
  redis.call('SET', prefix .. ':booked:' .. ARGV[i], worker, 'PX', lease_ms)
end
if redis.call('EXISTS', bookings) == 1 then redis.call('PEXPIRE', bookings, 60000) end
return 1
"""
)

_COUNTED_WORKERS = """
redis.call('ZREMRANGEBYSCORE', prefix .. ':workers', '-inf', now_ms)
local function counted()
  local rows = {}
  for _, worker in ipairs(redis.call('ZRANGE', prefix .. ':workers', 0, -1)) do
    local lease = redis.call('GET', prefix .. ':worker:' .. worker)
    if lease then
      local bookings = prefix .. ':bookings:' .. worker
      redis.call('ZREMRANGEBYSCORE', bookings, '-inf', now_ms)
      rows[#rows + 1] = {worker, lease, redis.call('ZCARD', bookings)}
    end
  end
  return rows
end
"""

_WORKERS = _NOW_MS + "local prefix = ARGV[1]\n" + _COUNTED_WORKERS + "return counted()"

# ARGV: prefix, call id, booking_ms, then excluded worker ids
_RESERVE = (
    _NOW_MS
    + "local prefix, call, booking_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])\n"
    + _COUNTED_WORKERS
    + """
local excluded = {}
for i = 4, #ARGV do excluded[ARGV[i]] = true end
local booked_key = prefix .. ':booked:' .. call
local booked = redis.call('GET', booked_key)
if booked then
  local lease = redis.call('GET', prefix .. ':worker:' .. booked)
  if lease and not excluded[booked] then
    return {lease, redis.call('ZCARD', prefix .. ':bookings:' .. booked)}
  end
  redis.call('ZREM', prefix .. ':bookings:' .. booked, call)
  redis.call('DEL', booked_key)
end
local best, best_load, best_lag
for _, row in ipairs(counted()) do
  local lease = cjson.decode(row[2])
  if not excluded[row[1]] and not lease.draining and row[3] < lease.capacity then
    local load = row[3] / lease.capacity
    if not best or load < best_load or (load == best_load and lease.lag_ms < best_lag) then
      best, best_load, best_lag = row, load, lease.lag_ms
    end
  end
end
if not best then return nil end
local bookings = prefix .. ':bookings:' .. best[1]
redis.call('ZADD', bookings, now_ms + booking_ms, call)
redis.call('PEXPIRE', bookings, 60000)
redis.call('SET', booked_key, best[1], 'PX', booking_ms)
return {best[2], best[3] + 1}
"""
)

# ARGV: prefix, worker id, call id
_RELEASE = """
redis.call('ZREM', ARGV[1] .. ':bookings:' .. ARGV[2], ARGV[3])
local key = ARGV[1] .. ':booked:' .. ARGV[3]
if redis.call('GET', key) == ARGV[2] then redis.call('DEL', key) end
return 1
"""

# ARGV: prefix, worker id
_WITHDRAW = """
local bookings = ARGV[1] .. ':bookings:' .. ARGV[2]
for _, call in ipairs(redis.call('ZRANGE', bookings, 0, -1)) do
  local key = ARGV[1] .. ':booked:' .. call
  if redis.call('GET', key) == ARGV[2] then redis.call('DEL', key) end
end
redis.call('DEL', bookings, ARGV[1] .. ':worker:' .. ARGV[2])
redis.call('ZREM', ARGV[1] .. ':workers', ARGV[2])
return 1
"""

_INCREMENT = """
local number = redis.call('INCR', KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return number
"""

_log = structlog.get_logger(__name__)


class _Store:
    """One Redis, with every command bounded, timed and translated."""

    def __init__(
        self, redis: Redis, *, prefix: str, timeout_s: float, metrics: BusMetrics | None
    ) -> None:
        self.redis = redis
        self.prefix = prefix
        self._timeout_s = timeout_s
        self.metrics = metrics
        self._scripts: dict[str, Any] = {}

    async def run(self, operation: str, command: Awaitable[Any]) -> Any:
        """Await a command; raise BusUnavailable on any failure of the store."""
        started_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await command
        except (RedisError, OSError, TimeoutError) as exc:
            if self.metrics is not None:
                self.metrics.errors.labels(operation).inc()
            raise BusUnavailable(f"{operation}: {type(exc).__name__}: {exc}") from exc
        finally:
            if self.metrics is not None:
                self.metrics.latency.labels(operation).observe(time.perf_counter() - started_s)

    async def script(self, operation: str, text: str, *args: str | int | float) -> Any:
        """Run a script by its hash; keys are made inside from the prefix (one hash tag)."""
        script = self._scripts.get(text)
        if script is None:
            script = self._scripts[text] = self.redis.register_script(text)
        keys = [f"{self.prefix}:events"]
        return await self.run(operation, script(keys=keys, args=[self.prefix, *args]))


class RedisEvents:
    """EventBus on a stream and pub/sub."""

    def __init__(self, store: _Store) -> None:
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

    def __init__(self, store: _Store, channels: Sequence[Channel], after: str | None) -> None:
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
        is_behind = True
        while True:
            try:
                if self._pubsub is None:
                    await self._connect()
                    is_behind = True
                if is_behind:
                    async for event in self._catch_up():
                        yield event
                    is_behind = False
                    failures = 0
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
                is_behind = True
                continue
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


class RedisCalls:
    """CallStore on JSON values, changed by compare-and-set."""

    def __init__(self, store: _Store) -> None:
        self._store = store

    def _key(self, call_id: CallId) -> str:
        return f"{self._store.prefix}:call:{call_id}"

    async def apply(self, change: CallChange) -> Applied:
        """Merge in Python, store and publish in one script; start again if somebody was faster.

        Raises:
            BusUnavailable: no answer, or somebody was faster fifty times.
        """
        for _ in range(_CONFLICT_TRIES):
            text = await self._store.run(
                "call_get", self._store.redis.get(self._key(change.call_id))
            )
            now = datetime.now(UTC)
            current = CallRecord.from_json(json.loads(text)) if text else None
            applied, events = apply_change(
                current, change, now_iso=now.isoformat(timespec="milliseconds")
            )
            stored = await self._store.script(
                "call_store",
                _STORE,
                int(EVENT_RETENTION_S * 1000),
                change.call_id,
                text or "",
                json.dumps(applied.record.to_json(), separators=(",", ":")),
                int(RECORD_RETENTION_S * 1000),
                now.timestamp(),
                INDEX_SIZE,
                *(part for event in events for part in (event.channel.value, event.to_json())),
            )
            if stored:
                return applied
        raise BusUnavailable("call_store: too many writers of one call")

    async def get(self, call_id: CallId) -> CallRecord | None:
        """Read one record."""
        text = await self._store.run("call_get", self._store.redis.get(self._key(call_id)))
        return CallRecord.from_json(json.loads(text)) if text else None

    async def recent(self, limit: int) -> list[CallRecord]:
        """Read the newest records; ids whose record has expired are passed over."""
        if limit <= 0:
            return []
        ids = await self._store.run(
            "calls_recent",
            self._store.redis.zrevrange(f"{self._store.prefix}:calls", 0, limit - 1),
        )
        if not ids:
            return []
        texts = await self._store.run(
            "calls_recent", self._store.redis.mget([self._key(call_id) for call_id in ids])
        )
        return [CallRecord.from_json(json.loads(text)) for text in texts if text]


class RedisWorkers:
    """WorkerRegistry on scripts."""

    def __init__(self, store: _Store) -> None:
        self._store = store

    async def heartbeat(self, lease: WorkerLease, calls: Collection[CallId]) -> None:
        """Renew lease and bookings in one script."""
        await self._store.script(
            "heartbeat",
            _HEARTBEAT,
            lease.worker_id,
            lease.to_json(),
            int(LEASE_S * 1000),
            *calls,
        )

    async def withdraw(self, worker_id: WorkerId) -> None:
        """Remove lease and bookings."""
        await self._store.script("withdraw", _WITHDRAW, worker_id)

    async def reserve(
        self, call_id: CallId, *, exclude: Collection[WorkerId] = ()
    ) -> WorkerLease | None:
        """Prune, check and book in one script."""
        row = await self._store.script(
            "reserve", _RESERVE, call_id, int(BOOKING_S * 1000), *exclude
        )
        return WorkerLease.from_json(row[0], active=int(row[1])) if row else None

    async def release(self, worker_id: WorkerId, call_id: CallId) -> None:
        """Remove one booking."""
        await self._store.script("release", _RELEASE, worker_id, call_id)

    async def workers(self) -> list[WorkerLease]:
        """Read leases with their counted bookings."""
        rows = await self._store.script("workers", _WORKERS)
        leases = [WorkerLease.from_json(row[1], active=int(row[2])) for row in rows]
        return sorted(leases, key=lambda lease: lease.worker_id)


class RedisValues:
    """KeyValue on plain keys."""

    def __init__(self, store: _Store) -> None:
        self._store = store

    def _key(self, key: str) -> str:
        return f"{self._store.prefix}:value:{key}"

    async def get(self, key: str) -> str | None:
        """GET."""
        value = await self._store.run("value_get", self._store.redis.get(self._key(key)))
        return cast("str | None", value)

    async def put(
        self, key: str, value: str, *, ttl_s: float, only_if_absent: bool = False
    ) -> bool:
        """SET with PX and perhaps NX."""
        done = await self._store.run(
            "value_put",
            self._store.redis.set(
                self._key(key), value, px=max(1, int(ttl_s * 1000)), nx=only_if_absent
            ),
        )
        return bool(done)

    async def delete(self, key: str) -> None:
        """DEL."""
        await self._store.run("value_delete", self._store.redis.delete(self._key(key)))

    async def increment(self, key: str, *, ttl_s: float) -> int:
        """INCR and PEXPIRE in one script."""
        script = self._store.redis.register_script(_INCREMENT)
        number = await self._store.run(
            "value_increment", script(keys=[self._key(key)], args=[int(ttl_s * 1000)])
        )
        return int(number)


class RedisBus:
    """All parts on one Redis."""

    def __init__(self, store: _Store) -> None:
        self._store = store
        self.events = RedisEvents(store)
        self.calls = RedisCalls(store)
        self.workers = RedisWorkers(store)
        self.values = RedisValues(store)

    async def ping(self) -> bool:
        """Whether Redis answers PING in time."""
        try:
            return bool(await self._store.run("ping", self._store.redis.ping()))
        except BusUnavailable:
            return False


@asynccontextmanager
async def open_bus(
    url: str,
    *,
    password: str | None = None,
    prefix: str = "{parley}",
    timeout_s: float = 1.0,
    metrics: BusMetrics | None = None,
) -> AsyncIterator[RedisBus]:
    """Open the bus; nothing is sent yet, so an absent Redis shows at first use.

    Args:
        url: redis://, rediss:// or unix://.
        password: used where the URL carries none.
        prefix: of every key and channel, with one {hash tag}.
        timeout_s: bound of every command.
        metrics: where latencies and errors are counted.
    """
    redis: Redis = Redis.from_url(
        url,
        password=password or None,
        decode_responses=True,
        socket_timeout=None,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        # One more try, so that a connection that Redis closed while idle is not an error. What is
        # sent twice that way does no harm: the contract is at least once.
        retry=Retry(NoBackoff(), 1),
    )
    try:
        yield RedisBus(_Store(redis, prefix=prefix, timeout_s=timeout_s, metrics=metrics))
    finally:
        await redis.aclose()
