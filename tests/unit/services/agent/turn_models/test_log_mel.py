"""The features have the properties their definition gives them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from services.agent.turn_models.log_mel import BANDS, RATE_HZ, log_mel, mel_filters

LINE_HZ = RATE_HZ / 400


def tone(hz: float, seconds: float = 1.0) -> NDArray[np.float32]:
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    samples: NDArray[np.float32] = np.sin(2 * np.pi * hz * time_s).astype(np.float32)
    return samples


def centres_hz() -> NDArray[np.float64]:
    centres: NDArray[np.float64] = np.argmax(mel_filters(), axis=1) * LINE_HZ
    return centres


def test_a_second_has_a_hundred_frames_of_eighty_bands() -> None:
    assert log_mel(tone(440.0)).shape == (BANDS, 100)
    assert log_mel(tone(440.0)).dtype == np.float32
    assert log_mel(tone(440.0, 8.0)).shape == (BANDS, 800)


def test_filters_are_linear_below_one_kilohertz_and_logarithmic_above() -> None:
    centres = centres_hz()
    low = centres[(centres > 100) & (centres < 900)]
    assert np.diff(low).mean() == pytest.approx(37.2, abs=2.0)
    high = centres[centres > 2000]
    ratios = high[1:] / high[:-1]
    assert ratios.mean() == pytest.approx(ratios[-5:].mean(), abs=0.01)


def test_every_filter_has_the_same_area() -> None:
    areas = mel_filters().sum(axis=1)[30:] * LINE_HZ
    assert areas == pytest.approx(np.ones(BANDS - 30), abs=0.1)


def test_filters_are_shared_and_so_not_to_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        mel_filters()[0, 0] = 1.0


@pytest.mark.parametrize("hz", [300.0, 1000.0, 3000.0])
def test_a_tone_stands_in_its_band(hz: float) -> None:
    loudest = int(np.argmax(log_mel(tone(hz))[:, 50]))
    assert centres_hz()[loudest] == pytest.approx(hz, rel=0.08)


def test_ten_times_the_level_is_half_a_unit() -> None:
    quiet, loud = log_mel(0.01 * tone(1000.0)), log_mel(0.1 * tone(1000.0))
    assert loud.max() - quiet.max() == pytest.approx(0.5, abs=1e-4)


def test_nothing_lies_more_than_two_units_below_the_loudest() -> None:
    features = log_mel(tone(1000.0))
    assert features.max() - features.min() == pytest.approx(2.0, abs=1e-5)
    assert log_mel(np.zeros(1600, np.float32)) == pytest.approx(-1.5)


def test_frames_are_centred_on_their_time() -> None:
    click = np.zeros(RATE_HZ, np.float32)
    click[8000] = 1.0
    energy = log_mel(click).sum(axis=0)
    assert int(np.argmax(energy)) == 50
