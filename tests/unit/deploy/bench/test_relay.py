from __future__ import annotations

import pytest

from deploy.bench.relay import BURST
from services.agent.settings import AgentSettings
from shared.audio.format import FRAME_S


def test_relays_are_measured_with_as_many_frames_at_once_as_workers_write_by_default() -> None:
    burst_s = AgentSettings.model_fields["agent_burst_s"].default
    assert pytest.approx(burst_s / FRAME_S) == BURST
