"""PURE. The law of what calls cost: a fixed part, so much for each wake-up, and for each call.

Frames that are due in one millisecond wake a process once, however many they are. With few calls
each frame is a wake-up of its own; from some twenty calls on every millisecond has a frame, and a
further call adds only what its own frames take. A straight line is wrong by a sixth there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

WAKE_UPS = 20
"""At most, in a frame's 20 ms: the cloud's timer has a millisecond."""
_TERMS = 4
_BENDS_AT = 1.15
"""A cost so many times what the line says is off it."""


@dataclass(frozen=True, slots=True)
class Line:
    """`fixed + each * x`; `error` is the root of the mean square of what is left."""

    fixed: float
    each: float
    error: float

    def at(self, x: float) -> float:
        """Return what the line says."""
        return self.fixed + self.each * x


@dataclass(frozen=True, slots=True)
class Point:
    """What so many calls over so many workers cost: CPU-seconds a minute, of all processes.

    `is_whole`: all frames came, and in time.
    """

    calls: int
    workers: int
    cpu_s_per_min: float
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Law:
    """What calls cost, in CPU-seconds a minute.

    Attributes:
        fixed: with no calls, of a gateway and one worker.
        per_wake_up: of each of the first twenty calls, whose frames come alone.
        per_worker: of each further worker.
        per_call: of each call.
        worst_share: how far the worst point is off, as a share of it.
        bends_at: calls from which on one worker is off it by more than 15 %, or late; None: not
            within what was measured.
    """

    fixed: float
    per_wake_up: float
    per_worker: float
    per_call: float
    worst_share: float
    bends_at: int | None

    def cost_of(self, calls: int, workers: int) -> float:
        """Return CPU-seconds for each call-minute."""
        return self.minute_of(calls, workers) / calls

    def minute_of(self, calls: int, workers: int) -> float:
        """Return CPU-seconds a minute, of all calls."""
        few = self.fixed + self.per_wake_up * wake_ups(calls)
        return few + self.per_worker * (workers - 1) + self.per_call * calls


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """Fit a line by least squares to two or more points."""
    each, fixed = np.polyfit(xs, ys, 1)
    left = np.asarray(ys) - (fixed + each * np.asarray(xs))
    return Line(float(fixed), float(each), float(np.sqrt(np.mean(left**2))))


def wake_ups(calls: int) -> int:
    """Return in how many milliseconds of twenty a frame comes."""
    return min(calls, WAKE_UPS)


def fit_law(points: Sequence[Point]) -> Law:
    """Fit the law to the points that are whole, weighing relative errors alike.

    Raises:
        ValueError: fewer such points than the law has terms.
    """
    good = [point for point in points if point.is_whole]
    if len(good) < _TERMS:
        raise ValueError(f"a law takes {_TERMS} points at least")
    rows = np.array([(1.0, wake_ups(one.calls), one.workers - 1, one.calls) for one in good])
    costs = np.array([point.cpu_s_per_min for point in good])
    found, *_ = np.linalg.lstsq(rows / costs[:, None], np.ones(len(good)), rcond=None)
    off = np.abs(rows @ found / costs - 1)
    fixed, per_wake_up, per_worker, per_call = (float(value) for value in found)
    law = Law(fixed, per_wake_up, per_worker, per_call, float(off.max()), None)
    return replace(law, bends_at=_bend(points, law))


def _bend(points: Sequence[Point], law: Law) -> int | None:
    """Return from how many calls on all points of one worker are off.

    One that is off where more calls are served well was disturbed by something else.
    """
    bend = None
    for point in sorted(points, key=lambda one: one.calls, reverse=True):
        if point.workers != 1:
            continue
        expected = law.minute_of(point.calls, 1)
        if point.is_whole and point.cpu_s_per_min <= _BENDS_AT * expected:
            break
        bend = point.calls
    return bend
