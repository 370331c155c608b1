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
)
from services.agent.providers.openai import realtime_events as rt
from services.agent.providers.openai.realtime_core import COMMIT, Core
from services.agent.providers.transcript_events import TranscriptEvents
from shared.audio.g711 import encode_ulaw

_PREROLL_BYTES = int(0.4 * PHONE_RATE_HZ)
_MOST_BYTES = 30 * PHONE_RATE_HZ


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
        self._events = TranscriptEvents()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        core.give = self._events.put

    def push(self, pcm: Pcm) -> None:
        """See TranscriberStream."""
        if self._events.is_ended or not len(pcm):
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
        if self._events.is_ended or core.turns.is_in_hand:
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
        if self._events.is_ended:
            return
        events, commit = self._core.turns.end(self._loop.time())
        if commit is not None:
            self._core.link.send(rt.serialize_commit(f"{COMMIT}{commit}"))
        for event in events:
            self._events.put(event)
        self._wait_for_due()

    def expect(self, _expectation: Expectation) -> None:
        """See TranscriberStream. The model expects what its instructions say."""

    def events(self) -> AsyncIterator[TranscriberEvent]:
        """See TranscriberStream."""
        return aiter(self._events)

    async def aclose(self) -> None:
        """See TranscriberStream. The conversation holds the connection and closes it."""
        if self._timer is not None:
            self._timer.cancel()
        self._events.close()

    def _keep(self, ulaw: bytes) -> None:
        utterance = self._core.utterance
        utterance += ulaw
        if len(utterance) > _MOST_BYTES:
            del utterance[: len(utterance) - _MOST_BYTES]

    def _wait_for_due(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_s = self._core.turns.due_s
        if due_s is not None and not self._events.is_ended:
            self._timer = self._loop.call_at(due_s, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        for event in self._core.turns.on_time(self._loop.time()):
            self._events.put(event)
        self._wait_for_due()
