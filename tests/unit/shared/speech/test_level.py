from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.speech.level import (
    TARGET_DBFS,
    SilenceTrimmer,
    active_level_dbfs,
    apply_gain,
    gain_to_target,
)

RATE = 8000


def tone(seconds: float, peak: float = 3000.0) -> NDArray[np.int16]:
    time_s = np.arange(int(seconds * RATE)) / RATE
    return np.rint(peak * np.sin(2 * np.pi * 440 * time_s)).astype(np.int16)


def silence(seconds: float) -> NDArray[np.int16]:
    return np.zeros(int(seconds * RATE), np.int16)


def trim(pcm: NDArray[np.int16], chunk: int) -> NDArray[np.int16]:
    trimmer = SilenceTrimmer(RATE, lead_s=0.05, tail_s=0.08)
    parts = [p for start in range(0, len(pcm), chunk) for p in trimmer.push(pcm[start:][:chunk])]
    parts += trimmer.finish()
    assert all(len(part) for part in parts)
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def test_pauses_do_not_count_in_the_active_level() -> None:
    speech = tone(1.0)
    with_pauses = np.concatenate([silence(1.0), speech, silence(2.0)])
    assert active_level_dbfs(with_pauses, RATE) == pytest.approx(active_level_dbfs(speech, RATE))
    assert active_level_dbfs(speech, RATE) == pytest.approx(
        20 * math.log10(3000 / 32768) - 3.01, abs=0.05
    )


@pytest.mark.parametrize("pcm", [silence(1.0), silence(0.0), tone(0.01)])
def test_no_speech_has_no_level_and_is_not_amplified(pcm: NDArray[np.int16]) -> None:
    assert active_level_dbfs(pcm, RATE) == -math.inf
    assert gain_to_target(pcm, RATE) == 1.0


@pytest.mark.parametrize("peak", [100.0, 3000.0, 20000.0])
def test_the_gain_brings_speech_to_the_target(peak: float) -> None:
    speech = tone(1.0, peak)
    levelled = apply_gain(speech, gain_to_target(speech, RATE))
    assert active_level_dbfs(levelled, RATE) == pytest.approx(TARGET_DBFS, abs=0.2)


def test_amplified_peaks_bend_and_never_clip_or_fold() -> None:
    ramp = np.arange(-32768, 32767, dtype=np.int16)
    bent = apply_gain(ramp, 4.0).astype(np.int32)
    assert np.all(np.diff(bent) >= 0)
    assert int(np.abs(bent).max()) <= 0.941 * 32768
    quiet = np.abs(ramp.astype(np.int32)) < 4900
    np.testing.assert_array_equal(bent[quiet], 4 * ramp[quiet].astype(np.int32))


def test_no_samples_stay_no_samples() -> None:
    assert len(apply_gain(silence(0.0), 2.0)) == 0


@pytest.mark.parametrize("chunk", [37, 160, 4000, 100_000])
def test_silence_around_speech_is_shortened_and_speech_is_untouched(chunk: int) -> None:
    speech = np.concatenate([tone(0.5), silence(0.3), tone(0.5)])
    trimmed = trim(np.concatenate([silence(1.0), speech, silence(1.0)]), chunk)
    assert len(trimmed) / RATE == pytest.approx(0.05 + 1.3 + 0.08, abs=0.02)
    start = int(np.flatnonzero(trimmed)[0])
    speech_start = int(np.flatnonzero(speech)[0])
    np.testing.assert_array_equal(
        trimmed[start : start + len(speech) - speech_start - 1], speech[speech_start:-1]
    )


def test_silence_alone_is_nothing() -> None:
    assert len(trim(silence(3.0), 160)) == 0


def test_speech_without_silence_passes_whole() -> None:
    np.testing.assert_array_equal(trim(tone(0.5), 160), tone(0.5))
