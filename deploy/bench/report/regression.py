"""PURE. Whether a change has made calls dearer: ratios and instruction counts against kept ones.

Seconds are not compared: they move with the machine. A ratio is of two things measured on one
machine within minutes, and still moves by a tenth; instructions hardly move at all, as long as
Python and its packages are the same. So counts are kept by Python, and compared with those of the
same one or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    for interpreter, counted in now.get("instructions", {}).items():
        if not _why_unlike(kept, interpreter, counted):
            counts = _both(_steps(kept["instructions"][interpreter]), _steps(counted))
            found += [
                Compared(f"instructions, {name}", *pair, INSTRUCTIONS_TOLERANCE)
                for name, pair in counts.items()
            ]
    return found


def not_compared(kept: Document, now: Document) -> list[str]:
    """Say what is not compared, or not alike, and why, a line each."""
    counts = now.get("instructions", {})
    whys = [why for name, one in counts.items() if (why := _why_unlike(kept, name, one))]
    if not counts:
        whys.append("they were not counted here")
    lines = [f"instructions are not compared: {why}" for why in whys]
    pythons = [str(document.get("machine", {}).get("python")) for document in (kept, now)]
    if ratios(now) and pythons[0] != pythons[1]:
        lines.append(
            f"ratios are of Python {pythons[0]} and {pythons[1]}: some of a difference may be that"
        )
    return lines


def _why_unlike(kept: Document, interpreter: str, counted: Mapping[str, Any]) -> str:
    """Why there is nothing kept to compare counts with; empty: there is."""
    sets = kept.get("instructions", {})
    if not sets:
        return "none are kept"
    if interpreter not in sets:
        return f"none are kept of {interpreter}, only of {'; '.join(sets)}"
    before, after = sets[interpreter]["packages"], counted["packages"]
    changed = [
        f"{name} {before.get(name)} is now {version}"
        for name, version in after.items()
        if before.get(name) != version
    ]
    return f"{', '.join(changed)}; count anew and keep it" if changed else ""


def _both(kept: Mapping[str, float], now: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    return {name: (kept[name], now[name]) for name in kept if name in now}


def _steps(counted: Mapping[str, Any]) -> dict[str, float]:
    return {step: float(count) for step, count in counted["steps"].items()}
