"""The plan goes by what was measured last, and its README says what comes of that."""

from __future__ import annotations

import pytest

from deploy.scale.measured import LARGE, USUAL, Costs, Plan, between, costs_of, part_of
from deploy.scale.model import Cell, simulate
from services.agent.settings import AgentSettings

POINTS = ((10, 1.0), (20, 1.5), (40, 4.0))


@pytest.mark.parametrize(
    ("at", "value"), [(1, 1.0), (10, 1.0), (15, 1.25), (20, 1.5), (30, 2.75), (40, 4.0), (80, 8.0)]
)
def test_between_points_it_is_a_line_and_beyond_the_last_in_proportion(
    at: float, value: float
) -> None:
    assert between(POINTS, at) == pytest.approx(value)


def test_costs_are_cores_of_a_process_and_only_one_workers_load_tells_of_a_worker() -> None:
    def row(calls: int, workers: int, line_dbfs: float = -50.0) -> dict[str, object]:
        load = {"calls": calls, "workers": workers, "line_dbfs": line_dbfs}
        return {"load": load, "gateway": 0.3, "worker": 0.6}

    costs = costs_of({"path": [row(200, 2), row(100, 1), row(50, 1), row(100, 1, -65.0)]})
    assert costs.worker == ((50, 0.5), (100, 1.0))
    assert costs.gateway == ((50, 0.25), (100, 0.5), (200, 1.0))


def test_a_lost_zones_calls_are_shared_by_the_others() -> None:
    part = part_of("workers", POINTS, 200, 10, 3)
    assert (part.calls, part.calls_short) == (20, 30)
    assert (part.cores, part.cores_short) == pytest.approx((1.5, 2.75))
    assert part.cores_in_all == pytest.approx(27.5)


def test_what_all_of_a_cell_need_is_what_they_take_with_a_zone_lost() -> None:
    """The plan counted with costs of long before, several times what they had become."""
    costs = Costs(worker=((1, 0.1), (100, 1.0)), gateway=((50, 0.5), (100, 1.0)))
    lines = Plan(calls=300, workers=30, gateways=6, zones=3, cells=10).lines(costs)
    assert lines[2:4] == [
        "| workers | 10.0 calls, 0.18 core | 15.0 calls, 0.23 core | 30 | 7 |",
        "| gateways | 50.0 calls, 0.50 core | 75.0 calls, 0.75 core | 6 | 4 |",
    ]
    assert lines[-1].startswith("11 cores a cell, 113 for 3,000 calls: 0.038 a call, 0.63 core-hou")


def test_the_plans_workers_are_of_the_size_that_workers_have() -> None:
    assert Cell(1, 1).capacity == AgentSettings.model_fields["agent_capacity"].default


@pytest.mark.parametrize(("plan", "capacity"), [(USUAL, 25), (LARGE, 100)])
def test_the_plans_cell_bears_the_loss_of_a_zone(plan: Plan, capacity: int) -> None:
    came = simulate(Cell(plan.calls, plan.workers, capacity, plan.zones), seconds=600, seed=1)
    assert (came.refused, came.lost) == (0, 0)
