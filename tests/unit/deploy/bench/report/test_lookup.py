from __future__ import annotations

import pytest

from deploy.bench.report.lookup import (
    design,
    path,
    ratios,
    relay,
    usual_cost,
    voice_activity_cost,
)
from tests.unit.deploy.bench.made_up import document


def test_a_row_is_found_by_its_load() -> None:
    found = path(document(), 200, workers=2)
    assert found is not None
    assert found["worker"] == 0.21
    assert path(document(), 200) is None


def test_rows_of_parts_that_were_not_measured_are_missing() -> None:
    assert path({}, 50) is None
    assert design({}, "usual", 50) is None
    assert relay({}, "gateway", 100) is None
    assert usual_cost({}, 100) is None
    assert ratios({}) == {}


def test_the_usual_design_is_compared_where_it_still_kept_up() -> None:
    assert usual_cost(document(), 100) == (1.5, 50)
    assert usual_cost(document(), 20) == (1.6, 20)


def test_voice_activity_costs_what_a_heard_line_costs_more_than_a_quiet_one() -> None:
    assert voice_activity_cost(document(), 100) == pytest.approx(0.05)
    assert voice_activity_cost(document(), 200) is None


def test_ratios_are_of_figures_of_the_same_run() -> None:
    assert ratios(document()) == {
        "whole path to floor, 50 calls": 3.5,
        "whole path to usual design, 50 calls": 0.233,
        "whole path to floor, 100 calls": 3.0,
        "whole path to usual design, 100 calls": 0.2,
        "one hop in Python to one in C, 100 calls": 2.5,
        "gateway to relay floor, 100 calls": 2.0,
    }
