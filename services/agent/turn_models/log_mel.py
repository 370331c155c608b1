"""PURE. Log-mel features as Whisper's encoder and models made from it read them.

Frames of 25 ms every 10 ms at 16 kHz, weighted by a Hann window; their power spectrum through 80
triangular filters, evenly spaced on Slaney's mel scale (linear up to 1 kHz, logarithmic above) and
of equal area; its logarithm, no more than 8 decades below the loudest, scaled to about -1..1.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
BANDS = 80
_LINEAR_UNTIL_HZ = 1000.0
_HZ_A_MEL = 200.0 / 3.0
_STEP_A_MEL = np.log(6.4) / 27.0
_LEAST_POWER = 1e-10
_DECADES = 8.0


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the features of some audio.

    Args:
        samples: mono, 16 kHz, of any scale, at least 25 ms.

    Returns:
        `[80, n // 160]`: band by frame; frame i is centred on sample 160 * i.
    """
    padded = np.pad(samples.astype(np.float64), WINDOW_SAMPLES // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    count = len(samples) // HOP_SAMPLES
    spectrum = np.fft.rfft(frames[:count] * _window(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    log_power = np.log10(np.maximum(power @ mel_filters().T, _LEAST_POWER))
    log_power = np.maximum(log_power, log_power.max() - _DECADES)
    features: NDArray[np.float32] = ((log_power + 4.0) / 4.0).T.astype(np.float32)
    return features


def _window() -> NDArray[np.float64]:
    """Hann's window, periodic: its last sample is not its first again."""
    return np.hanning(WINDOW_SAMPLES + 1)[:-1]


@cache
def mel_filters() -> NDArray[np.float64]:
    """Return `[80, 201]`: the weight of each spectral line in each band; not to be written to."""
    edges_hz = _to_hz(np.linspace(_to_mel(0.0), _to_mel(RATE_HZ / 2), BANDS + 2))
    lines_hz = np.linspace(0.0, RATE_HZ / 2, WINDOW_SAMPLES // 2 + 1)
    low, middle, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising = (lines_hz - low) / (middle - low)
    falling = (high - lines_hz) / (high - middle)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    filters: NDArray[np.float64] = triangles * (2.0 / (high - low))
    filters.flags.writeable = False
    return filters


def _to_mel(hz: float) -> float:
    if hz < _LINEAR_UNTIL_HZ:
        return hz / _HZ_A_MEL
    return _LINEAR_UNTIL_HZ / _HZ_A_MEL + float(np.log(hz / _LINEAR_UNTIL_HZ) / _STEP_A_MEL)


def _to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    knee = _LINEAR_UNTIL_HZ / _HZ_A_MEL
    above = _LINEAR_UNTIL_HZ * np.exp(_STEP_A_MEL * (np.maximum(mel, knee) - knee))
    return np.where(mel < knee, mel * _HZ_A_MEL, above)
