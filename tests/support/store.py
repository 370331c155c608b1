"""What Redis holds, looked at past the bus: for tests that ask what is left of calls."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import redis

from shared.protocol.call import CallRecord

_PREFIX = "{parley}:"


class Store:
    """The keys of one installation; asked by a test that knows that Redis is there."""

    def __init__(self, url: str) -> None:
        self._redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def kinds(self) -> Counter[str]:
        """Count keys by their kind."""
        names = (name.removeprefix(_PREFIX) for name in self._redis.scan_iter(f"{_PREFIX}*", 1000))
        parts = (name.split(":") for name in names)
        return Counter(":".join(part[:2] if part[0] == "value" else part[:1]) for part in parts)

    def for_ever(self) -> set[str]:
        """The keys that never expire."""
        names = self._redis.scan_iter(f"{_PREFIX}*", 1000)
        return {name.removeprefix(_PREFIX) for name in names if self._redis.ttl(name) == -1}

    def snapshots(self) -> list[str]:
        """Calls whose session is kept still."""
        names = self._redis.scan_iter(f"{_PREFIX}session:*", 1000)
        return [name.rpartition(":")[2] for name in names if self._redis.hexists(name, "text")]

    def workers(self) -> int:
        """How many workers have a lease."""
        return int(self._redis.zcount(f"{_PREFIX}workers", time.time() * 1000, "+inf"))

    def records(self, calls: Sequence[str]) -> list[CallRecord]:
        """The calls' records, of those that have one."""
        texts = self._redis.mget([f"{_PREFIX}call:{call}" for call in calls])
        return [CallRecord.from_json(json.loads(text)) for text in texts if text]

    def ends(self) -> list[str]:
        """The calls whose end was told, in that order, as often as it was."""
        entries = self._redis.xrange(f"{_PREFIX}events")
        events = (json.loads(fields["event"]) for _, fields in entries)
        return [event["call_id"] for event in events if event["kind"] == "hangup"]

    def check_ended_once(self, calls: Sequence[str]) -> list[CallRecord]:
        """Fail unless each call has one record, final, whose end was told once; return them."""
        records, ends = self.records(calls), Counter(self.ends())
        assert len({record.call_id for record in records}) == len(calls), "records are missing"
        assert [r.call_id for r in records if not r.state.is_final] == []
        assert {call: ends[call] for call in calls if ends[call] != 1} == {}
        assert [r.call_id for r in records if r.end_reason is None or r.duration_s is None] == []
        return records
