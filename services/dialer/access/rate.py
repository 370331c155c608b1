"""How often a key may be used, counted for all dialers together in one atomic script.

A key that may be used n times a minute earns a request every 60/n seconds and may save up a tenth
of a minute's, at least ten of them (or n, where that is less).

    {parley}:dial:rate:<key id>   when what was used will have been earned, Redis's ms; expires
"""

from __future__ import annotations

from services.dialer.desk.door import Principal
from shared.bus.redis.store import Store

# ARGV: prefix, key id, requests a minute, how many may be saved up. Answers ms to wait, 0: go.
_ADMIT = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + now[2] / 1000
local key = ARGV[1] .. ':dial:rate:' .. ARGV[2]
local each_ms = 60000 / tonumber(ARGV[3])
local earned_ms = math.max(tonumber(redis.call('GET', key) or '0'), now_ms) + each_ms
local wait_ms = earned_ms - now_ms - each_ms * tonumber(ARGV[4])
if wait_ms > 0 then return math.ceil(wait_ms) end
redis.call('SET', key, string.format('%.3f', earned_ms), 'PX',
           math.max(1, math.ceil(earned_ms - now_ms)))
return 0
"""


class RedisRate:
    """RateLimiter on Redis."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def admit(self, principal: Principal) -> int:
        """Count a request: 0 when it may pass, else the seconds to wait, at least one.

        Raises:
            BusUnavailable: nobody knows.
        """
        per_minute = principal.rate_per_minute
        if per_minute is None:
            return 0
        wait_ms = await self._store.script(
            "rate", _ADMIT, principal.key_id, per_minute, saved_up(per_minute)
        )
        return -(-int(wait_ms) // 1000)


def saved_up(per_minute: int) -> int:
    """Return how many requests may come at once after a quiet time."""
    return min(per_minute, max(10, per_minute // 10))
