"""The plan's simulation loses and invents no call, and says what a little arithmetic says."""

from __future__ import annotations

import pytest

from deploy.scale.model import RESERVE_S, Cell, reserve_s, simulate


@pytest.mark.parametrize(("workers", "seconds"), RESERVE_S)
def test_what_was_measured_is_believed(workers: int, seconds: float) -> None:
    assert reserve_s(workers) == pytest.approx(seconds)


def test_between_and_beyond_what_was_measured_it_is_a_line() -> None:
    assert reserve_s(65) == pytest.approx(0.0005)
    assert reserve_s(1) == reserve_s(3)
    assert reserve_s(800) == pytest.approx(2 * reserve_s(400))


def test_with_room_for_all_none_is_refused_and_none_holds_more_than_it_can() -> None:
    came = simulate(Cell(calls=300, workers=30), seconds=300, seed=1, loses_zone=False)
    assert (came.refused, came.lost, came.moved_s) == (0, 0, [])
    assert len(came.fill) == 30
    assert came.fill[-1] <= 25
    assert 200 < sum(came.fill) < 400


def test_two_choices_keep_workers_alike() -> None:
    came = simulate(Cell(calls=600, workers=60), seconds=1, seed=2, loses_zone=False)
    assert came.fill[-1] - came.fill[0] <= 6


def test_every_call_of_a_lost_zone_is_moved_or_lost() -> None:
    cell = Cell(calls=300, workers=30, hold_s=1e9)
    came = simulate(cell, seconds=2, seed=3)
    assert came.refused == 0
    assert len(came.moved_s) + came.lost == pytest.approx(100, abs=15)
    assert len(came.fill) == 20
    assert sum(came.fill) + came.lost >= 300


def test_what_has_no_room_elsewhere_is_lost() -> None:
    came = simulate(Cell(calls=725, workers=30, hold_s=1e9), seconds=2, seed=4)
    assert sum(came.fill) == 20 * 25
    assert came.lost >= 725 - 20 * 25 - 30


def test_a_call_is_given_up_when_redis_has_no_time_for_it() -> None:
    cell = Cell(calls=300, workers=30, hold_s=1e9)
    waits = reserve_s(30) * 10.5
    came = simulate(cell, seconds=2, seed=3, wait_s=waits)
    assert len(came.moved_s) == 10
    assert max(came.moved_s) <= waits
