"""What the relay costs against one that looks at nothing, and how long it keeps a frame.

Judged by ratio, in one run on one machine: seconds alone say more of the machine than of us.
"""

from __future__ import annotations

import sys

import pytest

from deploy.bench.relay import measure_relay

pytestmark = [
    pytest.mark.system,
    pytest.mark.soak,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc"),
]


def test_a_call_costs_the_gateway_little_more_than_passing_its_bytes() -> None:
    splice, gateway = measure_relay([100], seconds=15.0, relays=("splice", "gateway"))
    assert (splice.relay, gateway.relay) == ("splice", "gateway")
    assert gateway.lost_frames == 0
    assert gateway.cpu_s < 2.0 * splice.cpu_s
    assert gateway.delay_ms_p50 < splice.delay_ms_p50 + 0.3
    assert gateway.delay_ms_p99 < splice.delay_ms_p99 + 3.0
