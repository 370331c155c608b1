"""What a realtime conversation and its ear share: the link, and what the server has been told.

Server events come in here and go to whom they concern: the caller's turns, or the answer being
made. A connection that had to be reopened is told here what has been said so far.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

import structlog

from services.agent.providers.base import (
    FRAME_SAMPLES,
    Message,
    TranscriberEvent,
    TranscriberFailed,
)
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderUnavailable,
)
from services.agent.providers.openai import realtime_events as rt
from services.agent.providers.openai.realtime_link import (
    NAME,
    Connection,
    LinkEvents,
    RealtimeLink,
)
from services.agent.providers.openai.realtime_options import OpenAIRealtimeOptions
from services.agent.providers.openai.realtime_turns import CallerTurns

_log = structlog.get_logger(__name__)
COMMIT = "commit-"
"""Event ids of commits begin with it; the turn's number follows."""
_SETUP = "setup"
_REPLY_EVENTS_KEPT = 4000
_UNCOUNTED_KEPT = 16
_CANCEL_S = 1.0
_REPLAYED_SAMPLES = 50 * FRAME_SAMPLES
# What the server says when it and we have crossed each other: nothing is lost by it.
_HARMLESS = {
    *("input_audio_buffer_commit_empty", "response_cancel_not_active"),
    *("item_delete_invalid_item_id", "item_truncate_invalid_item_id"),
}


class Lost:
    """Stands in an answer's queue where the connection was lost and is being reopened."""


@dataclass(slots=True)
class Answer:
    """One reply: everything that the server makes for it, over all its responses.

    `history_len` is that of the history it was asked with; `told_as` the item that stands for it,
    in text, on a connection that it was not spoken on.
    """

    queue: asyncio.Queue[rt.ServerEvent | Lost | ProviderError] = field(
        default_factory=lambda: asyncio.Queue(_REPLY_EVENTS_KEPT)
    )
    event_id: str = ""
    response_id: str = ""
    items: list[str] = field(default_factory=list)
    audio_bytes: dict[str, int] = field(default_factory=dict)
    calls: list[rt.CallDone] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    text: str = ""
    history_len: int = 0
    told_as: str = ""

    def put(self, event: rt.ServerEvent | Lost | ProviderError) -> None:
        """Queue an event; an answer that nobody reads fails rather than grows."""
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            event = ProviderFailed(NAME, "an answer was not read", FailureCause.BROKEN)
        self.queue.put_nowait(event)


class Core:
    """What a conversation and its ear share: the link and what the server has been told."""

    def __init__(
        self,
        config: rt.SessionConfig,
        options: OpenAIRealtimeOptions,
        connect: Callable[[], Awaitable[Connection]],
        on_dropped: Callable[[float], None],
    ) -> None:
        self.config = config
        self.options = options
        self.turns = CallerTurns(
            options.transcript_wait_s, is_server_detecting=config.turn_detection != "none"
        )
        self.on_dropped = on_dropped
        self.give: Callable[[TranscriberEvent], None] = lambda _: None
        self.answer: Answer | None = None  # being made
        self.last: Answer | None = None  # how much of it was heard has not been told yet
        self.uncounted: deque[rt.ResponseDone] = deque(maxlen=_UNCOUNTED_KEPT)
        self.utterance = bytearray()
        self.is_unanswered = False  # what is in `utterance`
        self.is_answering_last = False  # the last entry of `history`
        self.history: tuple[Message, ...] = ()
        self.items_of: dict[int, list[str]] = {}  # of the caller's messages, by place in history
        self.is_idle = asyncio.Event()
        self.is_idle.set()
        self._numbers = count(1)
        self._has_opened = False
        self._loop = asyncio.get_running_loop()
        self.link = RealtimeLink(
            connect,
            LinkEvents(
                self._on_event, self._on_open, self._on_lost, self._on_dead, self._on_dropped
            ),
            connect_s=options.connect_s,
        )

    # --- responses ---------------------------------------------------------------------------

    def ask(self, answer: Answer, instructions: str = "") -> None:
        """Have a response made for this answer."""
        answer.event_id = f"ask-{next(self._numbers)}"
        answer.response_id = ""
        self.answer = answer
        self.is_idle.clear()
        self.link.send(rt.serialize_response(answer.event_id, instructions))

    async def wait_idle(self) -> None:
        """Wait until no response is being made, bounded: the server refuses two at once."""
        try:
            async with asyncio.timeout(_CANCEL_S):
                await self.is_idle.wait()
        except TimeoutError:
            _log.warning("realtime_response_does_not_end")

    # --- from the link -----------------------------------------------------------------------

    def _on_event(self, event: rt.ServerEvent) -> None:
        match event:
            case rt.SpeechStarted():
                self.turns.on_speech_started()
            case rt.SpeechStopped():
                self._give_all(self.turns.on_speech_stopped())
            case rt.Committed():
                self.turns.on_committed(event.item_id)
            case rt.InputTranscript():
                now_s = self._loop.time()
                self._give_all(
                    self.turns.on_transcript(event.item_id, event.text, event.is_done, now_s)
                )
            case rt.ServerError():
                self._on_error(event)
            case rt.ResponseCreated():
                self._on_created(event)
            case rt.Other():
                pass
            case _:
                self._on_response_event(event)

    def _on_created(self, event: rt.ResponseCreated) -> None:
        self.is_idle.clear()
        answer = self.answer
        if answer is None or answer.response_id:
            self.link.send(rt.serialize_cancel())  # nobody waits for it
            return
        answer.response_id = event.response_id

    def _on_response_event(
        self,
        event: rt.ItemAdded
        | rt.OutputAudio
        | rt.OutputText
        | rt.SpeechDone
        | rt.CallDone
        | rt.ResponseDone,
    ) -> None:
        if isinstance(event, rt.ResponseDone):
            self.is_idle.set()
        answer = self.answer
        if answer is not None and answer.response_id == event.response_id:
            answer.put(event)
        elif isinstance(event, rt.ResponseDone):
            self.uncounted.append(event)  # of an answer that was left; it costs all the same

    def _on_error(self, event: rt.ServerError) -> None:
        number = event.event_id.removeprefix(COMMIT)
        if number != event.event_id and number.isdecimal() and len(number) < 10:
            self.turns.on_commit_refused(int(number))
        if event.code in _HARMLESS:
            return
        _log.warning("realtime_error", code=event.code, kind=event.kind)
        if event.event_id == _SETUP:
            self.link.refuse(
                ProviderUnavailable(NAME, f"refused: {event.code}", FailureCause.REJECTED)
            )
        answer = self.answer
        if answer is not None and event.event_id == answer.event_id:
            self.is_idle.set()
            answer.put(failure_of_code(event.code))

    def _on_open(self) -> list[str]:
        """Tell a new connection who the agent is, and what has been said so far."""
        events = [rt.serialize_session(self.config, _SETUP)]
        if self._has_opened:
            events += self._replay()
        self._has_opened = True
        return events

    def _replay(self) -> list[str]:
        events = []
        said = self.history[:-1] if self.is_answering_last else self.history
        for place, message in enumerate(said):
            text = message.text or self.turns.text_of(self.items_of.get(place, ()))
            if text:
                events.append(serialize_said(message.role, text))
        if self.last is not None and self.last.text:
            self.last.told_as = f"said-{next(self._numbers)}"
            events.append(
                rt.serialize_message("assistant", self.last.text, item_id=self.last.told_as)
            )
        if self.utterance and (self.is_unanswered or self.turns.is_in_hand):
            size = _REPLAYED_SAMPLES
            for start in range(0, len(self.utterance), size):
                events.append(rt.serialize_audio(bytes(self.utterance[start : start + size])))
            if not self.turns.is_in_hand:
                events.append(rt.serialize_commit())
        return events

    def _on_lost(self) -> None:
        self.is_idle.set()
        if self.answer is not None:
            self.answer.put(Lost())

    def _on_dead(self, error: ProviderError) -> None:
        self.is_idle.set()
        if self.answer is not None:
            self.answer.put(error)
        self.give(TranscriberFailed(str(error), is_recoverable=False, cause=error.cause))

    def _on_dropped(self, frames: float) -> None:
        self.on_dropped(frames)

    def _give_all(self, events: list[TranscriberEvent]) -> None:
        for event in events:
            self.give(event)


def serialize_said(role: Literal["caller", "agent"], text: str) -> str:
    """Return a message of the history as the server is told of it."""
    return rt.serialize_message("user" if role == "caller" else "assistant", text)


def failure_of_code(code: str) -> ProviderError:
    """Return what an error code of the server's comes down to."""
    if "rate_limit" in code or "quota" in code:
        return ProviderFailed(NAME, code, FailureCause.RATE_LIMITED)
    if code.startswith("invalid"):
        return ProviderFailed(NAME, code, FailureCause.REJECTED)
    return ProviderFailed(NAME, code or "error", FailureCause.SERVER_ERROR)
