"""The parts of the bench: what each is, what it takes, how it is measured and shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.bench import tables
from deploy.bench.medians import median_of, spread_of
from deploy.bench.path import QUIET_DBFS, Load, PathCost, measure_path

_WINDOW_S = 12.0
_QUICK_WINDOW_S = 6.0
_LOADS = (Load(1), Load(20), Load(50), Load(50, line_dbfs=QUIET_DBFS), Load(100), Load(200, 2))


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


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the bench.

    Attributes:
        measure: does it, prints as it goes, and returns what is kept, as JSON.
        seconds: how long it takes, roughly.
        programs: of native/, that it needs.
        is_long: only when asked for.
    """

    name: str
    title: str
    measure: Callable[[Options], Any]
    seconds: Callable[[Options], float]
    programs: tuple[str, ...] = ()
    is_linux_only: bool = True
    is_long: bool = False


def medians(runs: Sequence[Sequence[Any]], key: str) -> list[dict[str, Any]]:
    """Return the median of each row over the runs, and how far one of its figures lay apart."""
    rows = []
    for same in zip(*runs, strict=True):
        least, most = spread_of(same, key)
        trouble = "; ".join(sorted({row["trouble"] for row in same} - {""}))
        middle = median_of([{**row, "trouble": trouble} for row in same])
        rows.append({**middle, "runs": len(same), f"{key}_range": [least, most]})
    return rows


def _path_loads(options: Options) -> tuple[Load, ...]:
    if options.calls is None:
        return _LOADS
    return tuple(Load(calls, 2 if calls > 150 else 1) for calls in sorted(options.calls))


def _measure_path(options: Options) -> list[dict[str, Any]]:
    print(tables.PATH_HEAD)
    runs = []
    for _ in range(options.runs):
        costs: list[PathCost] = []
        for cost in measure_path(_path_loads(options), options.window_s):
            print(tables.path_row(_as_json(cost)), flush=True)
            costs.append(cost)
        runs.append([_as_json(cost) for cost in costs])
    rows = medians(runs, "total")
    if options.runs > 1:
        print(f"  medians of {options.runs}:")
        for row in rows:
            print(tables.path_row(row))
    return rows


def _as_json(cost: PathCost) -> dict[str, Any]:
    return {
        **asdict(cost),
        "total": round(cost.total, 4),
        "trouble": cost.handset.trouble,
        "frames_out": round(cost.handset.frames_out, 2),
    }


def _path_seconds(options: Options) -> float:
    loads = _path_loads(options)
    opening_s = sum(0.045 * load.calls + 8 for load in loads)
    return options.runs * (25 + opening_s + len(loads) * options.window_s)


PARTS: tuple[Part, ...] = (
    Part("path", "The whole path", _measure_path, _path_seconds, programs=("load",)),
)
