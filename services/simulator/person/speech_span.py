"""PURE. Where speech begins and ends in a piece of audio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEP_SAMPLES = 80
"""10 ms at 8 kHz: the grain of every onset and end in a report."""
WITHIN_DB = 25.0
_ACTIVE_DB = 30.0


@dataclass(frozen=True, slots=True)
class SpeechSpan:
    """Samples from the first 10 ms within 25 dB of the talker's level to the end of the last."""

    onset: int
    end: int
    level_dbfs: float


def find_speech(pcm: NDArray[np.int16]) -> SpeechSpan | None:
    """Return where the talker speaks in 8 kHz PCM, or None when there is no sound at all.

    The talker's level is the power of the steps within 30 dB of the loudest.
    """
    levels = step_levels_dbfs(pcm)
    if levels.size == 0 or levels.max() <= -90:
        return None
    active = levels[levels >= levels.max() - _ACTIVE_DB]
    talker = float(10 * np.log10(np.mean(10 ** (active / 10))))
    loud = np.flatnonzero(levels >= talker - WITHIN_DB)
    return SpeechSpan(
        int(loud[0]) * STEP_SAMPLES,
        min(len(pcm), (int(loud[-1]) + 1) * STEP_SAMPLES),
        round(talker, 1),
    )


def step_levels_dbfs(pcm: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return the RMS level of each 10 ms; -100 for digital silence. The rest that is left out."""
    steps = len(pcm) // STEP_SAMPLES
    blocks = pcm[: steps * STEP_SAMPLES].reshape(steps, STEP_SAMPLES).astype(np.float64)
    power = np.mean(blocks**2, axis=1) / 32768.0**2
    return np.asarray(10 * np.log10(np.maximum(power, 1e-10)), dtype=np.float64)
