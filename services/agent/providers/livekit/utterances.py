"""PURE. Which utterance a recogniser's words belong to, and when its Final is due.

Vendors cut speech by their own ideas: an utterance of ours may come as several settled pieces, and
their order is all that ties them to it. The session says where an utterance begins and ends. Words
go to the oldest utterance that still waits for its Final, then to the one being spoken, then to the
one that our own detection has not noticed yet.

A Final is due when the utterance has ended and a settled piece came after that; or the vendor had
said before that the speaker had ended; or time is up, and then what was heard so far must do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from services.agent.providers.base import Final, Partial, TranscriberEvent

_EARLY_S = 1.5  # words that nobody began to speak for so long belong to nothing


@dataclass(slots=True)
class _Utterance:
    settled: list[str] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    guess: str = ""
    touched_s: float = 0.0
    due_s: float = 0.0
    is_heard: bool = False
    is_over: bool = False
    final: Final | None = None

    @property
    def text(self) -> str:
        return " ".join(filter(None, (*self.settled, self.guess)))

    def settle(self) -> None:
        """Make the Final of what was heard."""
        known = [confidence for confidence in self.confidences if confidence > 0]
        # A vendor that gives no confidence at all is taken at its word.
        confidence = min(1.0, sum(known) / len(known)) if known else 1.0
        text = self.text
        self.final = Final(text, bool(text), confidence if text else 0.0)


class Utterances:
    """The utterances of one call's ear. Events come back in the order of the utterances.

    Args:
        final_s: the longest wait for words after an end.
        quiet_s: the same where nothing at all was heard of the utterance.
    """

    def __init__(self, final_s: float, quiet_s: float) -> None:
        self._final_s = final_s
        self._quiet_s = quiet_s
        self._pending: deque[_Utterance] = deque()
        self._current: _Utterance | None = None
        self._early = _Utterance()
        self._owes_late_words = False

    @property
    def is_waiting(self) -> bool:
        """Whether a Final is owed."""
        return bool(self._pending)

    @property
    def is_in_hand(self) -> bool:
        """Whether audio that comes now belongs to an utterance."""
        return self._current is not None or bool(self._pending)

    @property
    def due_s(self) -> float | None:
        """When `on_time` has something to do, None for never."""
        return self._pending[0].due_s if self._pending else None

    def begin(self, now_s: float) -> None:
        """The caller began to speak."""
        if self._current is None:
            is_fresh = now_s - self._early.touched_s <= _EARLY_S
            self._current = self._early if is_fresh else _Utterance()
            self._early = _Utterance()
            self._owes_late_words = False

    def end(self, now_s: float) -> list[TranscriberEvent]:
        """The caller ended; the Final is among what this or a later call returns."""
        ended = self._current
        if ended is None:
            ended = _Utterance()
            ended.final = Final("", is_understood=False, confidence=0.0)
        elif ended.is_over and ended.settled:
            ended.settle()
        else:
            is_heard = ended.is_heard or bool(ended.text)
            ended.due_s = now_s + (self._final_s if is_heard else self._quiet_s)
        self._current = None
        self._pending.append(ended)
        return self._settled()

    def on_words(
        self, text: str, confidence: float, is_settled: bool, now_s: float
    ) -> list[TranscriberEvent]:
        """The recogniser gave a guess, or a settled piece, of what is being said."""
        is_late = self._owes_late_words and not self.is_in_hand
        if is_settled:
            self._owes_late_words = False
        if is_late:
            return []
        utterance = self._target()
        utterance.touched_s = now_s
        utterance.is_over = False
        utterance.guess = "" if is_settled else text
        if is_settled and text:
            utterance.settled.append(text)
            utterance.confidences.append(confidence)
        if is_settled and self._pending:
            utterance.settle()
            return self._settled()
        return [Partial(utterance.text, is_settled)] if text else []

    def on_speech_start(self, now_s: float) -> None:
        """The recogniser hears speech: words are to be expected."""
        utterance = self._target()
        utterance.is_heard = True
        utterance.touched_s = now_s

    def on_speech_end(self) -> list[TranscriberEvent]:
        """The recogniser believes that the speaker has ended."""
        utterance = self._target()
        if not utterance.text:
            return []
        utterance.is_over = not utterance.guess
        if self._pending and utterance.is_over:
            utterance.settle()
            return self._settled()
        return [Partial(utterance.text, utterance.is_over, is_end=True)]

    def on_time(self, now_s: float) -> list[TranscriberEvent]:
        """Give up waiting where the time is up."""
        events: list[TranscriberEvent] = []
        while self._pending and self._pending[0].due_s <= now_s:
            self._owes_late_words = bool(self._pending[0].guess)
            self._pending[0].settle()
            events += self._settled()
        return events

    def _target(self) -> _Utterance:
        if self._pending:
            return self._pending[0]
        return self._current or self._early

    def _settled(self) -> list[TranscriberEvent]:
        events: list[TranscriberEvent] = []
        while self._pending and self._pending[0].final is not None:
            events.append(self._pending.popleft().final)  # type: ignore[arg-type] # just looked at
        return events
