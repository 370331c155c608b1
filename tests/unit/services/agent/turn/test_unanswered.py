"""Words that wait are joined in the order they were said."""

from __future__ import annotations

from services.agent.turn.unanswered import Unanswered


def test_words_are_joined_in_order_and_taken_once() -> None:
    unanswered = Unanswered()
    assert unanswered.take("alone", 5) == ("alone", 5)
    unanswered.keep("would like", 200)
    unanswered.put_back("I", 100)
    assert unanswered.has_words
    assert unanswered.joined("tea") == "I would like tea"
    assert unanswered.take("tea", 300) == ("I would like tea", 100)
    assert not unanswered.has_words
    assert unanswered.joined("") == ""
