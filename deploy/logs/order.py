"""PURE. A call's lines in one order, although the clocks of its services differ.

A source keeps its own order whatever its clock says. A worker takes a call while a gateway attaches
it, and goes on with another worker's after that has begun: a worker's clock that says otherwise is
wrong by at least the difference, and its lines are moved by so much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from deploy.logs.lines import Line

ATTACHED = "worker_attached"
TAKEN, TAKEN_OVER = "call_taken", "call_taken_over"
_TOLD_S = 0.001


@dataclass(frozen=True, slots=True)
class Ordered:
    """The lines by time; `moved_s` is by how much the lines of a source were moved, if any."""

    lines: Sequence[Line]
    moved_s: Mapping[str, float]


def order_lines(lines: Sequence[Line]) -> Ordered:
    """Put the lines of one call in order, those of each source given in the order it wrote them."""
    by_source: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_source[line.source].append(line)
    moved_s = {source: by for source in by_source if (by := _wrong_by(by_source[source], lines))}
    rows = [
        (at_s, number, replace(line, at_s=at_s))
        for source, own in by_source.items()
        for number, (line, at_s) in enumerate(_forward(own, moved_s.get(source, 0.0)))
    ]
    rows.sort(key=lambda row: (row[0], row[2].source, row[1]))
    return Ordered([line for _, _, line in rows], moved_s)


def _forward(own: Sequence[Line], by_s: float) -> list[tuple[Line, float]]:
    """Return a source's lines with their times, none before the one it was written after."""
    timed, reached_s = [], float("-inf")
    for line in own:
        reached_s = max(reached_s, line.at_s + by_s)
        timed.append((line, reached_s))
    return timed


def _wrong_by(own: Sequence[Line], lines: Sequence[Line]) -> float:
    """Return what has to be added to a worker's times, nought where nothing says so."""
    taken = {
        str(line.values.get("epoch", "")): line for line in own if line.event in (TAKEN, TAKEN_OVER)
    }
    for line in lines:
        mine = taken.get(str(line.values.get("epoch", "")))
        if line.event != ATTACHED or mine is None:
            continue
        took_s = float(line.values.get("took_ms") or 0.0) / 1000
        earliest_s, latest_s = line.at_s - took_s - _TOLD_S, line.at_s + _TOLD_S
        if mine.at_s < earliest_s:
            return earliest_s - mine.at_s
        if mine.at_s > latest_s and mine.event == TAKEN:
            return latest_s - mine.at_s
    return 0.0
