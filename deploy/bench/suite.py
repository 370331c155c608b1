"""What a part of the bench is, and what several runs of one come to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.bench.report.medians import median_of, spread_of

_WINDOW_S = 8.0
_QUICK_WINDOW_S = 5.0
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line.

    Attributes:
        calls: at once; None: the usual numbers.
        runs: of each load.
        is_quick: short ones.
        speech: a folder of recorded speech; None: the offline voices speak.
    """

    calls: tuple[int, ...] | None = None
    runs: int = 5
    is_quick: bool = False
    speech: Path | None = None

    @property
    def window_s(self) -> float:
        """How long is measured in each run."""
        return _QUICK_WINDOW_S if self.is_quick else _WINDOW_S

    def calls_or(self, *usual: int) -> tuple[int, ...]:
        """Return how many calls at once to measure."""
        return usual if self.calls is None else self.calls


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the bench.

    Attributes:
        measure: does it, prints as it goes, and returns what is kept, as JSON.
        seconds: how long it takes, roughly.
        programs: of native/, that it needs.
        is_by_version: what is kept of other versions stays beside what is measured.
    """

    name: str
    title: str
    measure: Callable[[Options], Any]
    seconds: Callable[[Options], float]
    programs: tuple[str, ...] = ()
    is_linux_only: bool = True
    is_by_version: bool = False

    def beside(self, kept: Any, found: Any) -> Any:
        """Return what is to be kept of this part, given what was."""
        return {**(kept or {}), **found} if self.is_by_version else found


def run_rows(
    runs: int,
    measure: Callable[[], Iterable[Any]],
    show: Callable[[Row], str],
    key: str,
) -> list[Row]:
    """Measure so many times, print each row as it comes, and return the medians, row by row.

    Args:
        runs: how many.
        measure: one run: dataclasses, each with a `handset` or with nothing to be said against it.
        show: a row of the table.
        key: the figure whose least and most are kept beside the median.
    """
    done: list[list[Row]] = []
    began_s = time.monotonic()
    for number in range(runs):
        if number:
            each_s = (time.monotonic() - began_s) / number
            left_min = each_s * (runs - number) / 60
            print(f"  run {number + 1} of {runs}, {left_min:.0f} minutes left of this part:")
        rows: list[Row] = []
        for found in measure():
            rows.append(_as_row(found))
            print(show(rows[-1]), flush=True)
        done.append(rows)
    middle = _medians(done, key)
    if runs > 1:
        print(f"  medians of {runs}:")
        for row in middle:
            print(show(row))
    return middle


def _as_row(found: Any) -> Row:
    row: Row = asdict(found)
    handset = getattr(found, "handset", None)
    if handset is not None:
        row |= {"trouble": handset.trouble, "frames_out": round(handset.frames_out, 2)}
    for name in ("total", "delay_ms_p50", "delay_ms_p99"):
        if name not in row and hasattr(found, name):
            row[name] = round(getattr(found, name), 4)
    return row


def _medians(runs: Sequence[Sequence[Row]], key: str) -> list[Row]:
    """Return the rows in the order of their first coming; a run may lack some."""
    groups: dict[str, list[Row]] = {}
    for row in (row for run in runs for row in run):
        groups.setdefault(_subject(row), []).append(row)
    return [_median(same, key) for same in groups.values()]


def _subject(row: Row) -> str:
    """What a row is of: a relay's row has its name, a design's has what its relay cost."""
    found = [row.get(name) for name in ("design", "relay", "calls", "load")]
    return repr([value for value in found if not isinstance(value, float)])


def _median(same: Sequence[Row], key: str) -> Row:
    troubles = {row.get("trouble", "") for row in same} - {""}
    alike = [{**row, "trouble": "; ".join(sorted(troubles))} for row in same]
    if "is_whole" in same[0]:
        is_whole = all(row["is_whole"] for row in same)
        alike = [{**row, "is_whole": is_whole} for row in alike]
    least, most = spread_of(same, key)
    return {**median_of(alike), "runs": len(same), f"{key}_range": [least, most]}
