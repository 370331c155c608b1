from __future__ import annotations

from services.agent.providers.base import Final, Partial
from services.agent.providers.openai.realtime_turns import CallerTurns


def turns(wait_s: float = 0.0, *, is_server_detecting: bool = True) -> CallerTurns:
    return CallerTurns(wait_s, is_server_detecting=is_server_detecting)


def test_a_final_comes_at_once_with_the_words_known_by_then() -> None:
    heard = turns()
    heard.begin()
    heard.on_speech_started()
    heard.on_committed("a")
    assert heard.on_transcript("a", "I would ", False, 0.1) == [Partial("I would")]
    assert heard.on_transcript("a", "like", False, 0.1) == [Partial("I would like")]
    assert heard.end(0.2) == ([Final("I would like", True, 1.0)], None)
    assert heard.on_transcript("a", "I would like tea.", True, 0.3) == []
    assert heard.text_of(heard.last_items) == "I would like tea."


def test_speech_that_the_server_has_not_ended_is_committed_by_us() -> None:
    heard = turns()
    heard.begin()
    heard.on_speech_started()
    assert heard.end(0.0) == ([Final("", True, 1.0)], 1)
    heard.on_committed("a")
    assert heard.last_items == ["a"]
    assert heard.take_unasked() == []


def test_more_speech_after_the_servers_cut_is_committed_too() -> None:
    heard = turns()
    heard.begin()
    heard.on_speech_started()
    heard.on_committed("a")
    heard.on_speech_started()
    assert heard.end(0.0)[1] == 1
    heard.on_committed("b")
    assert heard.last_items == ["a", "b"]


def test_what_the_server_did_not_hear_is_not_understood_unless_it_does_not_listen() -> None:
    for is_server_detecting, understood in ((True, False), (False, True)):
        heard = turns(is_server_detecting=is_server_detecting)
        heard.begin()
        events, _ = heard.end(0.0)
        assert events == [Final("", understood, float(understood))]


def test_speech_that_began_before_we_noticed_counts() -> None:
    heard = turns()
    heard.on_speech_started()
    heard.begin()
    heard.begin()
    assert heard.is_in_hand
    assert heard.end(0.0)[0] == [Final("", True, 1.0)]


def test_an_end_without_a_beginning_understands_nothing() -> None:
    assert turns().end(0.0) == ([Final("", False, 0.0)], None)


def test_a_final_that_waits_comes_with_the_words_or_when_time_is_up() -> None:
    heard = turns(1.0)
    for number in (1, 2):
        heard.begin()
        heard.on_speech_started()
        assert heard.end(0.0) == ([], number)
    heard.on_committed("a")
    heard.on_committed("b")
    assert heard.due_s == 1.0
    assert heard.on_transcript("a", "one", True, 0.5) == [Final("one", True, 1.0)]
    assert heard.on_transcript("a", "more", True, 0.6) == []
    assert heard.on_time(0.9) == []
    assert heard.on_time(1.0) == [Final("", True, 1.0)]
    assert heard.due_s is None


def test_items_of_a_turn_that_waits_go_to_it_before_the_next() -> None:
    heard = turns(1.0)
    heard.begin()
    heard.on_speech_started()
    heard.on_committed("a")
    heard.end(0.0)
    heard.on_committed("late")
    assert heard.on_transcript("late", "two", True, 0.1) == []
    assert heard.on_transcript("a", "one", True, 0.2) == [Final("one two", True, 1.0)]


def test_silence_is_evidence_only_while_one_speaks() -> None:
    heard = turns()
    assert heard.on_speech_stopped() == []
    heard.begin()
    assert heard.on_speech_stopped() == [Partial("", is_end=True)]


def test_what_belongs_to_no_turn_is_told_once_and_may_become_the_first_of_one() -> None:
    heard = turns()
    heard.on_committed("noise")
    assert heard.take_unasked() == ["noise"]
    assert heard.take_unasked() == []
    heard.on_committed("hello")
    heard.begin()
    assert heard.take_unasked() == []


def test_a_commit_that_was_refused_is_not_waited_for() -> None:
    heard = turns()
    heard.begin()
    heard.end(0.0)
    heard.on_commit_refused(1)
    heard.on_commit_refused(1)
    heard.on_committed("noise")
    assert heard.take_unasked() == ["noise"]


def test_a_refused_commit_takes_nothing_from_the_next_turn() -> None:
    """The server had committed by itself; its refusal came after the next turn's end."""
    heard = turns(1.0)
    for _ in range(2):
        heard.begin()
        heard.end(0.0)
    heard.on_committed("a")
    heard.on_commit_refused(1)
    heard.on_committed("b")
    assert heard.on_transcript("a", "one", True, 0.1) == [Final("one", True, 1.0)]
    assert heard.on_transcript("b", "two", True, 0.1) == [Final("two", True, 1.0)]


def test_a_transcript_that_failed_or_is_repeated_changes_nothing() -> None:
    heard = turns()
    heard.begin()
    heard.on_committed("a")
    assert heard.on_transcript("a", "", True, 0.1) == []
    assert heard.on_transcript("a", "again", True, 0.2) == []
    assert heard.text_of(["a", "unknown"]) == ""


def test_no_more_items_are_remembered_than_needed() -> None:
    heard = turns()
    for number in range(300):
        heard.on_committed(str(number))
        heard.on_transcript(str(number), "x", True, 0.0)
    assert heard.text_of(["0", "299"]) == "x"
