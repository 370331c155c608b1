"""Resampling, judged as signal: level, aliases, delay, length."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.audio.errors import AudioError, WrongSamples
from shared.audio.resample import Quality, Resampler, resample

RATES = [(24000, 8000), (22050, 8000), (16000, 8000), (8000, 16000), (48000, 8000)]
QUALITIES = get_args(Quality)
SOXR: list[Quality] = ["MQ", "live"]
Pcm = NDArray[np.int16]


def tone(hertz: float, rate_hz: int, seconds: float = 1.0, peak: float = 20_000) -> Pcm:
    times = np.arange(round(rate_hz * seconds)) / rate_hz
    pcm: Pcm = np.rint(np.sin(2 * np.pi * hertz * times) * peak).astype(np.int16)
    return pcm


def convert(pcm: Pcm, source: int, target: int, quality: Quality, piece: int) -> Pcm:
    resampler = Resampler(source, target, quality)
    ends = range(piece, len(pcm) + piece, piece)
    return np.concatenate(
        [resampler.push(pcm[end - piece : end], last=end >= len(pcm)) for end in ends]
    )


def ideal_tone(source: int, target: int, quality: Quality) -> Pcm:
    """440 Hz at the target rate, as late as is documented for the live way down."""
    shift_s = 0.0
    if quality == "live" and target < source:
        shift_s = 0.000234 if source == 16000 else 0.000203
    times = np.maximum(0, np.arange(target // 2) / target - shift_s)
    ideal: Pcm = np.rint(np.sin(2 * np.pi * 440 * times) * 20_000).astype(np.int16)
    return ideal


def level_db(pcm: Pcm, peak: float = 20_000) -> float:
    """Level of the middle of a tone, relative to a sine of `peak`."""
    middle = pcm[len(pcm) // 10 : -len(pcm) // 10].astype(np.float64)
    return float(10 * np.log10(np.mean(middle**2) / (peak**2 / 2) + 1e-20))


@pytest.mark.parametrize(("source", "target"), RATES)
@pytest.mark.parametrize("quality", SOXR)
@pytest.mark.parametrize("hertz", [200, 1000, 3400])
def test_speech_band_tones_keep_their_level(
    source: int, target: int, quality: Quality, hertz: int
) -> None:
    out = convert(tone(hertz, source), source, target, quality, source // 50)
    assert abs(level_db(out)) < 0.1


@pytest.mark.parametrize(("source", "target"), [pair for pair in RATES if pair[1] == 8000])
@pytest.mark.parametrize("quality", SOXR)
@pytest.mark.parametrize("hertz", [4600, 5000, 6000])
def test_what_8_khz_cannot_carry_is_removed_instead_of_folded_down(
    source: int, target: int, quality: Quality, hertz: int
) -> None:
    out = convert(tone(hertz, source), source, target, quality, source // 50)
    assert level_db(out) < -60


def test_linear_interpolation_folds_it_down_at_full_level() -> None:
    """Documented, and the reason why it is not the default."""
    out = convert(tone(5000, 24000), 24000, 8000, "linear", 480)
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out))))
    assert round(float(np.argmax(spectrum)) * 8000 / len(out)) == 3000
    assert level_db(out) > -1


@pytest.mark.parametrize("quality", SOXR)
def test_upsampling_makes_no_image(quality: Quality) -> None:
    out = convert(tone(1000, 8000), 8000, 16000, quality, 160).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out))))
    wanted, image = spectrum[900:1100].max(), spectrum[6800:7200].max()
    assert 20 * np.log10(image / wanted) < -60


@pytest.mark.parametrize(("source", "target"), RATES)
@pytest.mark.parametrize("quality", QUALITIES)
@given(data=st.data())
def test_the_cut_into_pushes_changes_nothing_and_the_length_is_exact(
    source: int, target: int, quality: Quality, data: st.DataObject
) -> None:
    length = data.draw(st.integers(0, source // 4), label="length")
    pieces = data.draw(st.lists(st.integers(0, source // 8), max_size=6), label="pieces")
    pcm = np.random.default_rng(length).integers(-20_000, 20_000, length).astype(np.int16)
    whole = Resampler(source, target, quality).push(pcm, last=True)
    cut = Resampler(source, target, quality)
    parts, at = [], 0
    for piece in pieces:
        parts.append(cut.push(pcm[at : at + piece]))
        at += piece
    parts.append(cut.push(pcm[at:], last=True))
    assert len(whole) == -(-length * target // source)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(("source", "target"), RATES)
@pytest.mark.parametrize("quality", QUALITIES)
def test_the_first_sound_is_neither_clipped_nor_late(
    source: int, target: int, quality: Quality
) -> None:
    """A resampler that swallowed its first chunks cost a caller the agent's first word."""
    pcm = tone(440, source, seconds=0.5)
    out = convert(pcm, source, target, quality, source // 50)
    ideal = ideal_tone(source, target, quality)
    first = slice(0, target // 50)  # 20 ms
    error = np.abs(out[first].astype(int) - ideal[first])
    # A filter rings where a sound begins out of nothing, by a few per cent; nothing is shifted.
    assert error.max() < 20_000 * 0.06
    assert error[target // 100 :].max() < 20_000 * 0.02


@pytest.mark.parametrize(("source", "target"), RATES)
@pytest.mark.parametrize("quality", QUALITIES)
def test_a_click_stays_where_it_was(source: int, target: int, quality: Quality) -> None:
    pcm = np.zeros(source // 2, np.int16)
    width = max(1, source // target)
    pcm[source // 10 : source // 10 + width] = 30_000
    out = convert(pcm, source, target, quality, source // 50)
    at = int(np.argmax(np.abs(out.astype(int))))
    assert abs(at - target / 10) <= 3  # under 0.4 ms at 8 kHz


@pytest.mark.parametrize(("source", "target"), RATES)
@pytest.mark.parametrize("quality", QUALITIES)
def test_the_last_sound_is_not_lost(source: int, target: int, quality: Quality) -> None:
    pcm = tone(440, source, seconds=0.5)
    out = convert(pcm, source, target, quality, source // 50)
    ideal = ideal_tone(source, target, quality)
    last = slice(len(out) - target // 50, len(out) - 8)
    assert np.abs(out[last].astype(int) - ideal[last]).max() < 20_000 * 0.06


@pytest.mark.parametrize(
    ("source", "target", "quality", "most_ms"),
    [
        (24000, 8000, "MQ", 80),
        (22050, 8000, "MQ", 88),
        (16000, 8000, "MQ", 124),
        (24000, 8000, "live", 30),
        (22050, 8000, "live", 32),
        (16000, 8000, "live", 20),
        (8000, 16000, "live", 35),
        (8000, 16000, "linear", 1),
    ],
)
def test_the_look_ahead_is_what_is_documented(
    source: int, target: int, quality: Quality, most_ms: int
) -> None:
    resampler = Resampler(source, target, quality)
    step = source // 1000
    lags_ms, given = [], 0
    for pushed in range(0, source // 2, step):
        lags_ms.append((pushed / source - given / target) * 1000)
        given += len(resampler.push(tone(440, source, seconds=step / source)))
    assert max(lags_ms) <= most_ms


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize(("source", "target"), RATES)
def test_silence_stays_silent(source: int, target: int, quality: Quality) -> None:
    out = convert(np.zeros(source, np.int16), source, target, quality, source // 50)
    assert not out.any()


@pytest.mark.parametrize("quality", QUALITIES)
def test_full_scale_is_clipped_and_never_wraps(quality: Quality) -> None:
    square = np.where(np.arange(24000) // 600 % 2, -32_768, 32_767).astype(np.int16)
    out = convert(square, 24000, 8000, quality, 480).astype(int)
    # Between two samples of opposite sign there is a way through nought, never a jump past it.
    assert np.abs(out).max() <= 32_768
    assert np.corrcoef(out[100:7900], square[::3][100:7900])[0, 1] > 0.9


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_second_signal_begins_afresh(quality: Quality) -> None:
    first, second = tone(300, 24000, 0.2), tone(700, 24000, 0.2)
    resampler = Resampler(24000, 8000, quality)
    resampler.push(first, last=True)
    again = resampler.push(second, last=True)
    np.testing.assert_array_equal(again, Resampler(24000, 8000, quality).push(second, last=True))


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_reset_forgets_what_was_inside(quality: Quality) -> None:
    resampler = Resampler(24000, 8000, quality)
    resampler.push(tone(300, 24000, 0.2))
    resampler.reset()
    assert not resampler.push(np.zeros(2400, np.int16), last=True).any()


def test_equal_rates_pass_through_as_a_copy() -> None:
    pcm = tone(440, 8000)
    out = resample(pcm, 8000, 8000)
    np.testing.assert_array_equal(out, pcm)
    assert not np.shares_memory(out, pcm)


@pytest.mark.parametrize("quality", QUALITIES)
def test_an_empty_signal_has_no_samples(quality: Quality) -> None:
    assert len(Resampler(24000, 8000, quality).push(np.zeros(0, np.int16), last=True)) == 0


@pytest.mark.parametrize(("source", "target"), [(0, 8000), (8000, 1_000_000), (-1, 8000)])
def test_rates_that_make_no_sense_are_refused(source: int, target: int) -> None:
    with pytest.raises(AudioError):
        Resampler(source, target)


def test_other_samples_are_refused() -> None:
    with pytest.raises(WrongSamples):
        Resampler(24000, 8000).push(np.zeros(4, np.float32))
