from __future__ import annotations

from services.agent.providers.base import Final, Partial
from services.agent.providers.livekit.utterances import Utterances


def book() -> Utterances:
    return Utterances(final_s=2.0, quiet_s=1.0)


def final(text: str, confidence: float = 0.9) -> Final:
    return Final(text, bool(text), confidence)


def test_pieces_settled_while_one_speaks_make_one_final() -> None:
    heard = book()
    heard.begin(0.0)
    assert heard.on_words("I would", 0.0, False, 0.1) == [Partial("I would")]
    assert heard.on_words("I would like", 0.8, True, 0.2) == [Partial("I would like", True)]
    assert heard.on_words("a table", 0.0, False, 0.4) == [Partial("I would like a table")]
    assert heard.end(1.0) == []
    assert heard.on_words("a table", 1.0, True, 1.1) == [final("I would like a table")]
    assert not heard.is_waiting


def test_a_speaker_known_to_have_ended_is_not_waited_for() -> None:
    heard = book()
    heard.begin(0.0)
    heard.on_words("yes", 0.9, True, 0.3)
    assert heard.on_speech_end() == [Partial("yes", is_settled=True, is_end=True)]
    assert heard.end(0.6) == [final("yes")]


def test_a_speaker_who_went_on_is_waited_for_again() -> None:
    heard = book()
    heard.begin(0.0)
    heard.on_words("yes", 0.9, True, 0.3)
    heard.on_speech_end()
    heard.on_words("but", 0.0, False, 0.8)
    assert heard.end(1.0) == []
    assert heard.on_words("but no", 0.9, True, 1.1) == [final("yes but no")]


def test_an_end_without_a_beginning_understands_nothing_and_keeps_its_place() -> None:
    heard = book()
    heard.begin(0.0)
    heard.on_words("one", 0.0, False, 0.1)
    assert heard.end(0.5) == []
    assert heard.end(0.6) == []
    assert heard.on_words("one", 0.9, True, 0.7) == [final("one"), final("", 0.0)]


def test_a_speech_end_completes_only_what_has_words() -> None:
    heard = book()
    for _ in range(2):
        heard.begin(0.0)
        heard.end(0.0)
    assert heard.on_words("first", 0.9, True, 0.1) == [final("first")]
    assert heard.on_speech_end() == []  # of the first, not of the second
    assert heard.on_words("second", 0.9, True, 0.2) == [final("second")]


def test_time_that_is_up_settles_a_guess_and_its_late_words_are_no_one_elses() -> None:
    heard = book()
    heard.begin(0.0)
    heard.on_words("hallo", 0.0, False, 0.1)
    heard.end(1.0)
    assert heard.due_s == 3.0
    assert heard.on_time(2.9) == []
    assert heard.on_time(3.0) == [final("hallo", 1.0)]
    assert heard.due_s is None
    assert heard.on_words("hello", 0.9, True, 3.2) == []
    heard.begin(4.0)
    assert heard.on_words("goodbye", 0.9, True, 4.1) == [Partial("goodbye", True)]


def test_where_nothing_was_heard_less_is_waited() -> None:
    heard = book()
    heard.begin(0.0)
    heard.end(0.5)
    assert heard.on_time(1.5) == [final("", 0.0)]


def test_speech_that_the_recogniser_hears_is_waited_for_longer() -> None:
    heard = book()
    heard.begin(0.0)
    heard.on_speech_start(0.1)
    heard.end(0.5)
    assert heard.on_time(2.4) == []
    assert heard.on_words("yes", 0.9, True, 2.4) == [final("yes")]


def test_words_before_the_beginning_belong_to_it_unless_they_are_old() -> None:
    for age_s, text in ((0.5, "well then"), (5.0, "then")):
        heard = book()
        heard.on_words("well", 0.9, True, 10.0)
        heard.begin(10.0 + age_s)
        heard.begin(10.0 + age_s)
        heard.end(11.0 + age_s)
        assert heard.on_words("then", 0.9, True, 11.1 + age_s) == [final(text)]


def test_a_guess_is_no_reason_to_believe_the_speaker_settled() -> None:
    heard = book()
    heard.begin(0.0)
    heard.on_words("perhaps", 0.0, False, 0.1)
    assert heard.on_speech_end() == [Partial("perhaps", is_end=True)]
    assert heard.end(0.5) == []
    assert heard.is_in_hand
    assert heard.on_words("", 0.0, True, 0.6) == [final("", 0.0)]


def test_a_speech_end_after_ours_settles_what_was_heard() -> None:
    heard = book()
    heard.begin(0.0)
    heard.on_words("yes", 0.9, True, 0.1)
    assert heard.end(0.3) == []
    assert heard.on_speech_end() == [final("yes")]
