"""The pool of workers: leases and bookings, each step one atomic script."""

from __future__ import annotations

from collections.abc import Collection

from shared.bus.messages import WorkerLease
from shared.bus.redis.store import Store
from shared.protocol.call import CallId, WorkerId

LEASE_S = 3.0
BOOKING_S = 15.0

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


class RedisWorkers:
    """WorkerRegistry on scripts."""

    def __init__(self, store: Store) -> None:
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
