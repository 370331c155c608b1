"""One call's transcription: opened, fed and read; opened anew when it dies or the language changes.

Also keeps the last seconds of the caller, for a model that judges by their sound whether a turn is
over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

import numpy as np
import structlog

from services.agent.providers import base
from services.agent.providers.errors import ProviderError
from services.agent.turn import events as ev
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
_KEPT_FRAMES = 400  # 8 s, what an end-of-turn model listens to
_REOPEN_S = (0.0, 0.2, 0.5, 1.0, 2.0)
_SCORE_S = 1.0
_DEAF_AFTER = 2
"""So many recognisers that die in a row, without a word between them, are a chain that is dead."""
_LOST = base.Final("", is_understood=False, confidence=0.0)

OpenStream = Callable[[base.Expectation], base.TranscriberStream]


class Ears:
    """Hears one caller.

    Args:
        stream: the first stream, open already.
        reopen: opens another in its place.
        owner: of the tasks.
        on_event: takes what was heard.
        on_failed: told of each failure of a recogniser.
        end_of_turn: judges whether turns are over; None: nobody does.
    """

    def __init__(
        self,
        stream: base.TranscriberStream,
        reopen: OpenStream,
        owner: TaskOwner,
        *,
        on_event: Callable[[ev.Event], None],
        on_failed: Callable[[], None],
        end_of_turn: base.EndOfTurn | None = None,
    ) -> None:
        self._stream = stream
        self._reopen = reopen
        self._owner = owner
        self._on_event = on_event
        self._on_failed = on_failed
        self._end_of_turn = end_of_turn
        self._expectation = base.Expectation()
        self._recent: deque[base.Pcm] = deque(maxlen=_KEPT_FRAMES)
        self._is_listening = False
        self._is_closed = False
        self._usage: dict[str, float] = {}

    def start(self) -> None:
        """Begin to read what the recogniser gives."""
        self._owner.start(self._read(), name="transcriber")

    # --- feeding -----------------------------------------------------------------------------

    def push(self, pcm: base.Pcm) -> None:
        """Hear 20 ms of the caller."""
        self._stream.push(pcm)
        if self._end_of_turn is not None:
            self._recent.append(pcm)

    def begin(self) -> None:
        """The caller began to speak."""
        self._is_listening = True
        self._stream.begin()

    def end(self) -> None:
        """The caller ended."""
        self._is_listening = False
        self._stream.end()

    def expect(self, expectation: base.Expectation) -> None:
        """Replace what is expected."""
        self._expectation = expectation
        self._stream.expect(expectation)

    def score_turn(self, number: int) -> None:
        """Have the turn so far judged; TurnScored follows, or nothing where nobody can tell."""
        if self._end_of_turn is not None and self._recent:
            pcm = np.concatenate(self._recent)
            self._owner.start(self._score(self._end_of_turn, number, pcm), name="end_of_turn")

    async def _score(self, model: base.EndOfTurn, number: int, pcm: base.Pcm) -> None:
        try:
            async with asyncio.timeout(_SCORE_S):
                probability = await model.probability(pcm)
        except (ProviderError, TimeoutError) as exc:
            _log.info("turn_not_scored", error=str(exc))
            return
        self._on_event(ev.TurnScored(number, probability))

    # --- reading -----------------------------------------------------------------------------

    def switch(self, reopen: OpenStream) -> None:
        """Hear by another recogniser from now on; the words of an utterance in hand are lost."""
        self._reopen = reopen
        self._owner.start(self._stream.aclose(), name="transcriber_left")

    @property
    def _is_over(self) -> bool:
        return self._is_closed or self._owner.is_stopping

    async def _read(self) -> None:
        failures = 0
        while not self._is_over:
            stream = self._stream
            async for event in stream.events():
                failures = self._on_transcriber(event, failures)
            self._add_usage(stream)
            await stream.aclose()
            if self._is_over:
                return
            await asyncio.sleep(_REOPEN_S[min(failures, len(_REOPEN_S) - 1)])
            if self._is_over:
                return
            try:
                self._stream = self._reopen(self._expectation)
            except ProviderError as exc:
                _log.warning("transcriber_not_opened", error=str(exc))
                self._on_failed()
                failures += 1
                self._tell_deaf(failures)
                continue
            if self._is_listening:
                self._stream.begin()

    def _on_transcriber(self, event: base.TranscriberEvent, failures: int) -> int:
        match event:
            case base.Final():
                self._on_event(ev.Transcribed(event))
                return 0
            case base.Partial():
                self._on_event(ev.TranscriptGrew(event))
                return 0
            case base.TranscriberFailed():
                self._on_failed()
                self._on_event(ev.Transcribed(_LOST))
                failures += not event.is_recoverable
                self._tell_deaf(failures)
                return failures

    def _tell_deaf(self, failures: int) -> None:
        if failures >= _DEAF_AFTER:
            self._on_event(ev.HearingFailed())

    # --- the end -----------------------------------------------------------------------------

    @property
    def usage_s(self) -> Mapping[str, float]:
        """Seconds of audio heard, by provider."""
        self_and_past = dict(self._usage)
        for provider, seconds in _usage_of(self._stream).items():
            self_and_past[provider] = self_and_past.get(provider, 0.0) + seconds
        return self_and_past

    def _add_usage(self, stream: base.TranscriberStream) -> None:
        for provider, seconds in _usage_of(stream).items():
            self._usage[provider] = self._usage.get(provider, 0.0) + seconds

    async def aclose(self) -> None:
        """Let go of the recogniser; none is opened in its place."""
        self._is_closed = True
        await self._stream.aclose()


def _usage_of(stream: base.TranscriberStream) -> Mapping[str, float]:
    """What a stream says it has used; streams that cost nothing say nothing."""
    usage: Mapping[str, float] = getattr(stream, "usage", {})
    return usage
