"""PURE. Finding rows in bench.json, and the ratios that say how Parley stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]
HEARD_DBFS = -50.0
"""A line on which the voice activity model hears every frame."""
QUIET_DBFS = -65.0
"""A good line: what is on it is too quiet to be anybody's speech."""


def path(
    document: Document, calls: int, *, workers: int = 1, line_dbfs: float = HEARD_DBFS
) -> Mapping[str, Any] | None:
    """Return the whole path's row of a load; None where it was not measured."""
    load = {"calls": calls, "workers": workers, "line_dbfs": line_dbfs}
    return next((row for row in document.get("path", ()) if row["load"] == load), None)


def design(document: Document, name: str, calls: int) -> Mapping[str, Any] | None:
    """Return a floor's row, or the usual design's."""
    rows = (*document.get("floors", ()), *document.get("usual", ()))
    return next((row for row in rows if (row["design"], row["calls"]) == (name, calls)), None)


def relay(document: Document, name: str, calls: int) -> Mapping[str, Any] | None:
    """Return a relay's row."""
    rows = document.get("relay", ())
    return next((row for row in rows if (row["relay"], row["calls"]) == (name, calls)), None)


def usual_cost(document: Document, calls: int) -> tuple[float, int] | None:
    """Return what the usual design costs at so many calls, and at how many that was measured.

    Where it was at its limit with so many, it is taken at the most that it could carry: what it
    costs at its limit is of a part of the work.
    """
    rows = [row for row in document.get("usual", ()) if row["is_whole"] and row["calls"] <= calls]
    if not rows:
        return None
    most = max(rows, key=lambda row: int(row["calls"]))
    return float(most["total"]), int(most["calls"])


def voice_activity_cost(document: Document, calls: int) -> float | None:
    """Return CPU-seconds for each call-minute that hearing every frame adds to a worker."""
    heard, quiet = path(document, calls), path(document, calls, line_dbfs=QUIET_DBFS)
    if heard is None or quiet is None:
        return None
    return round(float(heard["worker"]) - float(quiet["worker"]), 4)


def ratios(document: Document) -> dict[str, float]:
    """Return what can be compared between machines: costs as multiples of each other."""
    found: dict[str, float] = {}
    for calls in (50, 100):
        whole, floor = path(document, calls), design(document, "relay+paced", calls)
        usual = usual_cost(document, calls)
        if whole and floor:
            found[f"whole path to floor, {calls} calls"] = whole["total"] / floor["total"]
        if whole and usual:
            found[f"whole path to usual design, {calls} calls"] = whole["total"] / usual[0]
    one_hop, lean = design(document, "paced", 100), design(document, "lean", 100)
    if one_hop and lean:
        found["one hop in Python to one in C, 100 calls"] = lean["total"] / one_hop["total"]
    gateway, least = relay(document, "gateway", 100), relay(document, "floor", 100)
    if gateway and least:
        found["gateway to relay floor, 100 calls"] = gateway["cpu_s"] / least["cpu_s"]
    return {name: round(ratio, 3) for name, ratio in found.items()}
