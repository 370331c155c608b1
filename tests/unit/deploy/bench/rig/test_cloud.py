from __future__ import annotations

import numpy as np
import pytest

from deploy.bench.report.lookup import HEARD_DBFS, QUIET_DBFS
from deploy.bench.rig.cloud import LEAD_MS, line_noise
from services.agent.providers.offline import silero
from services.agent.settings import AgentSettings
from services.agent.turn.vad import VadTuning
from shared.audio.format import FRAME_S
from shared.audio.g711 import decode_ulaw
from shared.audio.level import level_dbfs


@pytest.mark.parametrize("dbfs", [HEARD_DBFS, QUIET_DBFS])
def test_a_lines_noise_has_its_level_in_every_frame(dbfs: float) -> None:
    frames = decode_ulaw(line_noise(dbfs, 100)).reshape(100, 160)
    levels = [level_dbfs(np.ascontiguousarray(frame)) for frame in frames]
    assert max(abs(level - dbfs) for level in levels) < 3.0


def test_one_line_is_heard_frame_by_frame_and_the_other_is_not_and_neither_is_speech() -> None:
    activity = silero.SileroVoiceActivity()
    for dbfs, is_heard in ((HEARD_DBFS, True), (QUIET_DBFS, False)):
        state = activity.open()
        frames = decode_ulaw(line_noise(dbfs, 50)).reshape(50, 160)
        scores = [float(activity.score([state], frame[None, :])[0]) for frame in frames]
        assert all((score > 0) is is_heard for score in scores)
        assert max(scores) < VadTuning().start_probability


def test_lateness_is_judged_by_the_lead_that_workers_keep_by_default() -> None:
    lead_s = AgentSettings.model_fields["agent_lead_s"].default
    assert pytest.approx((lead_s - FRAME_S) * 1000) == LEAD_MS
