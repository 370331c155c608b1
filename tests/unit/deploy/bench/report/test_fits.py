from __future__ import annotations

import pytest

from deploy.bench.report.fits import WAKE_UPS, Point, fit_law, fit_line, wake_ups
from deploy.bench.rig.cloud import GRAIN_US

_CALLS = (1, 10, 50, 100, 150)


def _points(calls: tuple[int, ...] = _CALLS, workers: int = 1) -> list[Point]:
    few = 2.0 + 1.5 * (workers - 1)
    return [Point(n, workers, few + 0.4 * min(n, 20) + 0.3 * n) for n in calls]


def test_a_line_is_found_again() -> None:
    line = fit_line([0, 1, 2, 3], [5.0, 7.0, 9.0, 11.0])
    assert line.fixed == pytest.approx(5.0)
    assert line.each == pytest.approx(2.0)
    assert line.error == pytest.approx(0.0, abs=1e-9)
    assert line.at(10) == pytest.approx(25.0)


def test_the_law_tells_fixed_cost_from_wake_ups_calls_and_workers() -> None:
    law = fit_law([*_points(), *_points((100, 200), workers=2)])
    assert law.fixed == pytest.approx(2.0)
    assert law.per_wake_up == pytest.approx(0.4)
    assert law.per_worker == pytest.approx(1.5)
    assert law.per_call == pytest.approx(0.3)
    assert law.worst_share == pytest.approx(0.0, abs=1e-9)
    assert law.bends_at is None
    assert law.cost_of(100, 2) == pytest.approx(0.415)


def test_a_bend_is_where_one_worker_is_late_or_dearer_than_the_law() -> None:
    late = Point(200, 1, 62.0, is_whole=False)
    assert fit_law([*_points(), late, *_points((100, 200), workers=2)]).bends_at == 200
    dear = Point(150, 1, 80.0)
    many = [*_points((1, 5, 10, 20, 30, 50, 75, 100, 125)), dear, *_points((100, 200), workers=2)]
    assert fit_law(many).bends_at == 150


def test_a_load_that_was_disturbed_is_no_bend_where_more_calls_are_served_in_time() -> None:
    disturbed = Point(75, 1, 31.0, is_whole=False)
    assert fit_law([*_points(), disturbed, *_points((100, 200), workers=2)]).bends_at is None


def test_points_that_are_not_whole_are_not_fitted() -> None:
    law = fit_law([*_points(), Point(400, 1, 40.0, is_whole=False)])
    assert law.per_call == pytest.approx(0.3)


def test_a_law_takes_as_many_points_as_it_has_terms() -> None:
    with pytest.raises(ValueError, match="4 points"):
        fit_law(_points((1, 2, 50)))


def test_frames_share_milliseconds_when_calls_are_more_than_a_frame_has() -> None:
    assert [wake_ups(calls) for calls in (1, 20, 21, 200)] == [1, 20, 20, 20]
    assert WAKE_UPS == 20_000 / GRAIN_US
