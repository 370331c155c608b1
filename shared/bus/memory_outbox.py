"""The outbox inside one process, by the same contract as the one on Redis."""

from __future__ import annotations

from dataclasses import dataclass

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
from shared.runtime.clock import Clock


@dataclass(slots=True)
class _Kept:
    """An item with its state; `due_s` is None for a dead letter, which has a `reason`."""

    item: OutboxItem
    added_s: float
    due_s: float | None
    attempts: int = 0
    reason: str = ""

    @property
    def until_s(self) -> float:
        return self.added_s + self.item.keep_s


class MemoryOutbox:
    """Outbox in memory.

    Args:
        clock: what leases and ages are measured by.
        max_pending: items that may wait.
        max_dead: dead letters kept; the oldest go first.
    """

    def __init__(self, clock: Clock, *, max_pending: int = 10_000, max_dead: int = 1000) -> None:
        self._clock = clock
        self._max_pending = max_pending
        self._max_dead = max_dead
        self._kept: dict[str, _Kept] = {}
        self._dead: dict[str, _Kept] = {}
        self._seen_until_s: dict[str, float] = {}
        self._refused = 0

    async def add(self, item: OutboxItem) -> Added:
        """Keep an item."""
        now_s = self._expire()
        if item.item_id in self._seen_until_s:
            return Added.KNOWN
        if len(self._kept) >= self._max_pending:
            self._refused += 1
            return Added.FULL
        self._seen_until_s[item.item_id] = now_s + item.keep_s
        self._kept[item.item_id] = _Kept(item, now_s, now_s)
        return Added.NEW

    async def claim(self, worker: str, *, lease_s: float, limit: int) -> list[Claim]:
        """Take what is due."""
        now_s = self._expire()
        due = sorted(
            (kept for kept in self._kept.values() if (kept.due_s or 0.0) <= now_s),
            key=lambda kept: kept.due_s or 0.0,
        )
        claims: list[Claim] = []
        for kept in due:
            if len(claims) >= limit:
                break
            if reason := _used_up(kept, now_s):
                self._bury(kept, reason)
                continue
            kept.attempts += 1
            kept.due_s = now_s + lease_s
            claims.append(
                Claim(kept.item.item_id, kept.item.payload, kept.attempts, now_s - kept.added_s)
            )
        return claims

    async def done(self, item_id: str) -> bool:
        """Forget an item."""
        self._expire()
        was_dead = self._dead.pop(item_id, None) is not None
        return self._kept.pop(item_id, None) is not None or was_dead

    async def retry(self, claim: Claim, *, after_s: float) -> Retried:
        """Give an item back."""
        now_s = self._expire()
        kept = self._held(claim)
        if kept is None:
            return Retried.LOST
        if reason := _used_up(kept, now_s + after_s):
            self._bury(kept, reason)
            return Retried.DEAD
        kept.due_s = now_s + after_s
        return Retried.WAITING

    async def bury(self, claim: Claim, *, reason: str) -> bool:
        """Make an item a dead letter."""
        self._expire()
        kept = self._held(claim)
        if kept is not None:
            self._bury(kept, reason)
        return kept is not None

    async def dead(self, limit: int) -> list[DeadLetter]:
        """List the dead."""
        self._expire()
        newest = list(self._dead.values())[::-1][: max(0, limit)]
        return [
            DeadLetter(kept.item.item_id, kept.item.payload, kept.attempts, kept.reason)
            for kept in newest
        ]

    async def counts(self) -> OutboxCounts:
        """Count."""
        self._expire()
        return OutboxCounts(len(self._kept), len(self._dead), self._refused)

    def _held(self, claim: Claim) -> _Kept | None:
        kept = self._kept.get(claim.item_id)
        return kept if kept is not None and kept.attempts == claim.attempt else None

    def _bury(self, kept: _Kept, reason: str) -> None:
        del self._kept[kept.item.item_id]
        kept.due_s, kept.reason = None, reason
        self._dead[kept.item.item_id] = kept
        while len(self._dead) > self._max_dead:
            del self._dead[next(iter(self._dead))]

    def _expire(self) -> float:
        """Drop what has been kept for its time; return the present."""
        now_s = self._clock.now_s()
        for items in (self._kept, self._dead):
            for key in [k for k, kept in items.items() if kept.until_s <= now_s]:
                del items[key]
        self._seen_until_s = {k: until for k, until in self._seen_until_s.items() if until > now_s}
        return now_s


def _used_up(kept: _Kept, at_s: float) -> str | None:
    if kept.attempts >= kept.item.max_attempts:
        return TRIES_USED_UP
    return TIME_USED_UP if at_s - kept.added_s > kept.item.max_age_s else None
