"""A clock that stands still until it is told to move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class ManualClock:
    def __init__(self, now_s: float = 1000.0) -> None:
        self._now_s = now_s
        self._start_s = now_s

    def now_s(self) -> float:
        return self._now_s

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._now_s - self._start_s)

    def advance(self, seconds: float) -> None:
        self._now_s += seconds
