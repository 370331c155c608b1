"""PURE. Several runs of one measurement as one: the median of each figure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def median_of(runs: Sequence[Any]) -> Any:
    """Return a value of the runs' shape with the median of each number in it.

    Args:
        runs: numbers, texts, or mappings and lists of them, each of the same shape; a number of
            one run may be None, where nothing was measured.

    Raises:
        ValueError: they are not of one shape.
    """
    first = runs[0]
    if isinstance(first, Mapping):
        if any(set(run) != set(first) for run in runs):
            raise ValueError("runs with different figures")
        return {name: median_of([run[name] for run in runs]) for name in first}
    if isinstance(first, (list, tuple)):
        return [median_of(column) for column in zip(*runs, strict=True)]
    if isinstance(first, (str, bool)):
        if any(run != first for run in runs):
            raise ValueError(f"runs of different things: {set(runs)}")
        return first
    numbers = [run for run in runs if run is not None]
    if not numbers:
        return None
    middle = statistics.median(numbers)
    return int(middle) if all(isinstance(n, int) for n in numbers) else round(middle, 5)


def spread_of(runs: Sequence[Mapping[str, Any]], name: str) -> tuple[float, float]:
    """Return the least and the most of one figure."""
    values = [float(run[name]) for run in runs]
    return min(values), max(values)
