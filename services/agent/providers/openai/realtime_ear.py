"""The ear of a realtime conversation: what the caller says goes to the server as it comes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from services.agent.providers.base import (
    PHONE_RATE_HZ,
    Expectation,
    Pcm,
    TranscriberEvent,
    TranscriberFailed,
)
from services.agent.providers.openai import realtime_events as rt
from services.agent.providers.openai.realtime_core import COMMIT, Core
from shared.audio.g711 import encode_ulaw

_PREROLL_BYTES = int(0.4 * PHONE_RATE_HZ)
_MOST_BYTES = 30 * PHONE_RATE_HZ
_EVENTS_KEPT = 64


class RealtimeEar:
    """What the caller says goes to the server as it comes. See TranscriberStream.

    Without the server's detection only what our own takes for speech is sent, with what came just
    before it: the server would take in, and charge for, all the silence as well.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._sends_all = core.config.turn_detection != "none"
        self._preroll: deque[bytes] = deque()
        self._preroll_bytes = 0
        self._events: asyncio.Queue[TranscriberEvent | None] = asyncio.Queue(_EVENTS_KEPT)
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        core.give = self._give

    def push(self, pcm: Pcm) -> None:
        """See TranscriberStream."""
        if self._is_closed or not len(pcm):
            return
        ulaw = encode_ulaw(pcm)
        if self._core.turns.is_in_hand:
            self._keep(ulaw)
        else:
            self._preroll.append(ulaw)
            self._preroll_bytes += len(ulaw)
            while self._preroll_bytes - len(self._preroll[0]) >= _PREROLL_BYTES:
                self._preroll_bytes -= len(self._preroll.popleft())
        if self._sends_all or self._core.turns.is_in_hand:
            self._core.link.send_audio(rt.serialize_audio(ulaw))

    def begin(self) -> None:
        """See TranscriberStream."""
        core = self._core
        if self._is_closed or core.turns.is_in_hand:
            return
        core.turns.begin()
        core.utterance.clear()
        core.is_unanswered = True
        for ulaw in self._preroll:
            core.utterance += ulaw
        if not self._sends_all and self._preroll:
            core.link.send_audio(rt.serialize_audio(b"".join(self._preroll)))
        self._preroll.clear()
        self._preroll_bytes = 0

    def end(self) -> None:
        """See TranscriberStream."""
        if self._is_closed:
            return
        events, commit = self._core.turns.end(self._loop.time())
        if commit is not None:
            self._core.link.send(rt.serialize_commit(f"{COMMIT}{commit}"))
        for event in events:
            self._give(event)
        self._wait_for_due()

    def expect(self, _expectation: Expectation) -> None:
        """See TranscriberStream. The model expects what its instructions say."""

    async def events(self) -> AsyncIterator[TranscriberEvent]:
        """See TranscriberStream."""
        while (event := await self._events.get()) is not None:
            yield event

    async def aclose(self) -> None:
        """See TranscriberStream. The conversation holds the connection and closes it."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_closed:
            self._is_closed = True
            while not self._events.empty():
                self._events.get_nowait()
            self._events.put_nowait(None)

    def _keep(self, ulaw: bytes) -> None:
        utterance = self._core.utterance
        utterance += ulaw
        if len(utterance) > _MOST_BYTES:
            del utterance[: len(utterance) - _MOST_BYTES]

    def _give(self, event: TranscriberEvent) -> None:
        if self._is_closed:
            return
        if self._events.full():  # nobody reads: the oldest is worth least
            self._events.get_nowait()
        self._events.put_nowait(event)
        if isinstance(event, TranscriberFailed) and not event.is_recoverable:
            self._is_closed = True
            if self._events.full():
                self._events.get_nowait()
            self._events.put_nowait(None)

    def _wait_for_due(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_s = self._core.turns.due_s
        if due_s is not None and not self._is_closed:
            self._timer = self._loop.call_at(due_s, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        for event in self._core.turns.on_time(self._loop.time()):
            self._give(event)
        self._wait_for_due()
