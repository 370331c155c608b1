"""A sentence as audio: its frames, its last sound, its words as far as they were heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.turn.spoken import Sentence, heard_text

LOUD, FAINT, SILENT = b"\x80", b"\xf0", b"\xff"
FRAME = 160


def sentence(audio: bytes, text: str = "one two three", *, is_complete: bool = True) -> Sentence:
    return Sentence("s1", 1, text, audio=bytearray(audio), is_complete=is_complete)


def test_its_last_frame_is_filled_up_with_silence() -> None:
    one = sentence(LOUD * 200)
    assert one.take_frame() == LOUD * FRAME
    assert one.take_frame() == LOUD * 40 + SILENT * 120
    assert one.take_frame() is None
    assert one.sent == 200


def test_what_may_go_on_gives_whole_frames_alone() -> None:
    one = sentence(LOUD * 200, is_complete=False)
    assert one.take_frame() == LOUD * FRAME
    assert one.take_frame() is None
    assert one.sent == FRAME


def test_the_silence_at_its_end_is_no_part_of_its_sound() -> None:
    assert sentence(LOUD * 300 + FAINT * 100 + SILENT * 100).sound_bytes == 300
    assert sentence(LOUD * 300).sound_bytes == 300
    assert sentence(SILENT * 300).sound_bytes == 0


def test_a_pause_at_its_end_counts_up_to_a_second() -> None:
    assert sentence(LOUD * 10 + SILENT * 20_000).sound_bytes == 10 + 20_000 - 8000


def test_while_it_is_made_its_length_is_guessed_from_its_text() -> None:
    one = sentence(LOUD * 800, "x" * 30, is_complete=False)
    assert one.expected_bytes == 16_000
    one.is_complete = True
    assert one.expected_bytes == 800
    assert sentence(LOUD * 20_000, "x", is_complete=False).expected_bytes == 20_000


def test_it_was_sent_when_its_checkpoint_was_too() -> None:
    one = sentence(LOUD * FRAME)
    one.take_frame()
    assert not one.is_sent
    one.checkpoint = "s1#1"
    assert one.is_sent
    assert one.heard_s == 0.02


@pytest.mark.parametrize(
    ("count", "text"), [(0, ""), (300, "one"), (700, "one two"), (1300, "one two three")]
)
def test_its_words_are_cut_where_its_audio_was(count: int, text: str) -> None:
    assert sentence(LOUD * 1300).text_of(count) == text


def test_a_sentence_without_audio_or_text_has_no_words() -> None:
    assert sentence(b"", "").text_of(0) == ""


@given(st.text(alphabet="ab c.", max_size=60), st.floats(0, 1))
def test_heard_text_is_a_prefix_of_whole_words(text: str, fraction: float) -> None:
    heard = heard_text(text, fraction)
    assert text.strip().startswith(heard)
    rest = text.strip()[len(heard) :]
    assert rest == "" or heard == "" or rest[0] == " "


def test_it_goes_on_where_the_word_that_was_cut_began() -> None:
    one = sentence(LOUD * FRAME * 10 + FAINT * FRAME + LOUD * FRAME * 20)
    one.skipped = one.sent = FRAME * 20
    one.rewind_to_word()
    assert (one.skipped, one.sent) == (FRAME * 10, FRAME * 10)


def test_it_looks_no_further_back_than_half_a_second() -> None:
    one = sentence(FAINT * FRAME + LOUD * FRAME * 60)
    one.skipped = one.sent = FRAME * 40
    one.rewind_to_word()
    assert one.skipped >= FRAME * 15


def test_a_word_cut_in_its_first_frame_is_said_from_its_beginning() -> None:
    one = sentence(LOUD * FRAME * 5)
    one.skipped = one.sent = FRAME - 1
    one.rewind_to_word()
    assert (one.skipped, one.sent) == (0, 0)


def test_what_was_heard_whole_is_not_begun_again() -> None:
    one = sentence(LOUD * FRAME * 5)
    one.skipped = one.sent = FRAME * 5
    one.rewind_to_word()
    assert (one.skipped, one.sent) == (FRAME * 5, FRAME * 5)
