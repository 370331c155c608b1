"""A Transcriber over a LiveKit plugin's STT class.

A class that streams gets one stream a call, open for as long as the call; one that does not gets
each utterance as a whole.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import stt

from services.agent.providers.base import (
    FRAME_SAMPLES,
    PHONE_RATE_HZ,
    Expectation,
    Final,
    Pcm,
    TranscriberEvent,
    TranscriberFailed,
    TranscriberStream,
)
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderUnavailable,
)
from services.agent.providers.livekit.failures import failure_of
from services.agent.providers.livekit.options import LiveKitOptions
from services.agent.providers.livekit.plugin import Plugin
from services.agent.providers.livekit.streams import end_stream
from services.agent.providers.livekit.utterances import Utterances
from services.agent.providers.transcript_events import TranscriptEvents
from shared.audio.resample import Resampler
from shared.runtime.tasks import TaskOwner

_PREROLL_SAMPLES = int(0.4 * PHONE_RATE_HZ)
_MOST_SAMPLES = 20 * PHONE_RATE_HZ
_UTTERANCES_KEPT = 8
_ENDS_KEPT = 64
_QUIET_S = 1.0
_STEADY_S = 30.0
_END: Pcm = np.zeros(0, np.int16)
"""Stands among the audio kept where an utterance ended."""

Dropped = Callable[[float], None]


class LiveKitTranscriber:
    """A plugin's recogniser. See Transcriber.

    Attributes:
        on_dropped: told how many frames of 20 ms were dropped, oldest first.
    """

    def __init__(self, plugin: Plugin, options: LiveKitOptions) -> None:
        self._plugin = plugin
        self._options = options
        self._sample_rate_hz = int(options.arguments.get("sample_rate", PHONE_RATE_HZ))
        self.on_dropped: Dropped = lambda _: None

    def open(self, expect: Expectation) -> TranscriberStream:
        """See Transcriber. What is expected is not told to the vendor."""
        capabilities: stt.STTCapabilities = self._plugin.made.capabilities
        if not capabilities.streaming:
            return _WholeUtterances(self._plugin, self._options.final_s, self.on_dropped)
        final_s = self._options.final_s
        quiet_s = min(final_s, _QUIET_S) if capabilities.interim_results else final_s
        return _Streamed(
            self._plugin, Utterances(final_s, quiet_s), self._sample_rate_hz, self.on_dropped
        )

    async def aclose(self) -> None:
        """Close the plugin's connections; may be called twice."""
        async with asyncio.timeout(self._options.timeout_s):
            await self._plugin.aclose()


class _Ear:
    """What both ways have in common: the audio kept, and the events."""

    def __init__(self, plugin: Plugin, on_dropped: Dropped) -> None:
        self._plugin = plugin
        self._on_dropped = on_dropped
        self._kept: deque[Pcm] = deque()
        self._kept_samples = 0
        self._events = TranscriptEvents()
        self._owner = TaskOwner(f"{plugin.name}:stt")

    def expect(self, _expectation: Expectation) -> None:
        """See TranscriberStream. Plugins have no common way to be told."""

    def events(self) -> AsyncIterator[TranscriberEvent]:
        """See TranscriberStream."""
        return aiter(self._events)

    async def aclose(self) -> None:
        """See TranscriberStream."""
        self._events.close()
        self._forget(0)
        await self._owner.stop()

    def _keep(self, pcm: Pcm, *, is_in_hand: bool) -> None:
        self._kept.append(pcm.copy())
        self._kept_samples += len(pcm)
        if not is_in_hand:
            self._forget(_PREROLL_SAMPLES)
            return
        while self._kept_samples > _MOST_SAMPLES and len(self._kept) > 1:
            dropped = len(self._kept.popleft())
            self._kept_samples -= dropped
            self._on_dropped(dropped / FRAME_SAMPLES)

    def _forget(self, all_but_samples: int) -> None:
        while self._kept and self._kept_samples - len(self._kept[0]) >= all_but_samples:
            self._kept_samples -= len(self._kept.popleft())


class _Streamed(_Ear):
    """One stream of the plugin's, opened again once when it breaks, with what is unsettled."""

    def __init__(
        self, plugin: Plugin, utterances: Utterances, sample_rate_hz: int, on_dropped: Dropped
    ) -> None:
        super().__init__(plugin, on_dropped)
        self._utterances = utterances
        self._rate_hz = sample_rate_hz
        self._resampler = Resampler(PHONE_RATE_HZ, sample_rate_hz, "live")
        self._stream: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._owner.start(self._listen(), name="listen")

    def push(self, pcm: Pcm) -> None:
        """See TranscriberStream."""
        if self._events.is_ended or not len(pcm):
            return
        self._keep(pcm, is_in_hand=self._utterances.is_in_hand)
        if self._stream is not None:
            self._send(pcm)

    def begin(self) -> None:
        """See TranscriberStream."""
        if not self._events.is_ended:
            self._utterances.begin(self._loop.time())

    def end(self) -> None:
        """See TranscriberStream."""
        if self._events.is_ended:
            return
        self._give_all(self._utterances.end(self._loop.time()))
        if self._utterances.is_waiting:
            self._kept.append(_END)
            if self._stream is not None:
                self._flush()

    async def aclose(self) -> None:
        """See TranscriberStream."""
        if self._timer is not None:
            self._timer.cancel()
        await super().aclose()

    # --- towards the vendor ------------------------------------------------------------------

    def _send(self, pcm: Pcm) -> None:
        # LiveKit's own queue has no bound: while it is not read from, no more is put there.
        if self._waiting_frames() > _MOST_SAMPLES // FRAME_SAMPLES:
            self._on_dropped(len(pcm) / FRAME_SAMPLES)
            return
        samples = self._resampler.push(pcm)
        if not len(samples):
            return
        frame = rtc.AudioFrame(samples.tobytes(), self._rate_hz, 1, len(samples))
        try:
            self._stream.push_frame(frame)
        except RuntimeError:  # just broken; `_listen` is about to learn of it
            self._stream = None

    def _waiting_frames(self) -> int:
        channel = getattr(self._stream, "_input_ch", None)
        return channel.qsize() if channel is not None else 0

    def _flush(self) -> None:
        try:
            self._stream.flush()
        except RuntimeError:  # as above
            self._stream = None

    # --- from the vendor ---------------------------------------------------------------------

    async def _listen(self) -> None:
        failed_s = -_STEADY_S
        while True:
            async with self._plugin.job_context():
                failure = await self._listen_once()
            now_s = self._loop.time()
            is_steady = now_s - failed_s >= _STEADY_S
            failed_s = now_s
            if isinstance(failure, ProviderUnavailable) or not is_steady:
                self._events.put(TranscriberFailed(str(failure), False, failure.cause))
                return

    async def _listen_once(self) -> ProviderError:
        stream = None
        try:
            stream = self._plugin.made.stream(conn_options=self._plugin.connection)
            self._stream = stream
            self._resampler.reset()
            self._replay()
            async for event in stream:
                self._on_event(event)
        except Exception as exc:  # noqa: BLE001 - a plugin may raise anything; it is translated
            return failure_of(self._plugin.name, exc)
        finally:
            self._stream = None
            if stream is not None:
                await end_stream(stream)
        return ProviderFailed(self._plugin.name, "the stream ended", FailureCause.CUT)

    def _replay(self) -> None:
        """Send what no settled words have come for yet, with the ends in their places."""
        for pcm in tuple(self._kept):
            if self._stream is None:
                return
            if pcm is _END:
                self._flush()
            else:
                self._send(pcm)

    def _on_event(self, event: stt.SpeechEvent) -> None:
        now_s = self._loop.time()
        kind = stt.SpeechEventType
        if event.type == kind.START_OF_SPEECH:
            self._utterances.on_speech_start(now_s)
        elif event.type == kind.END_OF_SPEECH:
            self._give_all(self._utterances.on_speech_end())
        elif event.type in (kind.INTERIM_TRANSCRIPT, kind.FINAL_TRANSCRIPT):
            is_settled = event.type == kind.FINAL_TRANSCRIPT
            if is_settled:
                self._forget_settled()
            best = event.alternatives[0] if event.alternatives else None
            text = best.text.strip() if best is not None else ""
            confidence = best.confidence if best is not None else 0.0
            self._give_all(self._utterances.on_words(text, confidence, is_settled, now_s))

    def _forget_settled(self) -> None:
        """Settled words came: they are of the audio up to the first end, or of all there is."""
        while self._kept:
            pcm = self._kept.popleft()
            self._kept_samples -= len(pcm)
            if pcm is _END:
                return

    def _give_all(self, events: list[TranscriberEvent]) -> None:
        for event in events:
            self._events.put(event)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_s = self._utterances.due_s
        if due_s is not None and not self._events.is_ended:
            self._timer = self._loop.call_at(due_s, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._give_all(self._utterances.on_time(self._loop.time()))


class _WholeUtterances(_Ear):
    """Each utterance is sent when it has ended; no partials."""

    def __init__(self, plugin: Plugin, final_s: float, on_dropped: Dropped) -> None:
        super().__init__(plugin, on_dropped)
        self._final_s = final_s
        self._is_begun = False
        # Audio to recognise, or what came of the utterance already; see `end`.
        self._ended: asyncio.Queue[Pcm | Final | TranscriberFailed] = asyncio.Queue(_ENDS_KEPT)
        self._owner.start(self._recognise_all(), name="recognise")

    def push(self, pcm: Pcm) -> None:
        """See TranscriberStream."""
        if not self._events.is_ended and len(pcm):
            self._keep(pcm, is_in_hand=self._is_begun)

    def begin(self) -> None:
        """See TranscriberStream."""
        self._is_begun = not self._events.is_ended

    def end(self) -> None:
        """See TranscriberStream."""
        if self._events.is_ended:
            return
        ended: Pcm | Final | TranscriberFailed = Final("", is_understood=False, confidence=0.0)
        if self._is_begun and self._ended.qsize() >= _UTTERANCES_KEPT:
            ended = TranscriberFailed("too many utterances wait", is_recoverable=True)
        elif self._is_begun and self._kept:
            ended = np.concatenate(self._kept)
        if self._ended.full():  # so many ends in a row come from no speaker
            self._ended.get_nowait()
        self._ended.put_nowait(ended)
        self._is_begun = False
        self._forget(_PREROLL_SAMPLES)

    async def _recognise_all(self) -> None:
        while True:
            ended = await self._ended.get()
            if isinstance(ended, np.ndarray):
                ended = await self._recognise(ended)
            self._events.put(ended)

    async def _recognise(self, pcm: Pcm) -> Final | TranscriberFailed:
        frame = rtc.AudioFrame(pcm.tobytes(), PHONE_RATE_HZ, 1, len(pcm))
        try:
            async with asyncio.timeout(self._final_s):
                event = await self._plugin.made.recognize(
                    [frame], conn_options=self._plugin.connection
                )
        except Exception as exc:  # noqa: BLE001 - a plugin may raise anything; it is translated
            failure = failure_of(self._plugin.name, exc)
            is_recoverable = not isinstance(failure, ProviderUnavailable)
            return TranscriberFailed(str(failure), is_recoverable, failure.cause)
        best = event.alternatives[0] if event.alternatives else None
        text = best.text.strip() if best is not None else ""
        confidence = (best.confidence or 1.0) if best is not None and text else 0.0
        return Final(text, bool(text), confidence)
