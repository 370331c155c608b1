from __future__ import annotations

import math

import pytest

from deploy.bench.rig.figures import LoadReport, quantile_s, value_of
from tests.unit.deploy.bench.made_up import load_report, spread


def _scrape(*counts: int) -> str:
    bounds = ("0.01", "0.02", "+Inf")
    buckets = (
        f'voice_x_seconds_bucket{{le="{bound}"}} {count}.0\n'
        for bound, count in zip(bounds, counts, strict=True)
    )
    return "".join(buckets) + "voice_calls 3.0\n"


_SCRAPES = (_scrape(50, 50, 50), _scrape(149, 150, 150), _scrape(149, 150, 200))


def test_the_clients_report_is_read_with_all_its_distributions() -> None:
    report = LoadReport.of(load_report(pacing_ms=spread(7.0)))
    assert report.pacing_ms.p99 == 7.0
    assert report.late_ms.count == 100
    assert report.call_minutes == pytest.approx(50 * 10 / 60)
    assert report.frames_out == pytest.approx(50.0)


def test_a_report_of_another_version_is_not_taken() -> None:
    data = load_report()
    del data["jitter_ms"]
    with pytest.raises(KeyError):
        LoadReport.of(data)
    with pytest.raises(TypeError):
        LoadReport.of(load_report(further=1))


def test_frames_out_of_no_open_call_are_none() -> None:
    assert LoadReport.of(load_report(open=0)).frames_out == 0.0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"lost": 2}, "2 calls were lost"),
        ({"cpu_share": 0.9}, "took 90% of a core"),
        ({"late_ms": spread(6.0)}, "sent 6.0 ms late"),
    ],
)
def test_the_client_says_when_it_was_the_bottleneck(changed: dict[str, float], said: str) -> None:
    trouble = LoadReport.of(load_report(**changed)).trouble
    assert said in trouble
    assert bool(trouble) is bool(said)


def test_a_quantile_is_of_what_came_between_two_scrapes() -> None:
    before, after, later = _SCRAPES
    assert quantile_s(before, after, "voice_x_seconds", 0.99) == 0.01
    assert quantile_s(before, after, "voice_x_seconds", 1.0) == 0.02
    assert quantile_s(after, later, "voice_x_seconds", 0.5) == math.inf
    assert quantile_s(after, after, "voice_x_seconds", 0.5) == 0.0
    assert quantile_s(before, after, "voice_other_seconds", 0.5) == 0.0


def test_a_missing_metric_is_nought() -> None:
    assert value_of(_SCRAPES[0], "voice_calls") == 3.0
    assert value_of(_SCRAPES[0], "voice_other") == 0.0
