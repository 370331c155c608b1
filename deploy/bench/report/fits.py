"""PURE. The law of what calls cost: a fixed part, and so much for each call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
        per_worker: of each further worker.
        per_call: of each call.
        worst_share: how far the worst point is off, as a share of it.
        bends_at: calls from which on one worker is off the line by more than 15 %, or late; None:
            not within what was measured.
    """

    fixed: float
    per_worker: float
    per_call: float
    worst_share: float
    bends_at: int | None

    def cost_of(self, calls: int, workers: int) -> float:
        """Return CPU-seconds for each call-minute."""
        return (self.fixed + self.per_worker * (workers - 1)) / calls + self.per_call


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """Fit a line by least squares to two or more points."""
    each, fixed = np.polyfit(xs, ys, 1)
    left = np.asarray(ys) - (fixed + each * np.asarray(xs))
    return Line(float(fixed), float(each), float(np.sqrt(np.mean(left**2))))


def fit_law(points: Sequence[Point]) -> Law:
    """Fit the law to the points that are whole, weighing relative errors alike.

    Raises:
        ValueError: fewer than three such points.
    """
    good = [point for point in points if point.is_whole]
    if len(good) < 3:
        raise ValueError("a law takes three points at least")
    rows = np.array([(1.0, point.workers - 1, point.calls) for point in good])
    costs = np.array([point.cpu_s_per_min for point in good])
    found, *_ = np.linalg.lstsq(rows / costs[:, None], np.ones(len(good)), rcond=None)
    fixed, per_worker, per_call = (float(value) for value in found)
    off = np.abs(rows @ found / costs - 1)
    law = Law(fixed, per_worker, per_call, float(off.max()), None)
    return Law(fixed, per_worker, per_call, float(off.max()), _bend(points, law))


def _bend(points: Sequence[Point], law: Law) -> int | None:
    for point in sorted(points, key=lambda one: one.calls):
        expected = law.cost_of(point.calls, 1) * point.calls
        if point.workers == 1 and (
            not point.is_whole or point.cpu_s_per_min > _BENDS_AT * expected
        ):
            return point.calls
    return None
