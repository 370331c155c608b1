"""PURE. The caller's turns as we cut them, and the server's idea of them, brought together.

The server hears the same audio and cuts it by its own detection into items, each with a transcript
that comes late or never. The model answers to the sound, so no turn waits for a transcript unless
it is told to: a Final holds the words known by then, perhaps none, and counts as understood when
the server heard speech at all.

An item goes to the turn that we had committed; the server's own ones to the oldest turn that waits
for its Final, then to the one in hand. What is left over was speech to the server alone.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from services.agent.providers.base import Final, Partial, TranscriberEvent

_ITEMS_KEPT = 256


@dataclass(slots=True)
class _Turn:
    number: int = 0
    items: list[str] = field(default_factory=list)
    has_speech: bool = False
    is_ended: bool = False
    due_s: float = 0.0


class CallerTurns:
    """The turns of one call.

    Args:
        transcript_wait_s: how long a Final waits for words.
        is_server_detecting: whether the server tells of speech; otherwise all of it is.
    """

    def __init__(self, transcript_wait_s: float, *, is_server_detecting: bool) -> None:
        self._wait_s = transcript_wait_s
        self._is_server_detecting = is_server_detecting
        self._current: _Turn | None = None
        self._last = _Turn()
        self._numbers = count(1)
        self._pending: deque[_Turn] = deque()
        self._is_heard = False  # by the server, since it last committed
        self._texts: OrderedDict[str, tuple[str, bool]] = OrderedDict()
        self._unasked: list[str] = []
        self._owing: deque[_Turn] = deque()  # we have had these committed; their items are due

    @property
    def is_in_hand(self) -> bool:
        """Whether the caller speaks, as we see it."""
        return self._current is not None

    @property
    def due_s(self) -> float | None:
        """When `on_time` has something to do, None for never."""
        return self._pending[0].due_s if self._pending else None

    def begin(self) -> None:
        """The caller began to speak."""
        if self._current is None:
            self._current = self._last = _Turn(next(self._numbers))
            self._current.has_speech = not self._is_server_detecting
            self._current.has_speech |= self._is_heard
            # What the server committed a moment ago may be the first of it.
            self._unasked.clear()

    def end(self, now_s: float) -> tuple[list[TranscriberEvent], int | None]:
        """The caller ended.

        Returns:
            the events due, and the number of a commit to ask for where the server has made none.
        """
        turn, self._current = self._current, None
        if turn is None:
            turn = _Turn(is_ended=True)
            self._pending.append(turn)
            return self._settled(now_s), None
        turn.is_ended = True
        turn.due_s = now_s + self._wait_s
        self._pending.append(turn)
        needs_commit = self._is_heard or not turn.items
        if needs_commit:
            self._owing.append(turn)
        return self._settled(now_s), turn.number if needs_commit else None

    def on_speech_started(self) -> None:
        """The server hears speech."""
        self._is_heard = True
        self._target().has_speech = True

    def on_speech_stopped(self) -> list[TranscriberEvent]:
        """The server hears it no more: evidence that the turn is over."""
        turn = self._current
        return [] if turn is None else [Partial(self._text(turn), is_end=True)]

    def on_committed(self, item_id: str) -> None:
        """The server made an item of what was said."""
        self._is_heard = False
        self._texts[item_id] = ("", False)
        while len(self._texts) > _ITEMS_KEPT:
            self._texts.popitem(last=False)
        if self._owing:
            self._owing.popleft().items.append(item_id)
        elif self._pending or self._current is not None:
            self._target().items.append(item_id)
        else:
            self._unasked.append(item_id)

    def on_commit_refused(self, number: int) -> None:
        """What we wanted committed had been committed already, or there was nothing."""
        self._owing = deque(turn for turn in self._owing if turn.number != number)

    def on_transcript(
        self, item_id: str, text: str, is_done: bool, now_s: float
    ) -> list[TranscriberEvent]:
        """The words of an item grew, or are complete."""
        before, was_done = self._texts.get(item_id, ("", False))
        if was_done:
            return []
        self._texts[item_id] = (text.strip() if is_done else before + text, is_done)
        turn = self._current
        if turn is None or item_id not in turn.items or self._pending:
            return self._settled(now_s)
        whole = self._text(turn)
        return [Partial(whole, is_settled=is_done)] if whole else []

    def on_time(self, now_s: float) -> list[TranscriberEvent]:
        """Give up waiting for words where the time is up."""
        return self._settled(now_s)

    def take_unasked(self) -> list[str]:
        """Return, once, the items that no turn of ours is in: noise to us, echo perhaps."""
        unasked, self._unasked = self._unasked, []
        return unasked

    @property
    def last_items(self) -> list[str]:
        """The items of the newest turn: the list grows as they come."""
        return self._last.items

    def text_of(self, items: Sequence[str]) -> str:
        """Return the words of items as far as they are known by now."""
        return " ".join(filter(None, (self._texts.get(item, ("", False))[0] for item in items)))

    def _target(self) -> _Turn:
        if self._pending:
            return self._pending[0]
        return self._current or self._last

    def _text(self, turn: _Turn) -> str:
        return self.text_of(turn.items).strip()

    def _settled(self, now_s: float) -> list[TranscriberEvent]:
        events: list[TranscriberEvent] = []
        while self._pending:
            turn = self._pending[0]
            text = self._text(turn)
            is_done = bool(text) and all(
                self._texts.get(item, ("", True))[1] for item in turn.items
            )
            if not is_done and now_s < turn.due_s:
                break
            self._pending.popleft()
            is_understood = bool(text) or turn.has_speech
            events.append(Final(text, is_understood, 1.0 if is_understood else 0.0))
        return events
