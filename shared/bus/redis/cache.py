"""A bounded cache that services share, on plain keys with an index of their lives and sizes."""

from __future__ import annotations

from typing import cast

from shared.bus.base import CacheBounds
from shared.bus.redis.store import Store

_NOW_MS = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
"""

# ARGV: prefix, key, value, ttl_ms, most entries, most bytes
_PUT = (
    _NOW_MS
    + """
local prefix, key, value = ARGV[1] .. ':cache', ARGV[2], ARGV[3]
local ttl_ms, most_entries, most_bytes = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local index, sizes, total = prefix .. ':index', prefix .. ':sizes', prefix .. ':bytes'
local bytes = tonumber(redis.call('GET', total) or '0')
local function forget(name)
  bytes = bytes - tonumber(redis.call('HGET', sizes, name) or '0')
  redis.call('HDEL', sizes, name)
  redis.call('ZREM', index, name)
  redis.call('DEL', prefix .. ':value:' .. name)
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now_ms)) do forget(name) end
forget(key)
while redis.call('ZCARD', index) > 0
  and (redis.call('ZCARD', index) >= most_entries or bytes + #value > most_bytes) do
  forget(redis.call('ZRANGE', index, 0, 0)[1])
end
redis.call('SET', prefix .. ':value:' .. key, value, 'PX', ttl_ms)
redis.call('ZADD', index, now_ms + ttl_ms, key)
redis.call('HSET', sizes, key, #value)
redis.call('SET', total, math.max(0, bytes) + #value)
for _, name in ipairs({index, sizes, total}) do redis.call('PEXPIRE', name, ttl_ms) end
return 1
"""
)

_KEYS = (
    _NOW_MS + "return redis.call('ZRANGEBYSCORE', ARGV[1] .. ':cache:index', '(' .. now_ms, '+inf')"
)


class RedisCache:
    """SharedCache on Redis."""

    def __init__(self, store: Store, bounds: CacheBounds | None = None) -> None:
        self._store = store
        self._bounds = bounds or CacheBounds()

    async def get(self, key: str) -> str | None:
        """GET."""
        name = f"{self._store.prefix}:cache:value:{key}"
        value = await self._store.run("cache_get", self._store.redis.get(name))
        return cast("str | None", value)

    async def put(self, key: str, value: str, *, ttl_s: float) -> bool:
        """Make room and set, in one script."""
        bounds = self._bounds
        if len(value) > bounds.entry_bytes:
            return False
        ttl_ms = max(1, int(ttl_s * 1000))
        args = (key, value, ttl_ms, bounds.entries, bounds.total_bytes)
        await self._store.script("cache_put", _PUT, *args)
        return True

    async def keys(self) -> frozenset[str]:
        """Read the index."""
        return frozenset(await self._store.script("cache_keys", _KEYS))
