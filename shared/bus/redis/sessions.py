"""Snapshots of sessions on Redis: a hash for each call, every step one atomic script.

The field `epoch` fences; `by` and `text` are the newest snapshot. A claimed hash outlives its
snapshot for a while, so that a worker that wakes late is still refused.
"""

from __future__ import annotations

from shared.bus.base import EpochPassed, Saved
from shared.bus.redis.store import Store
from shared.protocol.call import CallId

KEEP_S = 7200.0
FORGOTTEN_S = 600.0

# ARGV: prefix, call id, epoch, keep_ms. Ends with the higher epoch where there is one.
_RAISE = """
local key = ARGV[1] .. ':session:' .. ARGV[2]
local known = tonumber(redis.call('HGET', key, 'epoch') or '0')
if known > tonumber(ARGV[3]) then return {0, tostring(known)} end
redis.call('HSET', key, 'epoch', ARGV[3])
redis.call('PEXPIRE', key, ARGV[4])
"""

# ARGV besides: text
_SAVE = _RAISE + "redis.call('HSET', key, 'by', ARGV[3], 'text', ARGV[5])\nreturn {1}"

_CLAIM = (
    _RAISE
    + """
local saved = redis.call('HMGET', key, 'by', 'text')
if not saved[2] then return {1} end
return {1, saved[1], saved[2]}
"""
)

_FORGET = _RAISE + "redis.call('HDEL', key, 'by', 'text')\nreturn {1}"


class RedisSessions:
    """SessionStore on scripts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _key(self, call_id: CallId) -> str:
        return f"{self._store.prefix}:session:{call_id}"

    async def save(self, call_id: CallId, epoch: int, text: str) -> bool:
        """Compare and set."""
        args = (call_id, epoch, int(KEEP_S * 1000), text)
        row = await self._store.script("session_save", _SAVE, *args)
        return bool(row[0])

    async def load(self, call_id: CallId) -> Saved | None:
        """HMGET."""
        command = self._store.redis.hmget(self._key(call_id), ["by", "text"])
        by, text = await self._store.run("session_load", command)
        return Saved(int(by), str(text)) if text is not None else None

    async def claim(self, call_id: CallId, epoch: int) -> Saved | None:
        """Compare, set and read."""
        args = (call_id, epoch, int(KEEP_S * 1000))
        row = await self._store.script("session_claim", _CLAIM, *args)
        if not row[0]:
            raise EpochPassed(call_id, int(row[1]))
        return Saved(int(row[1]), str(row[2])) if len(row) > 1 else None

    async def forget(self, call_id: CallId, epoch: int) -> bool:
        """Compare and delete the snapshot."""
        args = (call_id, epoch, int(FORGOTTEN_S * 1000))
        row = await self._store.script("session_forget", _FORGET, *args)
        return bool(row[0])

    async def epoch(self, call_id: CallId) -> int:
        """HGET."""
        command = self._store.redis.hget(self._key(call_id), "epoch")
        return int(await self._store.run("session_epoch", command) or 0)
