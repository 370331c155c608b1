"""PURE. Bring an engine's samples to a phone's level and cut silence at the ends.

A voice has one fixed gain, measured once from a sentence of its own, so that its level never
depends on the text; a soft limit catches what would clip.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

TARGET_DBFS = -20.0

_FULL_SCALE = 32768.0
_KNEE = 0.6 * _FULL_SCALE
_CEILING = 0.94 * _FULL_SCALE
_ACTIVE_BELOW_LOUDEST_DB = 25.0


def active_level_dbfs(pcm: NDArray[np.int16], sample_rate_hz: int) -> float:
    """Return the mean power, in dB of full scale, of the 20 ms frames that hold speech.

    A frame holds speech when it is within 25 dB of the loudest one. Digital silence, or less
    than one frame, is -inf.
    """
    size = sample_rate_hz // 50
    whole = len(pcm) // size
    if whole == 0:
        return -math.inf
    frames = pcm[: whole * size].astype(np.float64).reshape(whole, size) / _FULL_SCALE
    power = np.mean(frames * frames, axis=1)
    loudest = float(power.max())
    if loudest == 0.0:
        return -math.inf
    active = power[power >= loudest * 10 ** (-_ACTIVE_BELOW_LOUDEST_DB / 10)]
    return 10 * math.log10(float(active.mean()))


def gain_to_target(pcm: NDArray[np.int16], sample_rate_hz: int) -> float:
    """Return the factor that brings this speech to TARGET_DBFS; 1 for silence."""
    level = active_level_dbfs(pcm, sample_rate_hz)
    return 1.0 if math.isinf(level) else 10 ** ((TARGET_DBFS - level) / 20)


def apply_gain(pcm: NDArray[np.int16], gain: float) -> NDArray[np.int16]:
    """Return amplified samples; peaks above -4.4 dBFS bend towards -0.5 dBFS and never clip."""
    scaled: NDArray[np.float32] = pcm.astype(np.float32) * np.float32(gain)
    size = np.abs(scaled)
    if scaled.size and float(size.max()) > _KNEE:
        room = _CEILING - _KNEE
        bent = np.sign(scaled) * (_KNEE + room * np.tanh((size - _KNEE) / room))
        scaled = np.where(size > _KNEE, bent, scaled).astype(np.float32)
    limited: NDArray[np.int16] = np.rint(scaled).astype(np.int16)
    return limited


class SilenceTrimmer:
    """Shortens the silence before and after one piece of speech as it streams through.

    Silence is 5 ms without a sample above -55 dBFS: just above what some engines put around their
    speech. `lead_s` of what came before the first sound
    is kept, so that no onset is clipped. Silence within the piece passes unchanged.
    """

    _BLOCK_S = 0.005
    _SILENT_PEAK = _FULL_SCALE * 10 ** (-55 / 20)

    def __init__(self, sample_rate_hz: int, *, lead_s: float, tail_s: float) -> None:
        self._block = max(1, int(sample_rate_hz * self._BLOCK_S))
        self._lead = int(sample_rate_hz * lead_s)
        self._tail = int(sample_rate_hz * tail_s)
        self._held = np.zeros(0, np.int16)
        self._has_begun = False

    def push(self, pcm: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
        """Yield what can leave now: at most one array, never empty."""
        held = np.concatenate([self._held, pcm]) if len(self._held) else pcm
        loud = np.flatnonzero(np.abs(held.astype(np.int32)) > self._SILENT_PEAK)
        if len(loud) == 0:
            self._held = held if self._has_begun else held[-self._lead - self._block :]
            return
        start = 0 if self._has_begun else max(0, int(loud[0]) - self._lead)
        end = min(len(held), int(loud[-1]) + self._block)
        self._has_begun = True
        self._held = held[end:]
        yield held[start:end]

    def finish(self) -> Iterator[NDArray[np.int16]]:
        """Yield the last of the tail, if any, after the last `push`."""
        tail = self._held[: self._tail]
        self._held = self._held[:0]
        if self._has_begun and len(tail):
            yield tail
