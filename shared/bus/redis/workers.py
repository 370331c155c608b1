"""The pool of workers: leases and bookings, each step one atomic script."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

from shared.bus.choice import LAG_OF_A_FULL_WORKER_MS
from shared.bus.messages import BOOKING_S, LEASE_S, WorkerLease
from shared.bus.redis.store import Store
from shared.protocol.call import CallId, WorkerId

# Shared with scripts that look at the pool from elsewhere: `now_ms`, then `counted()`, which needs
# `prefix` and returns rows of worker id, lease JSON, bookings.
NOW_MS = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
"""

# ARGV: prefix, worker id, lease JSON, lease_ms, then call ids
_HEARTBEAT = (
    NOW_MS
    + """
local prefix, worker, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[4])
redis.call('ZADD', prefix .. ':workers', now_ms + lease_ms, worker)
redis.call('SET', prefix .. ':worker:' .. worker, ARGV[3], 'PX', lease_ms)
local bookings = prefix .. ':bookings:' .. worker
redis.call('ZREMRANGEBYSCORE', bookings, '-inf', now_ms)
for i = 5, #ARGV do
  redis.call('ZADD', bookings, now_ms + lease_ms, ARGV[i])
  local booked_key = prefix .. ':booked:' .. ARGV[i]
  local holder = redis.call('GET', booked_key)
  if not holder or holder == worker
      or redis.call('EXISTS', prefix .. ':worker:' .. holder) == 0 then
    redis.call('SET', booked_key, worker, 'PX', lease_ms)
  end
end
if redis.call('EXISTS', bookings) == 1 then redis.call('PEXPIRE', bookings, 60000) end
return 1
"""
)

COUNTED_WORKERS = """
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

_WORKERS = NOW_MS + "local prefix = ARGV[1]\n" + COUNTED_WORKERS + "return counted()"

# ARGV: prefix, call id, booking_ms, zone, two draws, lag of a full worker, then excluded ids.
# The choice is that of shared/bus/choice.py.
_RESERVE = (
    NOW_MS
    + "local prefix, call, booking_ms, zone = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]\n"
    + COUNTED_WORKERS
    + """
local excluded = {}
for i = 8, #ARGV do excluded[ARGV[i]] = true end
local booked_key = prefix .. ':booked:' .. call
local function book(worker)
  local bookings = prefix .. ':bookings:' .. worker
  redis.call('ZADD', bookings, now_ms + booking_ms, call)
  redis.call('PEXPIRE', bookings, 60000)
  redis.call('SET', booked_key, worker, 'PX', booking_ms)
  return redis.call('ZCARD', bookings)
end
local booked = redis.call('GET', booked_key)
if booked then
  local bookings = prefix .. ':bookings:' .. booked
  redis.call('ZREMRANGEBYSCORE', bookings, '-inf', now_ms)
  local lease = redis.call('GET', prefix .. ':worker:' .. booked)
  if lease and redis.call('ZSCORE', bookings, call) and not excluded[booked] then
    return {lease, book(booked)}
  end
  redis.call('ZREM', bookings, call)
  redis.call('DEL', booked_key)
end
local open, near = {}, {}
for _, row in ipairs(counted()) do
  local lease = cjson.decode(row[2])
  if not excluded[row[1]] and not lease.draining and row[3] < lease.capacity then
    local weight = row[3] / lease.capacity + lease.lag_ms / tonumber(ARGV[7])
    local entry = {id = row[1], lease = row[2], weight = weight}
    open[#open + 1] = entry
    if zone ~= '' and lease.zone == zone then near[#near + 1] = entry end
  end
end
if #near > 0 then open = near end
if #open == 0 then return nil end
table.sort(open, function(a, b) return a.id < b.id end)
local best = open[1]
if #open > 1 then
  local first = math.floor(tonumber(ARGV[5]) * #open) + 1
  local second = math.floor(tonumber(ARGV[6]) * (#open - 1)) + 1
  if second >= first then second = second + 1 end
  best = open[math.min(first, second)]
  local other = open[math.max(first, second)]
  if other.weight < best.weight then best = other end
end
return {best.lease, book(best.id)}
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
    """WorkerRegistry on scripts. Chance comes from here: the script is the same each time."""

    def __init__(self, store: Store, chance: Random | None = None) -> None:
        self._store = store
        self._chance = chance or Random()  # noqa: S311 - spreads calls

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
        self, call_id: CallId, *, exclude: Collection[WorkerId] = (), zone: str = ""
    ) -> WorkerLease | None:
        """Prune, check, choose and book in one script."""
        row = await self._store.script(
            "reserve",
            _RESERVE,
            call_id,
            int(BOOKING_S * 1000),
            zone,
            self._chance.random(),
            self._chance.random(),
            LAG_OF_A_FULL_WORKER_MS,
            *exclude,
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
