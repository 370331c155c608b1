"""PURE. What was measured, between the points where it was, and what processes cost by it.

Costs are those of deploy/bench/results: gateway and workers without providers, agents speaking all
the time, every line noisy enough to be heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Points = Sequence[tuple[float, float]]
_HEARD_DBFS = -50.0


def between(points: Points, at: float) -> float:
    """Return the value at a place: on the line between two points, beyond the last in proportion.

    Args:
        points: place and value, by ascending place; at least one.
        at: below the first place the first value holds.
    """
    for (low, little), (high, much) in pairwise(points):
        if at <= high:
            return little + (much - little) * (max(at, low) - low) / (high - low)
    last, most = points[-1]
    return most * max(1.0, at / last)


@dataclass(frozen=True, slots=True)
class Costs:
    """Calls that one process carries, and the cores it takes for them."""

    worker: Points
    gateway: Points


def costs_of(document: Mapping[str, Any]) -> Costs:
    """Read the costs out of bench.json; a load over several workers tells of its gateway alone."""
    rows = [row for row in document["path"] if row["load"]["line_dbfs"] == _HEARD_DBFS]
    return Costs(
        _points([row for row in rows if row["load"]["workers"] == 1], "worker"),
        _points(rows, "gateway"),
    )


def _points(rows: Sequence[Mapping[str, Any]], part: str) -> Points:
    loads = sorted((int(row["load"]["calls"]), float(row[part])) for row in rows)
    return tuple((calls, calls * seconds_a_minute / 60) for calls, seconds_a_minute in loads)


@dataclass(frozen=True, slots=True)
class Part:
    """Processes of one kind in a cell.

    Attributes:
        calls: that each carries; `calls_short` while the others of a lost zone are missing.
        cores: that each takes, and `cores_short` then.
    """

    name: str
    count: int
    calls: float
    calls_short: float
    cores: float
    cores_short: float

    @property
    def cores_in_all(self) -> float:
        """What all of the cell need, so that a lost zone can be borne."""
        return self.count * self.cores_short

    @property
    def line(self) -> str:
        """A line of README's table."""
        return (
            f"| {self.name} | {self.calls:.1f} calls, {self.cores:.2f} core"
            f" | {self.calls_short:.1f} calls, {self.cores_short:.2f} core"
            f" | {self.count} | {self.cores_in_all:.0f} |"
        )


def part_of(name: str, points: Points, calls: int, count: int, zones: int) -> Part:
    """Return what processes take that share a cell's calls evenly."""
    each = calls / count
    short = each * zones / (zones - 1)
    return Part(name, count, each, short, between(points, each), between(points, short))


@dataclass(frozen=True, slots=True)
class Plan:
    """Workers and gateways of one cell, of so many like it."""

    calls: int
    workers: int
    gateways: int
    zones: int = 3
    cells: int = 30

    def parts(self, costs: Costs) -> tuple[Part, Part]:
        """Return its workers and its gateways."""
        return (
            part_of("workers", costs.worker, self.calls, self.workers, self.zones),
            part_of("gateways", costs.gateway, self.calls, self.gateways, self.zones),
        )

    def lines(self, costs: Costs) -> list[str]:
        """Return a table of its parts, and what all of them need."""
        parts = self.parts(costs)
        cores = sum(part.cores_in_all for part in parts)
        return [
            "| Part | Each | With a zone lost | In a cell | Cores then |",
            "|---|---|---|---|---|",
            *(part.line for part in parts),
            "",
            f"{cores:.0f} cores a cell, {cores * self.cells:,.0f} for"
            f" {self.cells * self.calls:,} calls: {cores / self.calls:.3f} a call,"
            f" {1000 * cores / self.calls / 60:.2f} core-hours a thousand call-minutes.",
        ]


USUAL = Plan(calls=3334, workers=213, gateways=34)
"""What README plans with, by the simulation: workers of 25 calls."""
LARGE = Plan(calls=3334, workers=53, gateways=34)
"""The same with workers of 100."""


def section(document: Mapping[str, Any]) -> str:
    """Return README's figures of parts, made from bench.json."""
    costs = costs_of(document)
    large = LARGE.parts(costs)
    cores = sum(part.cores_in_all for part in large)
    lines = [
        *USUAL.lines(costs),
        "",
        f"With workers of 100 calls (`--capacity 100`) it is {LARGE.workers} workers of"
        f" {large[0].calls:.0f} calls, {cores:.0f} cores a cell and {cores * LARGE.cells:,.0f} in"
        f" all, for a process's first calls are its dearest; but each that breaks then moves"
        f" {large[0].calls:.0f} calls.",
    ]
    return "\n".join(["", *lines, "", ""])
