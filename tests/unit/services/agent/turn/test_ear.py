"""Each Final finds its utterance, in whatever order things come."""

from __future__ import annotations

from services.agent.providers import base
from services.agent.turn.ear import Ear, Utterance
from services.agent.turn.rules import TurnTaking
from services.agent.turn.vad import FRAME_S, SpeechDetector, SpeechEnded, SpeechStarted


class Line:
    """Feeds an ear, beginning and ending utterances as a session does."""

    def __init__(self) -> None:
        self.ear = Ear(SpeechDetector(), TurnTaking())
        self.now_s = 50.0
        self.ended: list[Utterance] = []

    def feed(self, seconds: float, *, is_speech: bool) -> None:
        probability, level_dbfs = (0.9, -20.0) if is_speech else (0.01, -70.0)
        for _ in range(round(seconds / FRAME_S)):
            self.now_s += FRAME_S
            match self.ear.on_frame(probability, level_dbfs, None, self.now_s, is_passing=False):
                case SpeechStarted() as speech:
                    self.ear.begin(speech, self.now_s)
                case SpeechEnded() as speech:
                    utterance = self.ear.end(speech)
                    if utterance is not None:
                        utterance.due_s = self.now_s + 3.0
                        self.ended.append(utterance)

    def say(self) -> Utterance:
        self.feed(0.5, is_speech=True)
        self.feed(0.6, is_speech=False)
        return self.ended[-1]


def test_finals_come_in_the_order_of_their_utterances() -> None:
    line = Line()
    first, second = line.say(), line.say()
    assert line.ear.awaited is second
    assert line.ear.on_final() is first
    assert line.ear.on_final() is second
    assert line.ear.on_final() is None
    assert line.ear.awaited is None


def test_growing_words_go_to_the_utterance_that_is_open() -> None:
    line = Line()
    partial = base.Partial("one")
    assert line.ear.on_partial(partial, line.now_s) is None
    line.feed(0.3, is_speech=True)
    assert line.ear.in_hand is not None
    assert line.ear.in_hand.text == "one"
    assert line.ear.on_partial(base.Partial("one two"), line.now_s) is line.ear.in_hand
    line.feed(0.6, is_speech=False)
    assert line.ear.on_partial(base.Partial("one two three"), line.now_s) is line.ended[0]


def test_words_that_came_long_before_any_speech_are_forgotten() -> None:
    line = Line()
    line.ear.on_partial(base.Partial("old"), line.now_s)
    line.feed(1.0, is_speech=False)
    line.feed(0.1, is_speech=True)
    assert line.ear.in_hand is not None
    assert line.ear.in_hand.text == ""


def test_an_overdue_utterance_is_judged_once_and_its_final_is_still_known_for_a_while() -> None:
    line = Line()
    utterance = line.say()
    assert utterance.due_s is not None
    assert line.ear.overdue(utterance.due_s - 0.1) is None
    assert line.ear.overdue(utterance.due_s) is utterance
    assert line.ear.overdue(utterance.due_s + 0.1) is None
    assert line.ear.awaited is None
    assert line.ear.on_final() is utterance
    lost = line.say()
    assert line.ear.overdue(line.now_s + 3.0) is lost
    assert line.ear.overdue(line.now_s + 6.0) is None
    assert line.ear.on_final() is None


def test_what_is_ignored_is_void_though_its_final_is_owed() -> None:
    line = Line()
    first = line.say()
    assert not line.ear.ignore()
    line.feed(0.3, is_speech=True)
    assert line.ear.ignore()
    assert line.ear.in_hand is None
    assert first.is_void
    assert line.ear.awaited is None
    second = [line.ear.on_final(), line.ear.on_final()][1]
    assert second is not None
    assert second.is_void
    line.feed(1.0, is_speech=False)
    assert line.ended == [first]
