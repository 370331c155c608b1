"""A cell of gateways, workers and one Redis: how calls spread, and what a lost zone costs.

Workers are drawn as the pool draws them (shared/bus/choice.py), all as fast as each other: of two
with room, taken by chance, the emptier one; workers of the gateway's own zone first. Redis takes
one reservation after another; each costs what was measured for so many workers.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from deploy.scale.measured import between

RESERVE_S = ((3, 0.00019), (30, 0.0004), (100, 0.0006), (400, 0.00176))
"""Measured: workers in the pool, median time of one reservation."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell is made of. `calls` go on at once, each for `hold_s` on average."""

    calls: int
    workers: int
    capacity: int = 25
    zones: int = 3
    hold_s: float = 180.0


@dataclass(slots=True)
class Outcome:
    """What came of a cell.

    Attributes:
        refused: new calls that found no room.
        lost: calls of the zone that was lost for which no worker had room in time.
        moved_s: how long each of the others waited for its new worker's booking.
        fill: calls on each worker at the end, sorted.
        reserve_s: of one reservation.
    """

    refused: int = 0
    lost: int = 0
    moved_s: list[float] = field(default_factory=list)
    fill: list[int] = field(default_factory=list)
    reserve_s: float = 0.0


def reserve_s(workers: int) -> float:
    """Return what a reservation takes among so many workers, between the measured points."""
    return between(RESERVE_S, workers)


class Pool:
    """Workers of a cell and the calls they hold."""

    def __init__(self, cell: Cell, chance: random.Random) -> None:
        self._cell = cell
        self._chance = chance
        self.active = [0] * cell.workers
        self.is_alive = [True] * cell.workers

    def zone_of(self, worker: int) -> int:
        """Workers are spread over the zones in turn."""
        return worker % self._cell.zones

    def book(self, zone: int) -> int | None:
        """Return the worker that takes one more call from a gateway of a zone, or None."""
        near = range(zone, self._cell.workers, self._cell.zones)
        for rows in (near, range(self._cell.workers)):
            worker = self._better_of_two(rows)
            if worker is not None:
                self.active[worker] += 1
                return worker
        return None

    def _better_of_two(self, rows: Sequence[int]) -> int | None:
        with_room = self._draw(rows)
        return min(with_room, key=lambda worker: (self.active[worker], worker), default=None)

    def _draw(self, rows: Sequence[int]) -> list[int]:
        """Two different workers with room: by lot while most have some, else of a list."""
        found: list[int] = []
        for _ in range(12):
            worker = rows[self._chance.randrange(len(rows))]
            if worker not in found and self._has_room(worker):
                found.append(worker)
            if len(found) == 2:
                return found
        open_ones = [worker for worker in rows if self._has_room(worker)]
        return self._chance.sample(open_ones, min(2, len(open_ones)))

    def _has_room(self, worker: int) -> bool:
        return self.is_alive[worker] and self.active[worker] < self._cell.capacity


def simulate(
    cell: Cell, *, seconds: float, seed: int, wait_s: float = 3.0, loses_zone: bool = True
) -> Outcome:
    """Run a cell in its steady state; half-way its last zone is lost.

    Gateways of the lost zone are lost too, so its callers come back at the others, whose calls
    they are from then on.

    Args:
        cell: what it is made of.
        seconds: how long.
        seed: of all chance.
        wait_s: how long a call waits for a worker when its own was lost (GATEWAY_WORKER_WAIT_S).
        loses_zone: False: nothing breaks.
    """
    chance = random.Random(seed)  # noqa: S311 - a simulation, the same each time
    pool, outcome = Pool(cell, chance), Outcome(reserve_s=reserve_s(cell.workers))
    alive_zones = list(range(cell.zones))
    ends: list[tuple[float, int, int]] = []
    number = 0

    def begin(now_s: float) -> bool:
        nonlocal number
        worker = pool.book(chance.choice(alive_zones))
        if worker is None:
            return False
        number += 1
        heapq.heappush(ends, (now_s + chance.expovariate(1 / cell.hold_s), number, worker))
        return True

    for _ in range(cell.calls):
        outcome.refused += not begin(0.0)
    now_s, rate = 0.0, cell.calls / cell.hold_s
    has_lost = not loses_zone
    while now_s < seconds:
        now_s += chance.expovariate(rate)
        _hang_up(ends, pool, now_s)
        if not has_lost and now_s >= seconds / 2:
            has_lost = True
            alive_zones.pop()
            ends = _lose_zone(ends, pool, cell, outcome, now_s, wait_s, alive_zones, chance)
        outcome.refused += not begin(now_s)
    outcome.fill = sorted(
        count for count, is_up in zip(pool.active, pool.is_alive, strict=True) if is_up
    )
    return outcome


def _hang_up(ends: list[tuple[float, int, int]], pool: Pool, now_s: float) -> None:
    while ends and ends[0][0] <= now_s:
        _, _, worker = heapq.heappop(ends)
        pool.active[worker] -= 1


def _lose_zone(
    ends: list[tuple[float, int, int]],
    pool: Pool,
    cell: Cell,
    outcome: Outcome,
    now_s: float,
    wait_s: float,
    zones: Sequence[int],
    chance: random.Random,
) -> list[tuple[float, int, int]]:
    """All workers of the last zone are gone at once; their calls ask for others one by one."""
    lost = cell.zones - 1
    for worker in range(lost, cell.workers, cell.zones):
        pool.is_alive[worker] = False
        pool.active[worker] = 0
    kept = [end for end in ends if pool.zone_of(end[2]) != lost]
    for place, (end_s, number, _) in enumerate(
        sorted(end for end in ends if pool.zone_of(end[2]) == lost), start=1
    ):
        waited_s = place * outcome.reserve_s
        taker = pool.book(chance.choice(zones)) if waited_s <= wait_s else None
        if taker is None:
            outcome.lost += 1
            continue
        outcome.moved_s.append(waited_s)
        kept.append((max(end_s, now_s), number, taker))
    heapq.heapify(kept)
    return kept
