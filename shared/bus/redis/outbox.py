"""The outbox on Redis: every step one atomic script, leases and ages by Redis's own clock.

An item is a hash that expires by itself; the sorted sets hold ids alone, and an id whose item is
gone is dropped by whoever comes upon it.
"""

from __future__ import annotations

from shared.bus.messages import (
    TIME_USED_UP,
    TRIES_USED_UP,
    Added,
    Claim,
    DeadLetter,
    OutboxCounts,
    OutboxItem,
    Retried,
)
from shared.bus.redis.store import Store

# ARGV[1]: prefix, in every script
_HEAD = """
local box = ARGV[1] .. ':outbox:'
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local function item(id) return box .. 'item:' .. id end
"""

# Needs max_dead in ARGV[2].
_BURY = (
    _HEAD
    + f"""
local function bury(id, reason)
  redis.call('ZREM', box .. 'due', id)
  redis.call('HSET', item(id), 'reason', reason)
  redis.call('ZADD', box .. 'dead', now_ms, id)
  for _, old in ipairs(redis.call('ZRANGE', box .. 'dead', 0, -(tonumber(ARGV[2]) + 1))) do
    redis.call('DEL', item(old))
    redis.call('ZREM', box .. 'dead', old)
  end
end
local function used_up(id, at_ms)
  local kept = redis.call('HMGET', item(id), 'attempts', 'max_attempts', 'added_ms', 'max_age_ms')
  if tonumber(kept[1]) >= tonumber(kept[2]) then return '{TRIES_USED_UP}' end
  if at_ms - tonumber(kept[3]) > tonumber(kept[4]) then return '{TIME_USED_UP}' end
  return nil
end
local function is_held(id, attempt)
  return redis.call('ZSCORE', box .. 'due', id)
    and redis.call('HGET', item(id), 'attempts') == attempt
end
"""
)

# ARGV: prefix, max_pending, id, payload, max_attempts, max_age_ms, keep_ms
_ADD = (
    _HEAD
    + """
if redis.call('EXISTS', box .. 'seen:' .. ARGV[3]) == 1 then return 'known' end
if redis.call('ZCARD', box .. 'due') >= tonumber(ARGV[2]) then
  redis.call('INCR', box .. 'refused')
  return 'full'
end
redis.call('SET', box .. 'seen:' .. ARGV[3], '1', 'PX', ARGV[7])
redis.call('HSET', item(ARGV[3]), 'payload', ARGV[4], 'attempts', 0, 'max_attempts', ARGV[5],
           'max_age_ms', ARGV[6], 'added_ms', now_ms)
redis.call('PEXPIRE', item(ARGV[3]), ARGV[7])
redis.call('ZADD', box .. 'due', now_ms, ARGV[3])
return 'new'
"""
)

# ARGV: prefix, max_dead, worker, lease_ms, limit, pages
_CLAIM = (
    _BURY
    + """
local claims, limit = {}, tonumber(ARGV[5])
for page = 1, tonumber(ARGV[6]) do
  local ids = redis.call('ZRANGEBYSCORE', box .. 'due', '-inf', now_ms, 'LIMIT', 0, limit)
  if #ids == 0 or #claims >= limit then break end
  for _, id in ipairs(ids) do
    if #claims >= limit then break end
    local reason = redis.call('EXISTS', item(id)) == 1 and used_up(id, now_ms)
    if redis.call('EXISTS', item(id)) == 0 then
      redis.call('ZREM', box .. 'due', id)
    elseif reason then
      bury(id, reason)
    else
      local attempt = redis.call('HINCRBY', item(id), 'attempts', 1)
      redis.call('HSET', item(id), 'worker', ARGV[3])
      redis.call('ZADD', box .. 'due', now_ms + tonumber(ARGV[4]), id)
      local kept = redis.call('HMGET', item(id), 'payload', 'added_ms')
      claims[#claims + 1] = {id, kept[1], attempt, now_ms - tonumber(kept[2])}
    end
  end
end
return claims
"""
)

# ARGV: prefix, id
_DONE = (
    _HEAD
    + """
redis.call('ZREM', box .. 'due', ARGV[2])
redis.call('ZREM', box .. 'dead', ARGV[2])
return redis.call('DEL', item(ARGV[2]))
"""
)

# ARGV: prefix, max_dead, id, attempt, after_ms
_RETRY = (
    _BURY
    + """
if not is_held(ARGV[3], ARGV[4]) then return 'lost' end
local due_ms = now_ms + tonumber(ARGV[5])
local reason = used_up(ARGV[3], due_ms)
if reason then
  bury(ARGV[3], reason)
  return 'dead'
end
redis.call('ZADD', box .. 'due', due_ms, ARGV[3])
return 'waiting'
"""
)

# ARGV: prefix, max_dead, id, attempt, reason
_BURY_ONE = (
    _BURY
    + """
if not is_held(ARGV[3], ARGV[4]) then return 0 end
bury(ARGV[3], ARGV[5])
return 1
"""
)

# ARGV: prefix, limit
_DEAD = (
    _HEAD
    + """
local letters = {}
for _, id in ipairs(redis.call('ZREVRANGE', box .. 'dead', 0, -1)) do
  local kept = redis.call('HMGET', item(id), 'payload', 'attempts', 'reason')
  if not kept[1] then
    redis.call('ZREM', box .. 'dead', id)
  elseif #letters < tonumber(ARGV[2]) then
    letters[#letters + 1] = {id, kept[1], kept[2], kept[3]}
  end
end
return letters
"""
)

# ARGV holds the prefix alone
_COUNTS = (
    _HEAD
    + """
for _, name in ipairs({'due', 'dead'}) do
  for _, id in ipairs(redis.call('ZRANGE', box .. name, 0, 99)) do
    if redis.call('EXISTS', item(id)) == 0 then redis.call('ZREM', box .. name, id) end
  end
end
return {redis.call('ZCARD', box .. 'due'), redis.call('ZCARD', box .. 'dead'),
        tonumber(redis.call('GET', box .. 'refused') or 0)}
"""
)

_CLAIM_PAGES = 20


class RedisOutbox:
    """Outbox on scripts.

    Args:
        store: the Redis.
        max_pending: items that may wait.
        max_dead: dead letters kept; the oldest go first.
    """

    def __init__(self, store: Store, *, max_pending: int = 10_000, max_dead: int = 1000) -> None:
        self._store = store
        self._max_pending = max_pending
        self._max_dead = max_dead

    async def add(self, item: OutboxItem) -> Added:
        """Check, store and enqueue in one script."""
        added = await self._store.script(
            "outbox_add",
            _ADD,
            self._max_pending,
            item.item_id,
            item.payload,
            item.max_attempts,
            int(item.max_age_s * 1000),
            max(1, int(item.keep_s * 1000)),
        )
        return Added(added)

    async def claim(self, worker: str, *, lease_s: float, limit: int) -> list[Claim]:
        """Take and lease in one script."""
        if limit <= 0:
            return []
        rows = await self._store.script(
            "outbox_claim",
            _CLAIM,
            self._max_dead,
            worker,
            int(lease_s * 1000),
            limit,
            _CLAIM_PAGES,
        )
        return [Claim(row[0], row[1], int(row[2]), int(row[3]) / 1000) for row in rows]

    async def done(self, item_id: str) -> bool:
        """Remove all but the memory of the id."""
        return bool(await self._store.script("outbox_done", _DONE, item_id))

    async def retry(self, claim: Claim, *, after_s: float) -> Retried:
        """Check the fence and make it due, or bury it, in one script."""
        after_ms = max(0, int(after_s * 1000))
        outcome = await self._store.script(
            "outbox_retry", _RETRY, self._max_dead, claim.item_id, claim.attempt, after_ms
        )
        return Retried(outcome)

    async def bury(self, claim: Claim, *, reason: str) -> bool:
        """Check the fence and bury in one script."""
        buried = await self._store.script(
            "outbox_bury", _BURY_ONE, self._max_dead, claim.item_id, claim.attempt, reason
        )
        return bool(buried)

    async def dead(self, limit: int) -> list[DeadLetter]:
        """Read the newest."""
        rows = await self._store.script("outbox_dead", _DEAD, limit)
        return [DeadLetter(row[0], row[1], int(row[2]), row[3]) for row in rows]

    async def counts(self) -> OutboxCounts:
        """Count; some ids whose item has expired are dropped on the way."""
        pending, dead, refused = await self._store.script("outbox_counts", _COUNTS)
        return OutboxCounts(int(pending), int(dead), int(refused))
