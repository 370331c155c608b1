"""The bench measures what it says: two calls for two seconds, through a real gateway and worker
and with the servers that they are compared with."""

from __future__ import annotations

import sys

import pytest

from deploy.bench.floors import FLOORS, measure_floors
from deploy.bench.path import Load, measure_path

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(90),
    pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc"),
    pytest.mark.compiler,
]


def test_two_calls_are_played_through_gateway_and_worker_and_measured() -> None:
    (cost,) = measure_path([Load(2)], seconds=2.0)
    handset = cost.handset
    assert (handset.open, handset.lost, handset.refused) == (2, 0, 0)
    assert handset.sent == pytest.approx(200, abs=12)  # a frame a call each 20 ms
    assert handset.received == pytest.approx(200, abs=40)  # and as many of the agent
    assert handset.first_audio_ms.count == 2
    assert cost.gateway > 0
    assert cost.worker > 0
    assert cost.total == pytest.approx(cost.gateway + cost.worker)
    assert handset.cpu_share < 0.8


def test_every_floor_reads_and_writes_a_frame_a_call_each_20_ms() -> None:
    costs = list(measure_floors([(name, 2) for name in FLOORS], seconds=1.0))
    assert [cost.design for cost in costs] == list(FLOORS)
    for cost in costs:
        assert cost.handset.sent == pytest.approx(100, abs=6), cost.design
        assert cost.handset.received == pytest.approx(100, abs=10), cost.design
        assert cost.server > 0, cost.design
