from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from deploy.bench.parts import PARTS
from deploy.bench.rig.figures import LoadReport
from deploy.bench.suite import Options, run_rows
from tests.unit.deploy.bench.made_up import load_report


@dataclass(frozen=True)
class _Cost:
    total: float
    is_whole: bool
    handset: LoadReport


@dataclass(frozen=True)
class _Loaded:
    calls: int
    total: float


def test_rows_are_medians_and_say_how_far_runs_lay_apart_and_what_was_wrong() -> None:
    runs = count()

    def measure() -> list[_Cost]:
        number = next(runs)
        report = LoadReport.of(load_report(lost=1 if number == 2 else 0))
        return [_Cost(1.0 + number, number != 1, report)]

    (row,) = run_rows(3, measure, str, "total")
    assert row["total"] == 2.0
    assert row["total_range"] == [1.0, 3.0]
    assert row["runs"] == 3
    assert row["trouble"] == "1 calls were lost"
    assert row["is_whole"] is False
    assert row["frames_out"] == 50.0


def test_a_row_that_a_run_lacks_is_the_median_of_the_others() -> None:
    runs = count()

    def measure() -> list[_Loaded]:
        number = next(runs)
        return [_Loaded(calls, calls + number) for calls in ((50, 200) if number else (50,))]

    small, large = run_rows(3, measure, str, "total")
    assert (small["calls"], small["total"], small["runs"]) == (50, 51, 3)
    assert (large["calls"], large["total"], large["runs"]) == (200, 201, 2)


@dataclass(frozen=True)
class _Designed:
    design: str
    calls: int
    relay: float
    total: float


def test_what_a_designs_relay_costs_does_not_tell_its_runs_apart() -> None:
    """Each run once stood for itself: its relay's cost was taken for a name."""
    runs = count()

    def measure() -> list[_Designed]:
        number = next(runs)
        return [_Designed("usual", 50, 0.5 + number, 1.0 + number)]

    (row,) = run_rows(3, measure, str, "total")
    assert (row["runs"], row["relay"], row["total"]) == (3, 1.5, 2.0)


def test_what_is_kept_of_other_versions_stays_where_a_part_keeps_by_version() -> None:
    (counted,) = [part for part in PARTS if part.is_by_version]
    assert counted.beside({"3.11": 1, "3.13": 2}, {"3.13": 3}) == {"3.11": 1, "3.13": 3}
    assert counted.beside(None, {"3.13": 3}) == {"3.13": 3}
    assert PARTS[0].beside({"old": 1}, {"new": 2}) == {"new": 2}


def test_every_part_says_what_it_takes_and_quick_ones_take_less() -> None:
    full, quick = Options(), Options(runs=1, is_quick=True)
    assert len({part.name for part in PARTS}) == len(PARTS)
    assert sum(part.seconds(quick) for part in PARTS) < 1200
    assert sum(part.seconds(full) for part in PARTS) < 3000
