"""Time, passed in rather than taken, so that tests can hold the hands."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one to measure with, one to write down."""

    def now_s(self) -> float:
        """Monotonic seconds, from an arbitrary start."""
        ...

    def wall(self) -> datetime:
        """The time of day, UTC-aware; for logs, records and signatures alone."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_s(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wall(self) -> datetime:
        """UTC now."""
        return datetime.now(UTC)
