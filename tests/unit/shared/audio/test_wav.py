"""WAV files of every kind that a user may have, and of kinds that nobody should."""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audio.errors import AudioError, UnusableWav, WrongSamples
from shared.audio.g711 import encode_ulaw
from shared.audio.wav import parse_wav, read_wav, wav_bytes, write_wav

SAMPLES = np.array([0, 1, -1, 256, -256, 12345, 32767, -32768], np.int16)


def wav(
    kind: int,
    bits: int,
    body: bytes,
    *,
    channels: int = 1,
    rate_hz: int = 16000,
    length: int | None = None,
    extra: bytes = b"",
) -> bytes:
    width = bits // 8 * channels
    form = struct.pack("<HHIIHH", kind, channels, rate_hz, rate_hz * width, width, bits) + extra
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"LIST" + struct.pack("<I", 3) + b"abc\0"  # an odd chunk and its filler
    chunks += b"data" + struct.pack("<I", len(body) if length is None else length) + body
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_wav(tmp_path / "mono.wav", SAMPLES, 22050)
    pcm, rate_hz = read_wav(tmp_path / "mono.wav")
    assert pcm.dtype == np.int16
    assert (pcm.tolist(), rate_hz) == (SAMPLES.tolist(), 22050)


def test_two_sides_are_written_as_stereo_and_read_as_their_middle(tmp_path: Path) -> None:
    sides = np.stack([SAMPLES, np.zeros_like(SAMPLES)], axis=1)
    write_wav(tmp_path / "stereo.wav", sides, 8000)
    pcm, _ = read_wav(tmp_path / "stereo.wav")
    assert pcm.tolist() == np.rint(SAMPLES / 2).astype(int).tolist()


def test_every_sample_width_is_read() -> None:
    wide = SAMPLES.astype(np.int32)
    triples = b"".join(struct.pack("<i", int(v) << 8)[:3] for v in wide)
    for data in (
        wav(1, 16, SAMPLES.astype("<i2").tobytes()),
        wav(1, 24, triples),
        wav(1, 32, (wide << 16).astype("<i4").tobytes()),
        wav(3, 32, (SAMPLES / 32768).astype("<f4").tobytes()),
        wav(3, 64, (SAMPLES / 32768).astype("<f8").tobytes()),
        wav(0xFFFE, 16, SAMPLES.astype("<i2").tobytes(), extra=bytes(8) + b"\x01\x00" + bytes(14)),
    ):
        pcm, rate_hz = parse_wav(data)
        assert (pcm.tolist(), rate_hz) == (SAMPLES.tolist(), 16000)


def test_eight_bits_are_unsigned() -> None:
    assert parse_wav(wav(1, 8, b"\x80\x00\xff"))[0].tolist() == [0, -32768, 32512]


def test_mu_law_is_decoded() -> None:
    assert parse_wav(wav(7, 8, encode_ulaw(SAMPLES)))[0].tolist()[5] == 12412


def test_floats_that_are_no_numbers_or_too_loud_are_tamed() -> None:
    body = np.array([np.nan, np.inf, -np.inf, 2.0], "<f4").tobytes()
    assert parse_wav(wav(3, 32, body))[0].tolist() == [0, 32767, -32768, 32767]


@pytest.mark.parametrize("length", [0xFFFFFFFF, 1000])
def test_a_file_cut_short_or_of_unknown_length_is_read_as_far_as_it_goes(length: int) -> None:
    body = SAMPLES.astype("<i2").tobytes()
    assert parse_wav(wav(1, 16, body, length=length))[0].tolist() == SAMPLES.tolist()
    assert parse_wav(wav(1, 16, body[:-1], length=length))[0].tolist() == SAMPLES[:-1].tolist()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not a WAV"),
        (b"ID3" + bytes(100), "not a WAV"),
        (b"RIFF\0\0\0\0WAVE", "no format"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "before their format"),
        (wav(1, 16, b"")[:36], "no samples"),
        (wav(2, 4, b""), "kind 2"),
        (wav(1, 12, b"\0\0"), "12 bits"),
        (wav(3, 16, b"\0\0"), "16 bits"),
        (wav(1, 16, b"", channels=0), "0 channels"),
        (wav(1, 16, b"", channels=99), "99 channels"),
        (wav(1, 16, b"", rate_hz=1), "at 1 Hz"),
    ],
    ids=range(11),
)
def test_what_is_not_readable_says_why(data: bytes, problem: str) -> None:
    with pytest.raises(UnusableWav, match=problem):
        parse_wav(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_as_ours(data: bytes) -> None:
    for candidate in (data, b"RIFF\0\0\0\0WAVE" + data, wav(1, 16, data) + data):
        try:
            parse_wav(candidate)
        except AudioError:
            continue


@given(st.binary(min_size=16, max_size=60), st.binary(max_size=64))
def test_any_format_chunk_is_read_or_refused_as_ours(form: bytes, body: bytes) -> None:
    data = b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", len(form)) + form + bytes(len(form) % 2)
    try:
        parse_wav(data + b"data" + struct.pack("<I", len(body)) + body)
    except AudioError:
        return


def test_other_samples_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(WrongSamples):
        write_wav(tmp_path / "x.wav", np.zeros(4), 8000)  # type: ignore[arg-type] # the point


@given(st.lists(st.integers(-32768, 32767), max_size=50))
def test_what_is_written_in_memory_is_what_is_read(samples: list[int]) -> None:
    pcm = np.array(samples, np.int16)
    read, rate_hz = parse_wav(wav_bytes(pcm, 8000))
    np.testing.assert_array_equal(read, pcm)
    assert rate_hz == 8000
    with wave.open(io.BytesIO(wav_bytes(pcm, 8000))) as file:
        shape = (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes())
    assert shape == (1, 2, 8000, len(pcm))
