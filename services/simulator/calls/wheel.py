"""Simulated time, and the one ticker that drives all calls in steps of 20 ms."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from shared.audio.format import FRAME_S

_log = structlog.get_logger(__name__)
PHASES = 4
"""Calls are spread over this many moments within 20 ms, as calls of a real cloud are."""

STALL_S = 0.05
MAX_STALLS = 1000
"""Times at which this process was late by more than STALL_S; the newest are kept."""


class SimulatedClock:
    """A clock that can run faster than the world's; tests of ringing times need that.

    Args:
        speed: simulated seconds per second.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._origin_s = time.monotonic()
        self._origin = datetime.now(UTC)

    @property
    def speed(self) -> float:
        """Simulated seconds per second."""
        return self._speed

    def now_s(self) -> float:
        """Monotonic simulated seconds."""
        return self._origin_s + (time.monotonic() - self._origin_s) * self._speed

    def wall(self) -> datetime:
        """Simulated time of day, UTC-aware."""
        return self._origin + timedelta(seconds=self.now_s() - self._origin_s)

    async def sleep(self, seconds: float) -> None:
        """Wait simulated seconds."""
        await asyncio.sleep(max(0.0, seconds) / self._speed)


class Ticking(Protocol):
    """Something that lives in steps of 20 ms."""

    def on_tick(self, due_s: float) -> None:
        """Live one step; `due_s` is when it should have been, in the clock's seconds."""
        ...


class Lag:
    """How late ticks were: the client's own share in whatever a report shows."""

    def __init__(self) -> None:
        self.ticks = 0
        self.worst_s = 0.0
        self._by_ms: Counter[int] = Counter()

    def record(self, late_s: float) -> None:
        """Count one tick."""
        self.ticks += 1
        self.worst_s = max(self.worst_s, late_s)
        self._by_ms[min(1000, int(late_s * 1000))] += 1

    def percentile_ms(self, percent: float) -> float:
        """Return the lateness that `percent` of the ticks did not exceed, to the millisecond."""
        wanted, seen = self.ticks * percent / 100, 0
        for late_ms in sorted(self._by_ms):
            seen += self._by_ms[late_ms]
            if seen >= wanted:
                return float(late_ms + 1)
        return 0.0

    def to_json(self) -> dict[str, float]:
        """Return the figures a report shows."""
        return {
            "ticks": self.ticks,
            "p50_ms": self.percentile_ms(50),
            "p95_ms": self.percentile_ms(95),
            "p99_ms": self.percentile_ms(99),
            "worst_ms": round(self.worst_s * 1000, 1),
        }


class Wheel:
    """Ticks its members every 20 ms on an absolute schedule.

    A late step is made up for: steps that are overdue follow each other at once, with a turn of
    the loop between them so that what arrived meanwhile is read first.
    """

    def __init__(self, clock: SimulatedClock) -> None:
        self.lag = Lag()
        self.stalls: deque[tuple[float, float]] = deque(maxlen=MAX_STALLS)
        self._clock = clock
        self._phases: list[set[Ticking]] = [set() for _ in range(PHASES)]

    def __len__(self) -> int:
        return sum(len(phase) for phase in self._phases)

    def join(self, member: Ticking) -> None:
        """Tick this one from its phase's next step on."""
        min(self._phases, key=len).add(member)

    def leave(self, member: Ticking) -> None:
        """Tick this one no longer; harmless when it has left."""
        for phase in self._phases:
            phase.discard(member)

    async def run(self) -> None:
        """Turn until cancelled."""
        step_s = FRAME_S / PHASES
        start_s, step = self._clock.now_s(), 0
        while True:
            due_s = start_s + step * step_s
            await self._clock.sleep(due_s - self._clock.now_s())
            self._note_stall(due_s)
            phase = self._phases[step % PHASES]
            if phase:
                self.lag.record(max(0.0, self._clock.now_s() - due_s) / self._clock.speed)
            for member in tuple(phase):
                self._tick(member, due_s)
            step += 1

    def _note_stall(self, due_s: float) -> None:
        """Note from when to when this process did not run, in the clock's seconds."""
        now_s = self._clock.now_s()
        if (now_s - due_s) / self._clock.speed < STALL_S:
            return
        if self.stalls and due_s <= self.stalls[-1][1]:
            due_s = self.stalls.pop()[0]
        self.stalls.append((due_s, now_s))

    def _tick(self, member: Ticking, due_s: float) -> None:
        try:
            member.on_tick(due_s)
        except Exception:  # noqa: BLE001 - top of one call's step: the other calls go on
            _log.exception("call_step_failed")
            self.leave(member)
