"""Small values with a life time, on plain keys."""

from __future__ import annotations

from typing import cast

from shared.bus.redis.store import Store

_INCREMENT = """
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local number = math.max(last, tonumber(ARGV[2])) + 1
redis.call('SET', KEYS[1], string.format('%d', number), 'PX', ARGV[1])
return number
"""


class RedisValues:
    """KeyValue on plain keys."""

    def __init__(self, store: Store) -> None:
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

    async def increment(self, key: str, *, ttl_s: float, above: int = 0) -> int:
        """GET and SET with PX in one script."""
        script = self._store.redis.register_script(_INCREMENT)
        number = await self._store.run(
            "value_increment", script(keys=[self._key(key)], args=[int(ttl_s * 1000), above])
        )
        return int(number)
