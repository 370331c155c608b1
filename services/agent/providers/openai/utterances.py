"""The utterances of one call in order: each gets one Final, or the news that it is lost."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from services.agent.providers.base import PHONE_RATE_HZ, Final, Partial, TranscriberFailed
from services.agent.providers.transcript_events import TranscriptEvents

PREROLL_SAMPLES = int(0.4 * PHONE_RATE_HZ)
NOTHING = Final("", is_understood=False, confidence=0.0)


@dataclass(slots=True, eq=False)
class Utterance:
    """One utterance; places are samples of the call.

    Attributes:
        end: None while the caller speaks.
        is_sent: the server has all of it.
        item: the server's name for it.
        text: what is known of it.
        tries: how often it was lost with its connection.
        event: what came of it.
    """

    begin: int
    end: int | None = None
    is_sent: bool = False
    item: str | None = None
    text: str = ""
    tries: int = 0
    event: Final | TranscriberFailed | None = None


class Utterances:
    """Utterances in hand, oldest first; the last one may still go on.

    Args:
        events: where their events go, in order.
    """

    def __init__(self, events: TranscriptEvents) -> None:
        self._events = events
        self._all: deque[Utterance] = deque()

    def in_hand(self) -> tuple[Utterance, ...]:
        """Those without an event that has gone out."""
        return tuple(self._all)

    @property
    def active(self) -> Utterance | None:
        """The one that is being spoken."""
        return self._all[-1] if self._all and self._all[-1].end is None else None

    def begin(self, place: int) -> Utterance | None:
        """Begin one a little before this place; None where one is being spoken already."""
        if self.active is not None:
            return None
        begin = max(0, place - PREROLL_SAMPLES)
        if self._all and (before := self._all[-1].end) is not None:
            begin = max(begin, before)
        utterance = Utterance(begin)
        self._all.append(utterance)
        return utterance

    def end(self, place: int) -> Utterance:
        """End the one that is spoken, or note that there was none."""
        utterance = self.active
        if utterance is None:
            utterance = Utterance(place, event=NOTHING)
            self._all.append(utterance)
        utterance.end = place
        self.give()
        return utterance

    def grow(self, utterance: Utterance, more: str) -> None:
        """Its text goes on."""
        utterance.text += more
        if self._all and self._all[0] is utterance and utterance.text.strip():
            self._events.put(Partial(utterance.text.strip()))

    def settle(self, utterance: Utterance, event: Final | TranscriberFailed) -> None:
        """Set what came of it; it goes out in its turn, and not before it has ended."""
        if utterance.event is None:
            utterance.event = event
            self.give()

    def give(self) -> None:
        """Let out what may go out."""
        while self._all and (event := self._all[0].event) is not None:
            if self._all[0].end is None:
                return
            self._all.popleft()
            self._events.put(event)

    def clear(self) -> None:
        """Forget all of them."""
        self._all.clear()


def final_of(text: str) -> Final:
    """Return the Final for a text as the server gives it; these servers tell no confidence."""
    text = text.strip()
    return Final(text, is_understood=True, confidence=1.0) if text else NOTHING
