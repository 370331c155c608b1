"""`python -m deploy.scale`: the figures of README.md, for cells of other sizes too."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from deploy.bench.readme import RESULTS
from deploy.scale.measured import Plan, costs_of
from deploy.scale.model import Cell, Outcome, simulate

_ROOMS = (1.2, 1.4, 1.5, 1.6, 1.8, 2.0)


def main() -> None:
    """Simulate cells with more and more room, and print what a lost zone and its parts cost."""
    parser = argparse.ArgumentParser(prog="python -m deploy.scale", description=__doc__)
    parser.add_argument("--calls", type=int, default=3334, help="at once, in one cell")
    parser.add_argument("--capacity", type=int, default=25, help="of a worker")
    parser.add_argument("--gateway-calls", type=int, default=100, help="of a gateway")
    parser.add_argument("--zones", type=int, default=3)
    parser.add_argument("--cells", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--costs", type=Path, default=RESULTS / "bench.json", help="what `make bench` measured"
    )
    options = parser.parse_args()
    workers = _print_rooms(options)
    if workers is None:
        print("\nNone of them bears the loss of a zone.")
        return
    plan = Plan(
        options.calls,
        workers,
        math.ceil(options.calls / options.gateway_calls),
        options.zones,
        options.cells,
    )
    costs = costs_of(json.loads(options.costs.read_text()))
    print("\n" + "\n".join(plan.lines(costs)))


def _print_rooms(options: argparse.Namespace) -> int | None:
    """Return the least number of workers with which a lost zone costs no call."""
    enough = None
    print("| Workers | Filled | Refused later | Moved | Lost | Moved within: median, longest |")
    print("|---|---|---|---|---|---|")
    for room in _ROOMS:
        workers = round(options.calls * room / options.capacity)
        cell = Cell(options.calls, workers, options.capacity, options.zones)
        came = simulate(cell, seconds=options.seconds, seed=options.seed)
        print(_row(workers, room, came))
        if enough is None and not came.lost and not came.refused:
            enough = workers
    return enough


def _row(workers: int, room: float, came: Outcome) -> str:
    moved = sorted(came.moved_s) or [0.0]
    return (
        f"| {workers} | {1 / room:.0%} | {came.refused} | {len(came.moved_s)} | {came.lost}"
        f" | {moved[len(moved) // 2]:.2f}, {moved[-1]:.2f} s |"
    )


if __name__ == "__main__":
    main()
