"""PURE. When the caller's turn is over: how much silence ends it.

Silence alone can't tell a pause from an end, so what is known of the words decides how much of it
is needed: little after a complete sentence, much after "my number is". And people differ: who was
cut off once, or nearly, is given longer from then on.
"""

from __future__ import annotations

from enum import StrEnum

from services.agent.providers.base import Expectation, Partial
from services.agent.turn.rules import EndpointingRules
from services.agent.turn.unfinished import has_terminal, is_dictating, is_unfinished
from services.agent.turn.words import are_same_words

LIKELY_END_S = 0.2
"""Silence after which a turn may be scored and an answer begun."""
_LIKELY = 0.7
_UNLIKELY = 0.3
_NEARLY = 0.7
_MARGIN = 1.25
_DECAY = 0.8
_LEAST_EXTRA_S = 0.01


class Outlook(StrEnum):
    """What is known of the turn in hand."""

    COMPLETE = "complete"
    UNKNOWN = "unknown"
    UNFINISHED = "unfinished"


def judge_words(
    partial: Partial | None, score: float | None, expectation: Expectation, language: str
) -> Outlook:
    """Judge from words and sound whether a turn is complete.

    Args:
        partial: what was recognised, as of this pause; None where nothing is known yet.
        score: the end-of-turn model's probability, None without one.
        expectation: what the dialogue expects.
        language: BCP 47 tag.
    """
    by_model = _judge_score(score)
    if partial is None or not partial.text.strip():
        return by_model
    text = partial.text
    is_expected = any(are_same_words(text, phrase) for phrase in expectation.phrases)
    is_number = is_dictating(text, language, expects_digits=expectation.digits)
    if not is_expected and (is_number or is_unfinished(text, language)):
        return Outlook.UNFINISHED
    is_complete = partial.is_end or (partial.is_settled and (has_terminal(text) or is_expected))
    if not is_complete:
        return by_model
    return Outlook.UNKNOWN if by_model is Outlook.UNFINISHED else Outlook.COMPLETE


def _judge_score(score: float | None) -> Outlook:
    if score is None or _UNLIKELY < score < _LIKELY:
        return Outlook.UNKNOWN
    return Outlook.COMPLETE if score >= _LIKELY else Outlook.UNFINISHED


class Endpointing:
    """The silence one caller needs."""

    def __init__(self, rules: EndpointingRules) -> None:
        self._rules = rules
        self._extra_s = 0.0

    def wait_s(self, outlook: Outlook) -> float:
        """Return the silence that ends the turn in hand."""
        most_s = max(self._rules.most_wait_s, self._rules.wait_s)
        match outlook:
            case Outlook.COMPLETE:
                return min(self._rules.least_wait_s + self._extra_s, most_s)
            case Outlook.UNKNOWN:
                return min(self._rules.wait_s + self._extra_s, most_s)
            case Outlook.UNFINISHED:
                return most_s

    def on_pause(self, pause_s: float, outlook: Outlook) -> None:
        """Learn from a pause after which the caller went on: it ended the turn, or nearly did."""
        wait_s = self.wait_s(outlook)
        if not self._rules.is_adaptive or pause_s < _NEARLY * wait_s:
            return
        self._extra_s = max(self._extra_s, self._extra_s + pause_s * _MARGIN - wait_s)
        self._extra_s = min(self._extra_s, self._rules.most_wait_s)

    def on_turn(self) -> None:
        """A turn ended as it should: forget a little of what was learnt."""
        self._extra_s *= _DECAY
        if self._extra_s < _LEAST_EXTRA_S:
            self._extra_s = 0.0
