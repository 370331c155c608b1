"""PURE. Calls that wait for a worker while the pool is full, and hear hold words meanwhile.

A call that waits comes back by itself every few seconds, since its XML sends it to /answer again;
whoever asks while a place is free gets it. A call that stays away has hung up.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.protocol.call import CallId

_GONE_AFTER_S = 30.0


class Turn(StrEnum):
    """What became of a call that found no worker; labels a counter with `SERVED`."""

    JOINED = "joined"
    WAITS = "waits"
    FULL = "full"
    TOO_LONG = "too_long"
    SERVED = "served"
    GONE = "gone"


@dataclass(slots=True)
class _Place:
    since_s: float
    asked_s: float


class WaitingLine:
    """A bounded line.

    Args:
        max_calls: places; with none every call hears the busy words at once.
        max_wait_s: from the first hold words until the busy words.
    """

    def __init__(self, max_calls: int, max_wait_s: float) -> None:
        self._max_calls = max_calls
        self._max_wait_s = max_wait_s
        self._places: dict[CallId, _Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    def ask(self, call_id: CallId, now_s: float) -> Turn:
        """A call has found no worker: JOINED or WAITS where it may wait, else why not."""
        place = self._places.get(call_id)
        if place is None:
            if len(self._places) >= self._max_calls:
                return Turn.FULL
            self._places[call_id] = _Place(now_s, now_s)
            return Turn.JOINED
        place.asked_s = now_s
        if now_s - place.since_s < self._max_wait_s:
            return Turn.WAITS
        del self._places[call_id]
        return Turn.TOO_LONG

    def leave(self, call_id: CallId) -> bool:
        """A call needs its place no longer; return whether it had one."""
        return self._places.pop(call_id, None) is not None

    def forget_gone(self, now_s: float) -> int:
        """Give the places of calls up that have not come back; return how many."""
        gone = [c for c, p in self._places.items() if now_s - p.asked_s > _GONE_AFTER_S]
        for call_id in gone:
            del self._places[call_id]
        return len(gone)
