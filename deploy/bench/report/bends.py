"""PURE. Why one worker leaves the law where it does, from what was measured there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.bench.report.lookup import Document

IN_TIME_MS = 20.0
_FULL = 0.9
"""Of a core, or of all: what is left goes to whoever else runs."""


def why_it_bends(document: Document) -> str:
    """Say in words where one worker leaves the law and why; empty: nothing was fitted."""
    scaling = document.get("scaling")
    if not scaling:
        return ""
    calls = scaling["law"]["bends_at"]
    singles = [row for row in scaling["points"] if row["load"]["workers"] == 1]
    if calls is None:
        most = max((row["load"]["calls"] for row in singles), default=0)
        beyond = [number for number in scaling.get("not_taken", ()) if number > most]
        end = f"; {min(beyond)} were not all let in" if beyond else ", the most that were tried"
        return f"one worker keeps to it up to {most} calls{end}"
    row = next(row for row in singles if row["load"]["calls"] == calls)
    return f"one worker leaves it at {calls} calls: {_reason(row, document['machine']['cores'])}"


def shares(row: Mapping[str, Any]) -> dict[str, float]:
    """Return what part of a core each process had in one load, the load client among them."""
    calls = row["load"]["calls"]
    per_core = {name: row[name] * calls / 60 for name in ("worker", "gateway", "redis")}
    return {**per_core, "load client": row["handset"]["cpu_share"]}


def _reason(row: Mapping[str, Any], cores: int) -> str:
    taken, late_ms = shares(row), row["handset"]["pacing_ms"]["p99"]
    what = (
        f"frames come {late_ms:.0f} ms late" if late_ms > IN_TIME_MS else "a call costs more again"
    )
    if taken["worker"] > _FULL * row["load"]["workers"]:
        return f"its core is full ({taken['worker']:.0%}), and {what}"
    if sum(taken.values()) > _FULL * cores:
        parts = ", ".join(f"{name} {share:.0%}" for name, share in taken.items() if share > 0.01)
        return f"the machine's {cores} cores are full ({parts} of one), and {what}"
    return f"{what}, with {taken['worker']:.0%} of its core taken"
