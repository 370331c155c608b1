"""What every VoiceActivity promises."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from services.agent.providers.base import FRAME_SAMPLES, Pcm, VoiceActivity
from services.agent.providers.errors import ProviderUnavailable
from services.agent.providers.offline.silero import SileroVoiceActivity
from shared.audio.resample import resample
from shared.speech import open_voice
from tests.support.providers import LevelVoiceActivity


@lru_cache
def silero() -> VoiceActivity:
    return SileroVoiceActivity()


def spoken(times: int) -> list[Pcm]:
    """One sentence said so many times: the voice's breath is noise, new each time."""
    voice = open_voice()
    said = [
        voice.synthesise("Hello, my number has changed, please write it down.")
        for _ in range(times)
    ]
    voice.close()
    return [resample(pcm, voice.sample_rate_hz, 8000) for pcm in said]


@lru_cache
def speech() -> Pcm:
    return spoken(1)[0]


def frames_of(pcm: Pcm) -> Pcm:
    whole = len(pcm) // FRAME_SAMPLES
    return pcm[: whole * FRAME_SAMPLES].reshape(whole, FRAME_SAMPLES)


@pytest.fixture(params=[silero, LevelVoiceActivity], ids=["silero", "fake"])
def activity(request: pytest.FixtureRequest) -> VoiceActivity:
    make: Callable[[], VoiceActivity] = request.param
    return make()


def score_all(activity: VoiceActivity, pcm: Pcm) -> list[float]:
    state = activity.open()
    return [float(activity.score([state], frame[np.newaxis])[0]) for frame in frames_of(pcm)]


def test_speech_scores_high_and_silence_low(activity: VoiceActivity) -> None:
    assert np.quantile(score_all(activity, speech()), 0.6) > 0.8
    assert max(score_all(activity, np.zeros(16000, np.int16))) < 0.2


def test_one_score_a_call_between_nought_and_one(activity: VoiceActivity) -> None:
    states = [activity.open() for _ in range(5)]
    scores = activity.score(states, frames_of(speech())[10:15])
    assert scores.shape == (5,)
    assert scores.dtype == np.float32
    assert np.all((scores >= 0) & (scores <= 1))


def test_a_batch_scores_like_each_call_alone(activity: VoiceActivity) -> None:
    rows = frames_of(speech())[20:50]
    alone = [activity.open() for _ in range(3)]
    together = [activity.open() for _ in range(3)]
    for step in range(10):
        batch = rows[[step, step + 10, step + 20]]
        single = [activity.score([s], f[np.newaxis])[0] for s, f in zip(alone, batch, strict=True)]
        np.testing.assert_allclose(activity.score(together, batch), single, atol=1e-4)


def test_floats_score_like_integers(activity: VoiceActivity) -> None:
    rows = frames_of(speech())[20:40]
    first, second = activity.open(), activity.open()
    for row in rows:
        as_int = activity.score([first], row[np.newaxis])
        as_float = activity.score([second], (row[np.newaxis] / 32768).astype(np.float32))
        np.testing.assert_allclose(as_int, as_float, atol=1e-4)


def test_frames_are_only_read(activity: VoiceActivity) -> None:
    rows = frames_of(speech())[20:21].copy()
    rows.flags.writeable = False
    before = rows.copy()
    activity.score([activity.open()], rows)
    np.testing.assert_array_equal(rows, before)


def test_a_reset_state_is_like_a_new_one(activity: VoiceActivity) -> None:
    used, fresh = activity.open(), activity.open()
    for row in frames_of(speech())[:40]:
        activity.score([used], row[np.newaxis])
    used.reset()
    row = frames_of(speech())[40:41]
    assert activity.score([used], row) == activity.score([fresh], row)


def test_no_calls_is_no_scores(activity: VoiceActivity) -> None:
    assert activity.score([], np.zeros((0, FRAME_SAMPLES), np.int16)).shape == (0,)


@pytest.mark.parametrize("shape", [(2, 160), (1, 159), (1, 320)])
def test_shapes_that_do_not_fit_are_refused(
    activity: VoiceActivity, shape: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match="fit"):
        activity.score([activity.open()], np.zeros(shape, np.int16))


def test_a_missing_model_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(ProviderUnavailable, match=r"nothing\.npz"):
        SileroVoiceActivity(tmp_path / "nothing.npz")
    (tmp_path / "other.npz").write_bytes(b"no weights")
    with pytest.raises(ProviderUnavailable, match=r"other\.npz"):
        SileroVoiceActivity(tmp_path / "other.npz")


def test_silero_still_hears_speech_after_minutes_of_tones() -> None:
    """The model's state drifts in tones until it hears nothing, unless it is made anew."""
    activity = silero()
    state = activity.open()
    time_s = np.arange(8000 * 60) / 8000
    for high_hz, gap_s in ((440, 2.0), (480, 0.5), (1336, 0.1)):
        tone = 3000 * np.sin(2 * np.pi * high_hz * time_s) * ((time_s % 4) < 4 - gap_s)
        for frame in frames_of(tone.astype(np.int16)):
            activity.score([state], frame[np.newaxis])
    for frame in frames_of(np.zeros(4800, np.int16)):
        activity.score([state], frame[np.newaxis])
    scores = [float(activity.score([state], f[np.newaxis])[0]) for f in frames_of(speech())[:50]]
    assert max(scores) > 0.9
    assert int(np.argmax(np.array(scores) >= 0.4)) < 12


def test_silero_judges_sound_after_silence_as_if_it_had_heard_all_of_it() -> None:
    """Frames too quiet to be speech are skipped; what follows them must not suffer by it."""
    noise = np.random.default_rng(3).normal(0, 18, 8000)  # -65 dBFS
    onsets, agreed = [], []
    for said in spoken(8):
        line = np.concatenate([noise, said[:16000].astype(float), noise]).astype(np.int16)
        skipping, hearing = SileroVoiceActivity(), SileroVoiceActivity(quiet_dbfs=-200.0)
        scores, wanted = np.array(score_all(skipping, line)), np.array(score_all(hearing, line))
        assert not scores[:40].any()
        onsets.append(abs(int(np.argmax(scores >= 0.4)) - int(np.argmax(wanted >= 0.4))))
        agreed.append(np.mean((scores >= 0.4) == (wanted >= 0.4)))
    assert max(onsets) <= 1, onsets
    assert np.mean(agreed) >= 0.955, agreed
