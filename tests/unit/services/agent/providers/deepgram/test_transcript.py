"""Which of Deepgram's words belong to which utterance, and when an utterance is settled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.agent.providers.base import Final, Partial, TranscriberEvent, TranscriberFailed
from services.agent.providers.deepgram.transcript import Result, Transcript, Word
from services.agent.providers.errors import FailureCause

NOTHING = Final("", is_understood=False, confidence=0.0)


def words(text: str, start_s: float, *, each_s: float = 0.3, confidence: float = 0.9) -> list[Word]:
    return [
        Word(word, start_s + n * each_s, start_s + (n + 1) * each_s, confidence)
        for n, word in enumerate(text.split())
    ]


def result(
    start_s: float, end_s: float, heard: list[Word] | None = None, *, kind: str = "final"
) -> Result:
    return Result(
        start_s,
        end_s,
        tuple(heard or ()),
        is_final=kind != "interim",
        is_speech_final=kind == "speech_final",
        is_from_finalize=kind == "finalize",
    )


def transcript() -> Transcript:
    return Transcript(least_confidence=0.3, final_wait_s=1.5)


def finals(events: list[TranscriberEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, Final)]


def test_a_results_times_are_moved_to_the_calls() -> None:
    assert result(0, 1, words("yes", 0.5)).moved(2.0) == result(2, 3, words("yes", 2.5))


def test_partials_hold_the_whole_utterance_so_far() -> None:
    script = transcript()
    script.begin(1.0)
    assert script.on_result(result(0, 1.2, words("I want", 0.9), kind="interim")) == [
        Partial("I want")
    ]
    assert script.on_result(result(0, 1.6, words("I want", 0.9))) == [
        Partial("I want", is_settled=True)
    ]
    assert script.on_result(result(1.6, 2.2, words("an apple", 1.7), kind="interim")) == [
        Partial("I want an apple")
    ]
    assert script.on_result(result(1.6, 2.8, words("an apple.", 1.7), kind="speech_final")) == [
        Partial("I want an apple.", is_settled=True, is_end=True)
    ]


def test_the_same_partial_is_not_told_twice() -> None:
    script = transcript()
    script.begin(1.0)
    heard = result(0, 1.2, words("yes", 0.9), kind="interim")
    assert script.on_result(heard)
    assert script.on_result(heard) == []
    assert script.on_result(result(0, 1.3, kind="interim")) == []


def test_an_utterance_that_is_settled_ends_at_once() -> None:
    script = transcript()
    script.begin(1.0)
    script.on_result(result(0, 1.9, words("yes please", 0.9), kind="speech_final"))
    (final,) = script.end(2.1, 1.6, now_s=0.0)
    assert isinstance(final, Final)
    assert (final.text, final.is_understood) == ("yes please", True)
    assert script.is_idle
    assert script.due_s is None


def test_sound_after_what_is_settled_is_waited_for() -> None:
    script = transcript()
    script.begin(1.0)
    script.on_result(result(0, 1.4, words("yes", 0.9)))
    assert script.end(2.4, 2.0, now_s=10.0) == []
    assert script.owed() == [2.4]
    assert script.due_s == 11.5
    events = script.on_result(result(1.4, 2.4, words("please", 1.6), kind="finalize"), 2.4)
    assert finals(events) == ["yes please"]


def test_interim_words_are_waited_for_even_without_sound() -> None:
    script = transcript()
    script.begin(1.0)
    script.on_result(result(0, 1.4, words("yes", 0.9)))
    script.on_result(result(1.4, 1.8, words("no", 1.5), kind="interim"))
    assert script.end(2.4, 1.4, now_s=0.0) == []
    assert finals(script.on_result(result(1.4, 2.4, words("no", 1.5)))) == ["yes no"]


def test_an_answer_to_finalize_settles_whatever_its_times_say() -> None:
    script = transcript()
    script.begin(1.0)
    assert script.end(2.4, 2.3, now_s=0.0) == []
    events = script.on_result(result(0, 1.2, kind="finalize"), 2.4)
    assert events == [NOTHING]


def test_an_older_finalize_does_not_settle_a_later_utterance() -> None:
    script = transcript()
    script.begin(1.0)
    script.end(2.0, 1.9, now_s=0.0)
    script.begin(3.0)
    script.end(4.0, 3.9, now_s=0.0)
    assert len(script.on_result(result(0, 1.2, kind="finalize"), 2.0)) == 1
    assert script.owed() == [4.0]


def test_words_long_before_the_beginning_belong_to_nobody() -> None:
    script = transcript()
    script.on_result(result(0, 1.0, words("hm", 0.4)))
    script.begin(3.0)
    script.on_result(result(1.0, 3.9, words("hello", 2.6)))
    assert finals(script.end(4.0, 3.3, now_s=0.0)) == ["hello"]


def test_words_just_before_the_beginning_are_kept() -> None:
    script = transcript()
    script.on_result(result(0, 1.0, words("hello", 0.6)))
    script.begin(1.2)
    assert finals(script.end(1.5, 0.9, now_s=0.0)) == ["hello"]


def test_partials_before_the_beginning_hold_recent_words_only() -> None:
    script = transcript()
    assert script.on_result(result(0, 1.0, words("old", 0.4))) == [Partial("old", is_settled=True)]
    assert script.on_result(result(1.0, 4.0, words("new", 3.6))) == [
        Partial("new", is_settled=True)
    ]
    script.on_result(result(4.0, 20.0))
    assert script.on_result(result(20.0, 21.0, words("now", 20.5))) == [
        Partial("now", is_settled=True)
    ]


def test_late_words_of_a_closed_utterance_are_dropped() -> None:
    script = transcript()
    script.begin(1.0)
    script.end(2.0, 1.9, now_s=0.0)
    script.on_result(result(0, 0.8, words("hm", 0.5)))
    assert finals(script.on_time(1.5)) == ["hm"]
    script.begin(2.2)
    script.on_result(result(0.8, 2.9, words("late now", 1.3, each_s=0.8)))
    assert finals(script.end(3.0, 2.8, now_s=2.0)) == ["now"]


def test_what_there_is_comes_when_time_is_up() -> None:
    script = transcript()
    script.begin(1.0)
    script.on_result(result(0, 1.4, words("yes", 0.9), kind="interim"))
    script.end(2.0, 1.9, now_s=0.0)
    assert script.on_time(1.4) == []
    assert finals(script.on_time(1.5)) == ["yes"]


def test_an_utterance_of_which_nothing_was_heard_in_time_is_lost() -> None:
    script = transcript()
    script.begin(1.0)
    script.end(2.0, 1.9, now_s=0.0)
    (lost,) = script.on_time(1.5)
    assert lost == TranscriberFailed("no words in time", True, FailureCause.TIMEOUT)
    script.begin(3.0)
    script.on_result(result(0, 2.8))
    script.end(4.0, 3.9, now_s=3.0)
    assert script.on_time(5.0) == [NOTHING]


def test_an_end_without_a_beginning_is_empty_and_takes_no_words() -> None:
    script = transcript()
    script.on_result(result(0, 1.0, words("hello", 0.6)))
    assert script.end(1.1, 0.9, now_s=0.0) == [NOTHING]
    script.begin(1.2)
    assert finals(script.end(1.5, 0.9, now_s=0.0)) == ["hello"]


def test_finals_keep_their_order_when_a_later_one_is_settled_first() -> None:
    script = transcript()
    script.begin(1.0)
    script.end(2.0, 1.9, now_s=0.0)
    assert script.end(2.1, 1.9, now_s=0.0) == []
    events = script.on_result(result(0, 2.2, words("one", 1.2)))
    assert finals(events) == ["one", ""]


def test_little_confidence_is_not_understood() -> None:
    script = transcript()
    script.begin(1.0)
    script.on_result(result(0, 2.0, words("mumble", 1.0, confidence=0.2)))
    (final,) = script.end(2.0, 1.3, now_s=0.0)
    assert isinstance(final, Final)
    assert (final.text, final.is_understood) == ("mumble", False)


def test_the_gap_between_words_is_an_end() -> None:
    script = transcript()
    script.begin(1.0)
    script.on_result(result(0, 2.0, words("yes", 0.9)))
    assert script.on_utterance_end(2.5) == [Partial("yes", is_settled=True, is_end=True)]


def test_after_a_lost_socket_audio_is_wanted_from_what_was_not_settled() -> None:
    script = transcript()
    assert script.wanted_from_s(9.0) == 8.0
    script.begin(9.0)
    assert script.wanted_from_s(9.4) == 8.5
    script.on_result(result(0, 9.2, words("one", 8.9)))
    script.on_result(result(9.2, 9.6, words("tw", 9.3), kind="interim"))
    script.on_lost()
    assert script.wanted_from_s(9.8) == 9.0
    again = result(9.0, 9.9, [*words("one", 8.95), *words("two three", 9.3)])
    script.on_result(again)
    assert finals(script.end(10.0, 9.8, now_s=0.0)) == ["one two three"]


def test_a_second_beginning_changes_nothing() -> None:
    script = transcript()
    script.begin(1.0)
    script.begin(5.0)
    script.on_result(result(0, 6.0, words("one", 1.0)))
    assert finals(script.end(6.0, 1.4, now_s=0.0)) == ["one"]


def test_an_utterance_that_follows_at_once_begins_where_the_last_one_ended() -> None:
    script = transcript()
    script.begin(1.0)
    script.end(2.0, 1.9, now_s=0.0)
    script.begin(2.1)
    script.end(3.0, 2.9, now_s=0.0)
    events = script.on_result(result(0, 3.0, [*words("one", 1.5), *words("two", 2.2)]))
    assert finals(events) == ["one", "two"]


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
    st.lists(st.floats(0.05, 1.5), max_size=60),
    st.lists(st.sampled_from(["interim", "final", "lost"]), max_size=60),
)
def test_however_results_are_cut_each_utterance_gets_its_words(
    sizes: list[int], spans: list[float], kinds: list[str]
) -> None:
    """Words are told when their end has been heard; a final settles up to the last of them."""
    said: list[list[Word]] = []
    at_s = 1.0
    for number, size in enumerate(sizes):
        said.append(words(" ".join(f"{number}-{n}" for n in range(size)), at_s))
        at_s = said[-1][-1].end_s + 1.2
    every = [word for utterance in said for word in utterance]
    script, got, settled_s, now_s = transcript(), list[str](), 0.0, 0.0

    def hear(until_s: float, kind: str) -> list[TranscriberEvent]:
        nonlocal settled_s
        known = [w for w in every if w.end_s <= until_s and w.middle_s >= settled_s]
        events = script.on_result(result(settled_s, until_s, known, kind=kind))
        if kind != "interim":
            settled_s = until_s
        return events

    steps = iter(zip(spans, kinds, strict=False))
    for utterance in said:
        script.begin(utterance[0].start_s + 0.1)
        end_s = utterance[-1].end_s + 0.3
        for span_s, kind in steps:
            now_s = min(now_s + span_s, end_s)
            if kind == "lost":
                script.on_lost()
                settled_s = min(settled_s, script.wanted_from_s(now_s))
                continue
            ends = [w.end_s for w in every if w.end_s <= now_s]
            until_s = now_s if kind == "interim" else max([settled_s, *ends])
            got += finals(hear(until_s, kind))
            if now_s >= end_s:
                break
        got += finals(script.end(end_s, end_s, now_s=0.0))
        now_s = end_s
        got += finals(hear(end_s, "finalize"))
    assert got == [" ".join(word.text for word in utterance) for utterance in said]


def heard_in_part() -> Transcript:
    transcript = Transcript(least_confidence=0.3, final_wait_s=1.5)
    transcript.begin(1.0)
    words = (Word("How", 1.0, 1.2, 0.9), Word("does", 1.2, 1.4, 0.9))
    transcript.on_result(
        Result(0.0, 1.5, words, is_final=False, is_speech_final=False, is_from_finalize=False)
    )
    transcript.end(3.0, 2.4, now_s=10.0)
    return transcript


def test_words_that_were_not_settled_in_time_are_what_was_heard() -> None:
    (event,) = heard_in_part().on_time(11.5)
    assert isinstance(event, Final)
    assert event.text == "How does"


def test_a_part_is_not_taken_for_the_whole_when_the_socket_has_fallen_silent() -> None:
    # "How does" was answered where "How does this work?" had been said.
    (event,) = heard_in_part().on_time(11.5, is_silent=True)
    assert event == TranscriberFailed("no words in time", True, FailureCause.TIMEOUT)
