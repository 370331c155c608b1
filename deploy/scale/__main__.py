"""`python -m deploy.scale`: the figures of README.md, for cells of other sizes too."""

from __future__ import annotations

import argparse

from deploy.scale.model import Cell, simulate


def main() -> None:
    """Simulate cells with more and more room, and print what a lost zone costs each."""
    parser = argparse.ArgumentParser(prog="python -m deploy.scale", description=__doc__)
    parser.add_argument("--calls", type=int, default=3334, help="at once, in one cell")
    parser.add_argument("--capacity", type=int, default=25, help="of a worker")
    parser.add_argument("--zones", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("workers  filled  refused  moved  lost  moved within (p50, max)  fullest worker")
    for room in (1.2, 1.4, 1.5, 1.6, 1.8, 2.0):
        workers = round(options.calls * room / options.capacity)
        cell = Cell(options.calls, workers, options.capacity, options.zones)
        came = simulate(cell, seconds=options.seconds, seed=options.seed)
        moved = sorted(came.moved_s) or [0.0]
        print(
            f"{workers:7}  {1 / room:6.0%}  {came.refused:7}  {len(came.moved_s):5}  "
            f"{came.lost:4}  {moved[len(moved) // 2]:9.2f} s, {moved[-1]:5.2f} s  "
            f"{came.fill[-1]:6} of {options.capacity}"
        )


if __name__ == "__main__":
    main()
