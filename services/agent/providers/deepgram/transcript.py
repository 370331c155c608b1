"""PURE. Deepgram's results put together to utterances: which words belong where, what is settled.

Deepgram cuts a call where it likes and gives every word its time; the session says when the caller
began and ended. All times here are seconds of the call's audio, whatever connection brought them.

    results ──▶ settled words, interim words ──▶ the utterance they fall into ──▶ Partial, Final
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.agent.providers.base import Final, Partial, TranscriberEvent, TranscriberFailed
from services.agent.providers.errors import FailureCause

_BEFORE_BEGIN_S = 0.5
"""Words that ended longer than this before `begin` belong to nobody."""
_SLACK_S = 0.06
_LEAD_S = 0.2
"""What is sent again begins that much before what was settled: words need their beginning."""
_IDLE_S = 2.0
_FORGOTTEN_S = 5.0


@dataclass(frozen=True, slots=True)
class Word:
    """One word; `text` with its punctuation and capitals."""

    text: str
    start_s: float
    end_s: float
    confidence: float

    @property
    def middle_s(self) -> float:
        """Where it belongs when it lies across a border."""
        return (self.start_s + self.end_s) / 2


@dataclass(frozen=True, slots=True)
class Result:
    """What was heard between two moments; it replaces interim results of the same time."""

    start_s: float
    end_s: float
    words: tuple[Word, ...]
    is_final: bool
    is_speech_final: bool
    is_from_finalize: bool

    def moved(self, by_s: float) -> Result:
        """The same at other times."""
        words = tuple(
            replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s)
            for word in self.words
        )
        return replace(self, start_s=self.start_s + by_s, end_s=self.end_s + by_s, words=words)


@dataclass(slots=True, eq=False)
class _Utterance:
    """`begin_s` is from when words count; `sound_until_s` is where the last sound in it was."""

    begin_s: float
    end_s: float = float("inf")
    sound_until_s: float = float("inf")
    due_s: float = float("inf")
    is_finalised: bool = False
    is_empty: bool = False


class Transcript:
    """One call's words.

    Args:
        least_confidence: below it an utterance is not understood.
        final_wait_s: longest wait for words to be settled once the caller has ended.
    """

    def __init__(self, least_confidence: float, final_wait_s: float) -> None:
        self._least_confidence = least_confidence
        self._final_wait_s = final_wait_s
        self._settled: list[Word] = []
        self._interim: list[Word] = []
        self._settled_s = 0.0
        self._closed_s = 0.0
        self._resumed_s = 0.0
        self._active: _Utterance | None = None
        self._pending: deque[_Utterance] = deque()
        self._told: Partial | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no utterance is in hand."""
        return self._active is None and not self._pending

    @property
    def due_s(self) -> float | None:
        """When `on_time` has something to do."""
        return self._pending[0].due_s if self._pending else None

    def owed(self) -> list[float]:
        """Ends of the utterances that still wait for their words, oldest first."""
        return [u.end_s for u in self._pending if not u.is_finalised]

    def wanted_from_s(self, pushed_s: float) -> float:
        """From where audio is to be sent again over a new connection."""
        first = self._pending[0] if self._pending else self._active
        needed_s = first.begin_s if first is not None else pushed_s - 2 * _BEFORE_BEGIN_S
        return max(self._settled_s - _LEAD_S, needed_s, 0.0)

    # --- what the session says -----------------------------------------------------------------

    def begin(self, pushed_s: float) -> None:
        """The caller began to speak, a moment before this place."""
        if self._active is None:
            begin_s = max(pushed_s - _BEFORE_BEGIN_S, self._closed_s)
            if self._pending:
                begin_s = max(begin_s, self._pending[-1].end_s)
            self._active = _Utterance(begin_s)
            self._told = None

    def end(self, pushed_s: float, sound_until_s: float, now_s: float) -> list[TranscriberEvent]:
        """The caller ended here."""
        utterance = self._active or _Utterance(pushed_s, is_empty=True, is_finalised=True)
        self._active = None
        utterance.end_s, utterance.sound_until_s = pushed_s, sound_until_s
        utterance.due_s = now_s + self._final_wait_s
        self._pending.append(utterance)
        return self._close_settled()

    # --- what Deepgram says --------------------------------------------------------------------

    def on_result(
        self, result: Result, finalised_to_s: float | None = None
    ) -> list[TranscriberEvent]:
        """Take a result.

        Args:
            result: as heard.
            finalised_to_s: up to where everything is settled by it, when it answers a Finalize.
        """
        known_s = max(self._closed_s, self._resumed_s)
        words = [word for word in result.words if word.middle_s >= known_s]
        if result.is_final:
            self._settled += words
            self._interim = []
            self._settled_s = max(self._settled_s, result.end_s)
        else:
            self._interim = words
        if self.is_idle:
            self._forget_before(result.end_s - _FORGOTTEN_S)
        for utterance in self._pending:
            if finalised_to_s is not None and utterance.end_s <= finalised_to_s + _SLACK_S:
                utterance.is_finalised = True
        events = self._partial(result.end_s, is_end=result.is_final and result.is_speech_final)
        return events + self._close_settled()

    def on_utterance_end(self, place_s: float) -> list[TranscriberEvent]:
        """No word has followed the last one for a while."""
        return self._partial(place_s, is_end=True)

    def on_lost(self) -> None:
        """The connection is gone: interim words come again, and some settled ones may."""
        self._interim = []
        self._resumed_s = self._settled_s

    def on_time(self, now_s: float, *, is_silent: bool = False) -> list[TranscriberEvent]:
        """Close utterances whose words were waited for long enough, with what there is.

        Args:
            now_s: the present, as in `end`.
            is_silent: nothing at all is told any more, so that what there is is a part at best.
        """
        events: list[TranscriberEvent] = []
        while self._pending and self._pending[0].due_s <= now_s:
            utterance = self._pending.popleft()
            was_heard = self._settled_s > utterance.begin_s or bool(self._words(utterance))
            if was_heard and not is_silent:
                events.append(self._final(utterance))
            else:
                events.append(_late())
            self._close(utterance)
        return events + self._close_settled()

    # --- putting together ----------------------------------------------------------------------

    def _words(self, utterance: _Utterance | None) -> list[Word]:
        words: Iterable[Word] = (*self._settled, *self._interim)
        if utterance is None:
            return list(words)
        return [word for word in words if _is_within(word, utterance)]

    def _partial(self, place_s: float, *, is_end: bool) -> list[TranscriberEvent]:
        utterance = self._pending[0] if self._pending else self._active
        words = self._words(utterance)
        if utterance is None:
            words = [word for word in words if word.end_s >= place_s - _IDLE_S]
        if not words:
            return []
        is_settled = words[-1] not in self._interim
        partial = Partial(_text(words), is_settled, is_end and is_settled)
        if partial == self._told:
            return []
        self._told = partial
        return [partial]

    def _close_settled(self) -> list[TranscriberEvent]:
        events: list[TranscriberEvent] = []
        while self._pending and self._is_settled(self._pending[0]):
            utterance = self._pending.popleft()
            events.append(self._final(utterance))
            self._close(utterance)
        return events

    def _is_settled(self, utterance: _Utterance) -> bool:
        if utterance.is_finalised or self._settled_s >= utterance.end_s - _SLACK_S:
            return True
        if any(_is_within(word, utterance) for word in self._interim):
            return False
        return self._settled_s >= utterance.sound_until_s - _SLACK_S

    def _final(self, utterance: _Utterance) -> Final:
        words = [] if utterance.is_empty else self._words(utterance)
        if not words:
            return Final("", is_understood=False, confidence=0.0)
        confidence = sum(word.confidence for word in words) / len(words)
        return Final(_text(words), confidence >= self._least_confidence, confidence)

    def _close(self, utterance: _Utterance) -> None:
        if not utterance.is_empty:
            self._closed_s = max(self._closed_s, utterance.end_s)
            self._forget_before(self._closed_s)
            self._told = None

    def _forget_before(self, place_s: float) -> None:
        self._settled = [word for word in self._settled if word.middle_s >= place_s]
        self._interim = [word for word in self._interim if word.middle_s >= place_s]


def _late() -> TranscriberFailed:
    return TranscriberFailed("no words in time", is_recoverable=True, cause=FailureCause.TIMEOUT)


def _is_within(word: Word, utterance: _Utterance) -> bool:
    return word.end_s >= utterance.begin_s and word.middle_s < utterance.end_s


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)
