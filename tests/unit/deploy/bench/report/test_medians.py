from __future__ import annotations

import pytest

from deploy.bench.report.medians import median_of, spread_of


def test_each_figure_gets_its_own_median() -> None:
    runs = [
        {"calls": 5, "cpu_s": cpu_s, "delay": {"p50": p50}, "held": [cpu_s, 1]}
        for cpu_s, p50 in ((0.3, 9.0), (0.1, 8.0), (0.2, 1.0))
    ]
    assert median_of(runs) == {
        "calls": 5,
        "cpu_s": 0.2,
        "delay": {"p50": 8.0},
        "held": [0.2, 1],
    }


def test_what_was_not_measured_in_a_run_is_left_out_of_the_median() -> None:
    assert median_of([None, 3.0, 5.0]) == 4.0
    assert median_of([None, None]) is None


def test_runs_of_different_things_have_no_median() -> None:
    with pytest.raises(ValueError, match="different things"):
        median_of([{"relay": "floor"}, {"relay": "gateway"}])
    with pytest.raises(ValueError, match="different figures"):
        median_of([{"a": 1}, {"b": 1}])


def test_the_spread_is_the_least_and_the_most() -> None:
    assert spread_of([{"x": 3}, {"x": 1}, {"x": 2}], "x") == (1.0, 3.0)
