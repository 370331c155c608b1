"""The calls' records: JSON values, changed by compare-and-set together with their events."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

from shared.bus.base import BusUnavailable
from shared.bus.messages import Applied, apply_change
from shared.bus.redis.events import EMIT, EVENT_RETENTION_S
from shared.bus.redis.store import Store
from shared.protocol.call import CallChange, CallId, CallRecord

RECORD_RETENTION_S = 7 * 86400.0
INDEX_SIZE = 100_000
_CONFLICT_TRIES = 50
_INDEX_PASSES = 5

# Compare and set: the merge itself is pure Python, shared with the memory bus.
# ARGV: prefix, retention_ms, call id, text expected ('' for none), new text, record_ttl_ms,
#       created_ms, index size, then pairs channel, event JSON
_STORE = (
    EMIT
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


class RedisCalls:
    """CallStore on JSON values, changed by compare-and-set."""

    def __init__(self, store: Store) -> None:
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
                _life_ms(applied.record),
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

    async def recent(self, limit: int, *, before: CallId | None = None) -> list[CallRecord]:
        """Read the newest records; ids whose record has expired leave the index on the way."""
        index = f"{self._store.prefix}:calls"
        texts: list[str] = []
        for _ in range(_INDEX_PASSES if limit > 0 else 0):
            first = 0
            if before is not None:
                rank = await self._store.run(
                    "calls_recent", self._store.redis.zrevrank(index, before)
                )
                if rank is None:
                    return []
                first = rank + 1
            ids = await self._store.run(
                "calls_recent", self._store.redis.zrevrange(index, first, first + limit - 1)
            )
            if not ids:
                return []
            found = await self._store.run(
                "calls_recent", self._store.redis.mget([self._key(call_id) for call_id in ids])
            )
            texts = [text for text in found if text]
            expired = [call_id for call_id, text in zip(ids, found, strict=True) if not text]
            if not expired:
                break
            await self._store.run("calls_recent", self._store.redis.zrem(index, *expired))
        records = []
        for text in texts:
            records.append(CallRecord.from_json(json.loads(text)))
            await asyncio.sleep(0)  # hundreds of transcripts at once would hold the loop up
        return records


def _life_ms(record: CallRecord) -> int:
    kept_s = RECORD_RETENTION_S if record.retention_s is None else record.retention_s
    return max(1, int(kept_s * 1000))
