"""The bench measures what it says: two calls for two seconds through a real gateway and worker."""

from __future__ import annotations

import sys

import pytest

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
