"""PURE. The caller's utterances: where they begin and end, and which words belong to which.

A recogniser owes one Final for each utterance that was ended, in order, however late; meanwhile
the caller may have begun the next. Here each Final finds its utterance.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.endpointing import LIKELY_END_S, Endpointing, Outlook, judge_words
from services.agent.turn.rules import TurnTaking
from services.agent.turn.vad import SpeechDetector, SpeechEnded, SpeechEvent, SpeechStarted

_CURRENT_S = 0.15
"""Words that came this long before the last sound, or later, are taken to include it."""
_EARLY_S = 0.6
"""A recogniser may be this much quicker with its first words than the detector."""
_OVERDUE_S = 2.0
"""How long after its wait an utterance is remembered, for a Final that comes after all."""
_RECENT_PAUSE_S = 0.1


@dataclass(slots=True)
class Utterance:
    """One stretch of the caller's speech.

    Attributes:
        onset_s: when it began.
        ended_s: its last sound so far.
        partial: what was recognised of it so far.
        partial_s: when that came.
        due_s: its words are waited for until then; None while it goes on.
        is_over_agent: the agent spoke on meanwhile, so it is answered after the agent.
        is_judged: what it meant was decided without its words.
        is_void: something else has taken its place; its words no longer matter.
        may_guess: an answer may be begun before it is over; not again where that has failed.
    """

    onset_s: float
    ended_s: float
    partial: base.Partial | None = None
    partial_s: float = 0.0
    due_s: float | None = None
    is_over_agent: bool = False
    is_judged: bool = False
    is_void: bool = False
    may_guess: bool = True

    @property
    def speech_s(self) -> float:
        """From its beginning until its last sound."""
        return self.ended_s - self.onset_s

    @property
    def text(self) -> str:
        """What was recognised of it so far."""
        return self.partial.text if self.partial is not None else ""


class Ear:
    """One caller's utterances.

    Args:
        detector: finds speech in scored frames.
        rules: turn-taking.
    """

    def __init__(self, detector: SpeechDetector, rules: TurnTaking) -> None:
        self.expectation = base.Expectation()
        self.language = rules.language
        self._detector = detector
        self._endpointing = Endpointing(rules.endpointing)
        self._in_hand: Utterance | None = None
        self._owed: deque[Utterance] = deque()
        self._early: tuple[base.Partial, float] | None = None
        self._score: float | None = None
        self._scores_asked = 0
        self._is_score_asked = False
        self._pause_s = 0.0
        self._pause_outlook = Outlook.UNKNOWN
        self._judged: tuple[base.Partial | None, float | None, base.Expectation] | None = None
        self._outlook = Outlook.UNKNOWN

    # --- sound -------------------------------------------------------------------------------

    @property
    def in_hand(self) -> Utterance | None:
        """The utterance that goes on now."""
        return self._in_hand

    @property
    def voiced_frames(self) -> int:
        """How many frames of it were sound."""
        return self._detector.voiced_frames

    def quiet_s(self, now_s: float) -> float:
        """Return how long its present pause has lasted."""
        return self._detector.quiet_s(now_s)

    def on_frame(
        self,
        probability: float,
        level_dbfs: float,
        agent_dbfs: float | None,
        now_s: float,
        *,
        is_passing: bool,
    ) -> SpeechEvent | None:
        """Take 20 ms of the caller.

        Args:
            probability: of speech in it.
            level_dbfs: how loud it is.
            agent_dbfs: how loud the agent is at the caller's end, None while silent.
            now_s: when it arrived.
            is_passing: the agent stands still for what is most likely a cough or a murmur, whose
                end need not be waited for as long as a sentence's.
        """
        if not self._detector.is_speaking:
            return self._detector.on_frame(probability, level_dbfs, agent_dbfs, now_s)
        outlook = self.outlook(now_s)
        if is_passing and outlook is Outlook.UNKNOWN:
            outlook = Outlook.COMPLETE
        wait_s = self._endpointing.wait_s(outlook)
        speech = self._detector.on_frame(
            probability, level_dbfs, agent_dbfs, now_s, end_silence_s=wait_s
        )
        if self._in_hand is not None and speech is None:
            self._follow_pause(self._in_hand, now_s)
        return speech

    def _follow_pause(self, utterance: Utterance, now_s: float) -> None:
        """Note sound and pauses within an utterance; learn when a pause is over."""
        quiet_s = self._detector.quiet_s(now_s)
        if quiet_s > 0:
            self._pause_s = quiet_s
            self._pause_outlook = self.outlook(now_s)
            return
        utterance.ended_s = now_s
        if self._pause_s >= _RECENT_PAUSE_S:
            self._endpointing.on_pause(self._pause_s, self._pause_outlook)
            self._score, self._is_score_asked = None, False
        self._pause_s = 0.0

    def outlook(self, now_s: float) -> Outlook:
        """Judge whether the utterance in hand is complete; asked often, thought over seldom."""
        known = (self._current(now_s), self._score, self.expectation)
        if self._judged is None or any(
            a is not b for a, b in zip(known, self._judged, strict=True)
        ):
            self._judged = known
            self._outlook = judge_words(*known, self.language)
        return self._outlook

    def _current(self, now_s: float) -> base.Partial | None:
        """Return the words of the utterance in hand, unless there was sound since they came."""
        utterance = self._in_hand
        if utterance is None or utterance.partial is None:
            return None
        is_current = utterance.partial_s >= now_s - self.quiet_s(now_s) - _CURRENT_S
        return utterance.partial if is_current else None

    def likely_words(self, now_s: float) -> str | None:
        """Return the words of the utterance in hand if it has most likely ended, else None."""
        partial = self._current(now_s)
        if partial is None or self.quiet_s(now_s) < LIKELY_END_S - 1e-6:
            return None
        is_settled = partial.is_settled or partial.is_end
        if self._in_hand is None or not self._in_hand.may_guess:
            return None
        is_likely = is_settled and self.outlook(now_s) is Outlook.COMPLETE
        return partial.text if is_likely and partial.text.strip() else None

    def are_known(self, utterance: Utterance) -> bool:
        """Whether the words of an utterance that is over are settled and complete already."""
        partial = utterance.partial
        if partial is None or not (partial.is_settled or partial.is_end):
            return False
        is_current = utterance.partial_s >= utterance.ended_s - _CURRENT_S
        outlook = judge_words(partial, None, self.expectation, self.language)
        return is_current and outlook is Outlook.COMPLETE

    def score_due(self, now_s: float) -> int | None:
        """Return the number to ask the end-of-turn model with, once in each pause."""
        if self._is_score_asked or self.quiet_s(now_s) < LIKELY_END_S - 1e-6:
            return None
        self._is_score_asked = True
        self._scores_asked += 1
        return self._scores_asked

    def on_score(self, event: ev.TurnScored) -> None:
        """Take the model's score, if it is of the present pause."""
        if self._is_score_asked and event.number == self._scores_asked:
            self._score = event.probability

    # --- utterances --------------------------------------------------------------------------

    def begin(self, speech: SpeechStarted, now_s: float) -> Utterance:
        """An utterance begins; words that were quicker than the detector are its first."""
        utterance = Utterance(speech.onset_s, now_s)
        if self._early is not None and now_s - self._early[1] <= _EARLY_S:
            utterance.partial, utterance.partial_s = self._early
        self._early = None
        self._score, self._is_score_asked, self._pause_s = None, False, 0.0
        self._in_hand = utterance
        return utterance

    def end(self, speech: SpeechEnded) -> Utterance | None:
        """The utterance in hand is over and its Final is owed."""
        utterance, self._in_hand = self._in_hand, None
        if utterance is None:
            return None
        utterance.ended_s = speech.ended_s
        self._owed.append(utterance)
        return utterance

    def ignore(self) -> bool:
        """The words of all utterances so far no longer matter; one in hand is cut off.

        Returns:
            whether there was one: then its Final is owed still.
        """
        was_speaking = self._in_hand is not None
        if self._in_hand is not None:
            self._owed.append(self._in_hand)
            self._in_hand = None
        for utterance in self._owed:
            utterance.is_void = True
        return was_speaking

    @property
    def open_since_s(self) -> float | None:
        """When the oldest utterance began whose meaning is open still; None: there is none."""
        all_ = [*self._owed, *([self._in_hand] if self._in_hand is not None else [])]
        return min((u.onset_s for u in all_ if not (u.is_judged or u.is_void)), default=None)

    @property
    def awaited(self) -> Utterance | None:
        """The newest utterance whose meaning is open still, its words being waited for."""
        waiting = [u for u in self._owed if not (u.is_judged or u.is_void)]
        return waiting[-1] if waiting else None

    def overdue(self, now_s: float) -> Utterance | None:
        """Return an utterance whose words have been waited for long enough; judge it without."""
        if not self._owed:
            return None
        while self._owed and self._is_lost(self._owed[0], now_s):
            self._owed.popleft()
        for utterance in self._owed:
            is_due = utterance.due_s is not None and now_s >= utterance.due_s
            if is_due and not (utterance.is_judged or utterance.is_void):
                utterance.is_judged = True
                return utterance
        return None

    def _is_lost(self, utterance: Utterance, now_s: float) -> bool:
        due_s = utterance.due_s if utterance.due_s is not None else utterance.ended_s
        return now_s >= due_s + _OVERDUE_S

    # --- words -------------------------------------------------------------------------------

    def on_partial(self, partial: base.Partial, now_s: float) -> Utterance | None:
        """Take growing words; return their utterance, None where it has not begun yet."""
        utterance = self.awaited or self._in_hand
        if utterance is None:
            self._early = (partial, now_s)
            return None
        utterance.partial, utterance.partial_s = partial, now_s
        return utterance

    def on_final(self) -> Utterance | None:
        """Return the utterance that a Final belongs to, None where none is owed."""
        return self._owed.popleft() if self._owed else None

    def on_turn(self) -> None:
        """The caller's turn ended and is being answered."""
        self._endpointing.on_turn()

    def on_went_on(self, pause_s: float) -> None:
        """The caller went on after the end of the turn had been decided."""
        self._endpointing.on_pause(pause_s, Outlook.UNKNOWN)
