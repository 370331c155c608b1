"""PURE. What a caller who speaks over the agent means by it.

The agent has fallen silent already; here the evidence is judged. Words, or sheer length, make it
an interruption; backchannels, coughs and noise let the agent go on. A line whose noise silences
the agent again and again must bring more than one frame of it, for a while.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from services.agent.providers.base import Final
from services.agent.turn.backchannels import Backchannels
from services.agent.turn.rules import BargeInRules
from services.agent.turn.words import plain_words

TAIL_S = 0.25
"""An agent that is this near its end is not silenced any more."""
ANSWER_S = 0.4
"""Speech over the last of a question is an answer, even if it is but "mm-hm"."""
_BACKCHANNEL_SPEECH = 2.0  # times min_speech_s: nobody murmurs that long
_COUGH_S = 0.3
_WINDOW_S = 6.0
_CALM_S = 10.0
_FALSE_PAUSES = 2
_FRAMES_NEEDED = (1, 3, 6, 10)


class Verdict(StrEnum):
    """What speech over the agent was."""

    INTERRUPTION = "interruption"
    PASSING = "passing"
    OPEN = "open"


class BargeIn:
    """The judge of one call."""

    def __init__(self, rules: BargeInRules, language: str) -> None:
        self._rules = rules
        self._backchannels = Backchannels(language, rules.backchannels)
        self._false_pauses: deque[float] = deque(maxlen=_FALSE_PAUSES)
        self._wariness = 0
        self._wary_until_s = 0.0

    def speak(self, language: str) -> None:
        """Judge another language's words from now on."""
        self._backchannels = Backchannels(language, self._rules.backchannels)

    def frames_needed(self, now_s: float) -> int:
        """Return how many frames of speech silence the agent."""
        if self._wariness and now_s >= self._wary_until_s:
            self._wariness -= 1
            self._wary_until_s = now_s + _CALM_S
        return _FRAMES_NEEDED[self._wariness]

    def on_false_pause(self, now_s: float) -> None:
        """The agent fell silent for nothing."""
        self._false_pauses.append(now_s)
        is_stuttering = (
            len(self._false_pauses) == _FALSE_PAUSES and now_s - self._false_pauses[0] <= _WINDOW_S
        )
        if is_stuttering:
            self._wariness = min(self._wariness + 1, len(_FRAMES_NEEDED) - 1)
            self._false_pauses.clear()
        if self._wariness:
            self._wary_until_s = now_s + _CALM_S

    def is_backchannel(self, text: str) -> bool:
        """Whether a text means no more than "go on"."""
        return self._backchannels.are_all_of(text)

    def are_words_enough(self, text: str, *, may_go_on: bool = False) -> bool:
        """Whether words interrupt, however short they were.

        `may_go_on`: more may follow, so that "uh" is nothing yet: it may become "uh huh".
        """
        words = len(plain_words(text))
        if words < max(1, self._rules.min_words) or self.is_backchannel(text):
            return False
        return not (may_go_on and self._backchannels.may_become(text))

    def is_passing(self, speech_s: float, text: str) -> bool:
        """Whether speech is, as far as it goes, no more than a cough or a murmur."""
        return self.is_backchannel(text) or (not text and speech_s < _COUGH_S)

    def judge_sound(self, speech_s: float, text: str) -> Verdict:
        """Judge speech that goes on, by its length and what was recognised so far."""
        if self.are_words_enough(text, may_go_on=True):
            return Verdict.INTERRUPTION
        is_murmur = self.is_backchannel(text) or self._backchannels.may_become(text)
        most_s = self._rules.min_speech_s * (_BACKCHANNEL_SPEECH if is_murmur else 1.0)
        return Verdict.INTERRUPTION if speech_s >= most_s else Verdict.OPEN

    def judge_words(self, final: Final, speech_s: float, *, has_asked: bool) -> Verdict:
        """Judge speech that is over and settled.

        Args:
            final: its words.
            speech_s: its length.
            has_asked: the agent had in fact said what it wanted to; anything in words answers it.
        """
        text = final.text if final.is_understood else ""
        if has_asked and plain_words(text):
            return Verdict.INTERRUPTION
        if self.are_words_enough(text):
            return Verdict.INTERRUPTION
        verdict = self.judge_sound(speech_s, text)
        return Verdict.PASSING if verdict is Verdict.OPEN else verdict
