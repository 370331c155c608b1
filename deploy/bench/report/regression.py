"""PURE. Whether a change has made calls dearer: ratios and instruction counts against kept ones.

Seconds are not compared: they move with the machine. A ratio is of two things measured on one
machine within minutes, and still moves by a tenth; instructions hardly move at all, as long as
Python and its packages are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.bench.report.lookup import Document, ratios

RATIO_TOLERANCE = 0.25
INSTRUCTIONS_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure beside the kept one, both of the same unit."""

    name: str
    kept: float
    now: float
    tolerance: float

    @property
    def is_worse(self) -> bool:
        """Whether it is above the kept figure by more than is tolerated."""
        return self.now > self.kept * (1 + self.tolerance)

    def __str__(self) -> str:
        change = self.now / self.kept - 1
        verdict = "WORSE" if self.is_worse else "fine"
        return (
            f"{self.name:<48} {self.kept:>12,.2f} {self.now:>12,.2f} {change:>+7.0%}"
            f" (up to {self.tolerance:+.0%}) {verdict}"
        )


def compare(kept: Document, now: Document) -> list[Compared]:
    """Return every figure that both have."""
    pairs = _both(ratios(kept), ratios(now))
    found = [Compared(name, *pair, RATIO_TOLERANCE) for name, pair in pairs.items()]
    if _versions(kept) == _versions(now):
        counts = _both(_instructions(kept), _instructions(now))
        found += [
            Compared(f"instructions, {name}", *pair, INSTRUCTIONS_TOLERANCE)
            for name, pair in counts.items()
        ]
    return found


def why_no_instructions(kept: Document, now: Document) -> str:
    """Say why instructions are not compared; empty: they are."""
    if not _instructions(now):
        return "they were not counted here"
    if not _instructions(kept):
        return "none are kept"
    if _versions(kept) != _versions(now):
        return "Python or its packages are of other versions than when the kept ones were counted"
    return ""


def _both(kept: Mapping[str, float], now: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    return {name: (kept[name], now[name]) for name in kept if name in now}


def _instructions(document: Document) -> dict[str, float]:
    frames = document.get("frames", {})
    counts = {step: row["instructions"] for step, row in frames.items()}
    return {step: float(count) for step, count in counts.items() if count is not None}


def _versions(document: Document) -> object:
    machine = document.get("machine", {})
    return machine.get("python"), machine.get("packages")
