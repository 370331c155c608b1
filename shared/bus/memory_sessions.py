"""Snapshots of sessions inside one process; the same contract as on Redis."""

from __future__ import annotations

from dataclasses import dataclass

from shared.bus.base import EpochPassed, Saved
from shared.protocol.call import CallId
from shared.runtime.clock import Clock

KEEP_S = 7200.0
FORGOTTEN_S = 600.0


@dataclass(slots=True)
class _Kept:
    epoch: int
    until_s: float
    saved: Saved | None = None


class MemorySessions:
    """SessionStore in memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[CallId, _Kept] = {}

    async def save(self, call_id: CallId, epoch: int, text: str) -> bool:
        """Replace the snapshot."""
        kept = self._raised(call_id, epoch)
        if kept is None:
            return False
        kept.saved = Saved(epoch, text)
        return True

    async def load(self, call_id: CallId) -> Saved | None:
        """Look it up."""
        kept = self._of(call_id)
        return kept.saved if kept is not None else None

    async def claim(self, call_id: CallId, epoch: int) -> Saved | None:
        """Raise the epoch."""
        kept = self._raised(call_id, epoch)
        if kept is None:
            raise EpochPassed(call_id, await self.epoch(call_id))
        return kept.saved

    async def forget(self, call_id: CallId, epoch: int) -> bool:
        """Drop the snapshot."""
        kept = self._raised(call_id, epoch)
        if kept is None:
            return False
        kept.saved, kept.until_s = None, self._clock.now_s() + FORGOTTEN_S
        return True

    async def epoch(self, call_id: CallId) -> int:
        """Look the epoch up."""
        kept = self._of(call_id)
        return kept.epoch if kept is not None else 0

    def _of(self, call_id: CallId) -> _Kept | None:
        now_s = self._clock.now_s()
        for old in [one for one, kept in self._kept.items() if kept.until_s <= now_s]:
            del self._kept[old]
        return self._kept.get(call_id)

    def _raised(self, call_id: CallId, epoch: int) -> _Kept | None:
        """Return what is kept of a call, its epoch raised; None where it is higher already."""
        kept = self._of(call_id) or self._kept.setdefault(call_id, _Kept(epoch, 0.0))
        if epoch < kept.epoch:
            return None
        kept.epoch, kept.until_s = epoch, self._clock.now_s() + KEEP_S
        return kept
