from __future__ import annotations

import io
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audio.g711 import decode_ulaw
from shared.recordings.wav import (
    ByteRange,
    UnsatisfiableRange,
    parse_range,
    pcm_of,
    wanted_of,
    wav_bytes,
    wav_header,
)

AUDIO = bytes(range(256)) * 3
SAMPLES = len(AUDIO) // 2
FILE = wav_header(SAMPLES) + pcm_of(AUDIO)


def test_others_can_read_it() -> None:
    with wave.open(io.BytesIO(FILE)) as file:
        assert file.getparams()[:4] == (2, 2, 8000, SAMPLES)
        assert file.readframes(SAMPLES) == decode_ulaw(AUDIO).astype("<i2").tobytes()


def test_its_length_is_known_before_it_is_made() -> None:
    assert wav_bytes(SAMPLES) == len(FILE)


@given(st.integers(0, len(FILE) - 1), st.integers(0, len(FILE) - 1))
def test_any_range_is_what_the_whole_file_has_there(one: int, other: int) -> None:
    span = ByteRange(min(one, other), max(one, other))
    wanted = wanted_of(span, SAMPLES)
    body = pcm_of(AUDIO[wanted.start :][: wanted.length])[wanted.skip :][: wanted.most]
    assert wanted.head + body == FILE[span.first : span.last + 1]
    assert span.length == len(wanted.head) + wanted.most


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", ByteRange(0, 0)),
        ("bytes=0-", ByteRange(0, 99)),
        ("bytes=10-19", ByteRange(10, 19)),
        ("bytes=90-500", ByteRange(90, 99)),
        ("bytes=-1", ByteRange(99, 99)),
        ("bytes=-500", ByteRange(0, 99)),
        (" bytes=5-5 ", ByteRange(5, 5)),
        (None, None),
        ("", None),
        ("bytes=-", None),
        ("bytes=20-10", None),
        ("bytes=0-1,5-6", None),
        ("seconds=0-1", None),
        ("bytes=x", None),
    ],
)
def test_a_range_header_is_read(header: str | None, expected: ByteRange | None) -> None:
    assert parse_range(header, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_can_not_be_satisfied(header: str) -> None:
    with pytest.raises(UnsatisfiableRange):
        parse_range(header, 100)


def test_a_range_says_where_it_is() -> None:
    assert ByteRange(5, 9).content_range(100) == "bytes 5-9/100"
