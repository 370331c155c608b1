"""PURE. How loud audio is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from shared.audio.g711 import require_mono_int16

SILENCE_DBFS = -127.0
"""The level of no signal at all, as in RFC 6464."""


def level_dbfs(pcm: NDArray[np.int16]) -> float:
    """Return the RMS level in dB, relative to the square wave of greatest amplitude.

    So a sine of greatest amplitude is at -3.01 (dBov, ITU-T G.100.1). Nothing but zeros, or
    nothing, is at -127.
    """
    require_mono_int16(pcm)
    if not len(pcm):
        return SILENCE_DBFS
    samples = pcm.astype(np.float64)
    return _dbfs(float(np.dot(samples, samples)) / len(samples))


def levels_dbfs(frames: NDArray[np.int16]) -> list[float]:
    """Return the level of each row, as `level_dbfs` would; much quicker for many.

    Args:
        frames: `[n, samples]`, int16, at least one sample a row.
    """
    samples = frames.astype(np.float64)
    powers: list[float] = (np.einsum("ij,ij->i", samples, samples) / samples.shape[1]).tolist()
    return [_dbfs(power) for power in powers]


def _dbfs(power: float) -> float:
    return 20 * math.log10(math.sqrt(power) / 32_768) if power else SILENCE_DBFS
