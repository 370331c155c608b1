from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.speech.speech_record import (
    MOST_BYTES,
    SpeechRecord,
    parse_speech,
    serialize_speech,
    speech_key,
    voice_key,
)


@given(st.binary(min_size=1, max_size=400), st.floats(-90, 0))
def test_what_is_written_can_be_read(ulaw: bytes, level_dbfs: float) -> None:
    record = parse_speech(serialize_speech(SpeechRecord(ulaw, level_dbfs)))
    assert record is not None
    assert record.ulaw == ulaw
    assert record.level_dbfs == pytest.approx(level_dbfs, abs=0.006)


def test_the_largest_record_can_be_read() -> None:
    largest = SpeechRecord(b"\x7f" * MOST_BYTES, -20.0)
    assert parse_speech(serialize_speech(largest)) == largest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-20.0",
        "-20.0 ",
        "x AAAA",
        "nan AAAA",
        "5 AAAA",
        "-20 A",
        "-20 é",
        "-20 " + "A" * 400_000,
    ],
)
def test_what_is_no_record_reads_as_none(text: str) -> None:
    assert parse_speech(text) is None


@given(st.text())
def test_nothing_that_is_read_raises(text: str) -> None:
    parse_speech(text)


def test_a_key_tells_voices_texts_and_beginnings_apart() -> None:
    voices = [
        voice_key("openai", {"voice": "alloy", "speed": 1.0}, "en"),
        voice_key("openai", {"voice": "alloy", "speed": 1.1}, "en"),
        voice_key("openai", {"voice": "alloy", "speed": 1.0}, "hi"),
        voice_key("other", {"voice": "alloy", "speed": 1.0}, "en"),
    ]
    keys = {
        speech_key(voice, text, is_first=is_first)
        for voice in voices
        for text in ("Hello.", "Hello!")
        for is_first in (True, False)
    }
    assert len(keys) == 16
    assert all("Hello" not in key and len(key) == 40 for key in keys)
    same = voice_key("openai", {"speed": 1.0, "voice": "alloy"}, "en")
    assert same == voices[0]
