"""Mu-law, against the standard written out a second time."""

from __future__ import annotations

import importlib.util
import warnings
from bisect import bisect_right
from functools import cache

import numpy as np
import pytest

from shared.audio.errors import WrongSamples
from shared.audio.g711 import decode_ulaw, encode_ulaw

ALL_SAMPLES = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)
ALL_CODES = bytes(range(256))


@cache
def decision_values() -> tuple[int, ...]:
    """G.711 table 2a, column 3: 0, then 1, 3 ... 31 in steps of 2, and seven doubling segments.

    In units of the 14-bit scale; sixteen intervals a segment, the last of segment eight ending at
    the virtual decision value 8159.
    """
    values = [0, *range(1, 31, 2)]
    edge = 31
    for segment in range(1, 8):
        step = 2 ** (segment + 1)
        values += [edge + step * interval for interval in range(16)]
        edge += 16 * step
    assert edge == 8159
    assert len(values) == 128
    return tuple(values)


@cache
def quantized_values() -> tuple[int, ...]:
    """Column 6: nought for the first interval, else the middle of the interval."""
    bounds = (*decision_values(), 8159)
    return (0, *((bounds[n] + bounds[n + 1]) // 2 for n in range(1, 128)))


def reference_code(sample: int) -> int:
    """Clause 3: the interval of the sample's magnitude, as the character signal sent.

    Column 5 counts the character signals down from 1111 1111 for the smallest positive value;
    table 2b does the same for negative values from 0111 1111. A 16-bit sample is four times as
    fine as the table's scale.
    """
    interval = bisect_right(decision_values(), abs(sample), key=lambda value: 4 * value) - 1
    return (0x7F if sample < 0 else 0xFF) - interval


def reference_sample(code: int) -> int:
    interval = 0x7F - (code & 0x7F)
    value = 4 * quantized_values()[interval]
    return value if code & 0x80 else -value


def test_all_65536_samples_get_the_code_of_the_standard() -> None:
    wanted = bytes(reference_code(int(sample)) for sample in ALL_SAMPLES)
    assert encode_ulaw(ALL_SAMPLES) == wanted


def test_all_256_codes_get_the_value_of_the_standard() -> None:
    decoded = decode_ulaw(ALL_CODES)
    assert decoded.dtype == np.int16
    assert decoded.tolist() == [reference_sample(code) for code in range(256)]


def test_the_extremes_are_the_standards() -> None:
    assert decode_ulaw(b"\x00\x80\xff\x7f").tolist() == [-32124, 32124, 0, 0]
    extremes = np.array([32767, 32635, -32635, -32768, 0, -1, 3, 4], np.int16)
    assert encode_ulaw(extremes) == b"\x80\x80\x00\x00\xff\x7f\xff\xfe"


def test_decoding_and_encoding_again_gives_every_code_but_negative_nought() -> None:
    again = encode_ulaw(decode_ulaw(ALL_CODES))
    assert [code for code in range(256) if again[code] != code] == [0x7F]
    assert again[0x7F] == 0xFF


def test_no_sample_is_further_from_its_value_than_half_an_interval() -> None:
    samples = ALL_SAMPLES.astype(np.int32)
    unclipped = np.abs(samples) <= 32635
    error = np.abs(decode_ulaw(encode_ulaw(ALL_SAMPLES)).astype(np.int32) - samples)[unclipped]
    half = np.maximum(4, 2 ** np.floor(np.log2(np.abs(samples[unclipped]) + 132) - 5))
    assert bool((error <= half).all())


def test_a_tone_at_full_scale_keeps_its_37_decibels() -> None:
    tone = np.sin(2 * np.pi * 1004 * np.arange(8000) / 8000) * 32_000
    noise = decode_ulaw(encode_ulaw(tone.astype(np.int16))) - tone
    assert 10 * np.log10(np.mean(tone**2) / np.mean(noise**2)) > 37


if importlib.util.find_spec("audioop"):  # gone from Python 3.13

    def test_audioop_agrees_wherever_it_does_not_round_first() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import audioop
        theirs = audioop.lin2ulaw(ALL_SAMPLES.astype("<i2").tobytes(), 2)
        ours = encode_ulaw(ALL_SAMPLES)
        assert audioop.ulaw2lin(ALL_CODES, 2) == decode_ulaw(ALL_CODES).astype("<i2").tobytes()
        # It shifts to 14 bits first, which rounds negative samples away from nought.
        is_exact_at_14_bits = (ALL_SAMPLES >= 0) | (ALL_SAMPLES % 4 == 0)
        same = np.frombuffer(theirs, np.uint8) == np.frombuffer(ours, np.uint8)
        assert bool(same[is_exact_at_14_bits].all())
        shifted = (ALL_SAMPLES >> 2 << 2).astype(np.int16)
        assert theirs == encode_ulaw(shifted)


def test_nothing_gives_nothing() -> None:
    assert encode_ulaw(np.zeros(0, np.int16)) == b""
    assert decode_ulaw(b"").tolist() == []


def test_every_kind_of_buffer_is_decoded_into_samples_of_its_own() -> None:
    data = bytearray(b"\x00\x80")
    for buffer in (bytes(data), data, memoryview(data)):
        decoded = decode_ulaw(buffer)
        decoded[0] = 1
    assert data == b"\x00\x80"


def test_samples_with_gaps_in_memory_are_encoded() -> None:
    assert encode_ulaw(ALL_SAMPLES[::7]) == encode_ulaw(ALL_SAMPLES)[::7]


@pytest.mark.parametrize(
    "pcm", [np.zeros(4, np.float32), np.zeros(4, np.int32), np.zeros((2, 2), np.int16)]
)
def test_other_samples_are_refused_not_converted(pcm: np.ndarray) -> None:
    with pytest.raises(WrongSamples):
        encode_ulaw(pcm)


def test_a_big_endian_array_is_refused_rather_than_misread() -> None:
    with pytest.raises(WrongSamples):
        encode_ulaw(np.array([1000], ">i2"))
