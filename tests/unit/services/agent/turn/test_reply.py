"""What an answer consists of, and what is due when."""

from __future__ import annotations

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.reply import Passages, Reply
from services.agent.turn.spoken import HeardSentence
from shared.protocol.call import EndReason

END = ev.End(EndReason.AGENT_HUNG_UP, by_agent=True)


def heard(name: str, text: str) -> HeardSentence:
    return HeardSentence(1, name, text, is_whole=True, heard_s=1.0)


def test_deeds_are_due_when_all_before_them_was_heard() -> None:
    reply = Reply(1, None, 0.0)
    reply.then(ev.SendKeys("1"))
    first = reply.next_name()
    reply.then(ev.SendKeys("2"))
    assert reply.next_step() == ev.SendKeys("1")
    assert reply.next_step() is None
    reply.hear([heard(first, "One.")])
    assert reply.next_step() == ev.SendKeys("2")
    assert reply.next_step() is None


def test_what_ends_an_answer_waits_until_all_of_it_was_read() -> None:
    reply = Reply(1, None, 0.0)
    reply.then(END)
    assert reply.next_step() is None
    assert not reply.is_closing
    reply.is_read = True
    assert reply.is_closing
    assert reply.next_step() == END
    assert not reply.is_closing


def test_what_was_heard_adds_up() -> None:
    reply = Reply(7, None, 0.0)
    names = [reply.next_name(), reply.next_name()]
    assert names == ["7.1", "7.2"]
    reply.hear([heard(names[0], "One."), heard(names[1], "")])
    assert (reply.text, reply.heard_s, reply.is_heard) == ("One.", 1.0, True)


def test_a_guess_is_of_its_words_alone() -> None:
    words = base.Words("It is late.", is_understood=True)
    guess = Reply(1, words, 0.0, is_speculative=True)
    assert guess.is_guess_of(base.Words("it is late", is_understood=True))
    assert not guess.is_guess_of(base.Words("it is early", is_understood=True))
    assert not guess.is_guess_of(base.Words("it is late", is_understood=False))
    assert not Reply(1, words, 0.0).is_guess_of(words)


def test_a_passage_holds_its_own_sentences() -> None:
    passages = Passages(["This call is recorded.", ""])
    assert passages.hold("this call is recorded")
    assert not passages.hold("This call is recorded, I think.")
    assert not passages.hold("")
