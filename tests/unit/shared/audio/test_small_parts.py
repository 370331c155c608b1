"""Formats, framing, jitter, level."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audio.errors import AudioError, WrongSamples
from shared.audio.format import FRAME_BYTES, FRAME_S, PHONE, SILENCE, AudioFormat, Encoding
from shared.audio.framing import Framer
from shared.audio.g711 import decode_ulaw
from shared.audio.jitter import InterarrivalJitter
from shared.audio.level import SILENCE_DBFS, level_dbfs


def test_the_phones_frame_is_160_bytes_of_20_milliseconds() -> None:
    assert (PHONE.frame_bytes, PHONE.frame_samples) == (FRAME_BYTES, 160)
    assert PHONE.seconds(FRAME_BYTES) == FRAME_S
    assert PHONE.bytes(0.1) == PHONE.samples(0.1) == 800


@pytest.mark.parametrize(
    ("rate_hz", "encoding", "frame_bytes"),
    [
        (8000, Encoding.MULAW, 160),
        (8000, Encoding.L16, 320),
        (16000, Encoding.L16, 640),
        (24000, Encoding.L16, 960),
        (22050, Encoding.L16, 882),
    ],
)
def test_frames_of_every_format_have_the_documented_size(
    rate_hz: int, encoding: Encoding, frame_bytes: int
) -> None:
    audio = AudioFormat(rate_hz, encoding)
    assert audio.frame_bytes == frame_bytes
    assert audio.seconds(frame_bytes) == FRAME_S
    assert audio.seconds_of(audio.frame_samples) == FRAME_S


def test_silence_is_silent_in_either_encoding() -> None:
    quiet = PHONE.silence(FRAME_S)
    assert quiet == bytes([SILENCE]) * 160
    assert not decode_ulaw(quiet).any()
    assert AudioFormat(16000, Encoding.L16).silence(FRAME_S) == bytes(640)


@pytest.mark.parametrize("rate_hz", [0, -8000, 100, 8001, 200_000])
def test_rates_without_whole_frames_are_refused(rate_hz: int) -> None:
    with pytest.raises(AudioError):
        AudioFormat(rate_hz)


# --- framing ------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=700)))
def test_framing_loses_and_adds_nothing_but_the_last_frames_silence(pieces: list[bytes]) -> None:
    framer = Framer()
    frames = [frame for piece in pieces for frame in framer.push(piece)]
    assert framer.rest_bytes < 160
    last = framer.flush()
    frames += [last] if last is not None else []
    data = b"".join(pieces)
    assert all(len(frame) == 160 for frame in frames)
    assert len(frames) == math.ceil(len(data) / 160)
    assert b"".join(frames) == data.ljust(len(frames) * 160, b"\xff")
    assert framer.flush() is None


def test_the_first_frame_comes_as_soon_as_it_is_whole() -> None:
    framer = Framer()
    assert framer.push(b"a" * 159) == []
    assert framer.push(b"b") == [b"a" * 159 + b"b"]


def test_what_waits_can_be_thrown_away() -> None:
    framer = Framer()
    framer.push(b"old")
    framer.clear()
    assert framer.push(bytes(160)) == [bytes(160)]


def test_frames_of_another_size_are_filled_with_another_silence() -> None:
    framer = Framer(4, filler=0)
    assert framer.push(b"abcdef") == [b"abcd"]
    assert framer.flush() == b"ef\0\0"


def test_a_frame_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Framer(0)


# --- jitter -------------------------------------------------------------------------------------


def test_even_arrival_has_no_jitter() -> None:
    jitter = InterarrivalJitter()
    values = [jitter.update(100.3 + n * 0.02, 7.0 + n * 0.02) for n in range(100)]
    assert max(values) < 1e-9


def test_jitter_follows_the_rfcs_formula() -> None:
    """RFC 3550, A.8, worked by hand: transit differences of 10, 10 and 30 ms."""
    jitter = InterarrivalJitter()
    assert jitter.update(0.000, 0.00) == 0
    first = 0.010 / 16
    second = first + (0.010 - first) / 16
    third = second + (0.030 - second) / 16
    assert jitter.update(0.030, 0.02) == pytest.approx(first)
    assert jitter.update(0.040, 0.04) == pytest.approx(second)
    assert jitter.update(0.090, 0.06) == pytest.approx(third)
    assert jitter.jitter_s == pytest.approx(third)


def test_steady_alternation_converges_on_its_size() -> None:
    jitter = InterarrivalJitter()
    for n in range(500):
        jitter.update(n * 0.02 + (0.004 if n % 2 else 0), n * 0.02)
    assert jitter.jitter_s == pytest.approx(0.004, rel=0.01)


def test_new_timestamps_are_no_jitter() -> None:
    jitter = InterarrivalJitter()
    jitter.update(1.0, 5.0)
    jitter.update(1.03, 5.02)
    before = jitter.jitter_s
    jitter.restart()
    assert jitter.update(1.05, 900.0) == before


# --- level --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pcm", "level"),
    [
        (np.full(800, -32768, np.int16), 0.0),
        (np.full(800, 3277, np.int16), -20.0),
        (np.ones(800, np.int16), -90.31),
        (np.zeros(800, np.int16), SILENCE_DBFS),
        (np.zeros(0, np.int16), SILENCE_DBFS),
    ],
)
def test_levels_are_relative_to_the_greatest_amplitude(pcm: np.ndarray, level: float) -> None:
    assert level_dbfs(pcm) == pytest.approx(level, abs=0.01)


def test_a_full_sine_is_three_decibels_below() -> None:
    sine = (np.sin(2 * np.pi * np.arange(8000) / 8) * 32767).astype(np.int16)
    assert level_dbfs(sine) == pytest.approx(-3.01, abs=0.01)


def test_levels_of_other_samples_are_refused() -> None:
    with pytest.raises(WrongSamples):
        level_dbfs(np.zeros(4))  # type: ignore[arg-type] # the point
