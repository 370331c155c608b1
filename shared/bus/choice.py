"""PURE. Which worker gets a call: the better of two drawn by chance.

Every gateway that took the least loaded worker would take the same one until its next heartbeat;
of two drawn at random the better is nearly as good and spreads by itself. The Redis script does
the same sums in the same order (shared/bus/redis/workers.py): the contract tests compare them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from shared.bus.messages import WorkerLease, is_open_for_calls
from shared.protocol.call import WorkerId

LAG_OF_A_FULL_WORKER_MS = 100.0
"""A worker whose loop lags this much counts as full a one as one without a free place."""

Draws = tuple[float, float]


def weight(lease: WorkerLease) -> float:
    """Return how much a worker carries: 0 idle, 1 full or as late as that."""
    fill = lease.active / lease.capacity if lease.capacity else 1.0
    return fill + round(lease.lag_ms, 3) / LAG_OF_A_FULL_WORKER_MS


def choose(
    leases: Collection[WorkerLease],
    draws: Draws,
    *,
    zone: str = "",
    exclude: Collection[WorkerId] = (),
) -> WorkerLease | None:
    """Return a worker with room, or None.

    Args:
        leases: in any order.
        draws: two numbers from 0 up to but not 1.
        zone: workers of it are preferred while one has room; "" where the zone is not known.
        exclude: workers not to be taken.
    """
    open_ones = [w for w in leases if w.worker_id not in exclude and is_open_for_calls(w)]
    near = [w for w in open_ones if zone and w.zone == zone]
    return better_of_two(near or open_ones, draws)


def better_of_two(leases: Sequence[WorkerLease], draws: Draws) -> WorkerLease | None:
    """Return the lighter of two different workers drawn, by id where they weigh the same.

    The order of `leases` does not matter: they are drawn by their place in the order of ids.
    """
    rows = sorted(leases, key=lambda lease: lease.worker_id)
    if len(rows) < 2:
        return rows[0] if rows else None
    first = int(draws[0] * len(rows))
    second = int(draws[1] * (len(rows) - 1))
    if second >= first:
        second += 1
    return min(rows[first], rows[second], key=lambda lease: (weight(lease), lease.worker_id))
