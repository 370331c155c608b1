from __future__ import annotations

import numpy as np
import pytest

from deploy.bench.cloud import line_noise
from deploy.bench.lookup import HEARD_DBFS, QUIET_DBFS
from services.agent.providers.offline import silero
from services.agent.turn.vad import VadTuning
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
