"""The Transcriber on OpenAI's realtime protocol: audio goes while the caller speaks.

The session decides when the caller began and ended, so the server's own turn detection is off: an
utterance's audio, with a little from before it, is sent as it comes and committed at its end. A
lost socket is opened again at once and the utterance sent once more.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from services.agent.providers.audio_log import AudioLog
from services.agent.providers.base import (
    FRAME_SAMPLES,
    PHONE_RATE_HZ,
    Expectation,
    Pcm,
    TranscriberEvent,
    TranscriberFailed,
)
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderRejected,
    ProviderTimeout,
)
from services.agent.providers.open_streams import OpenStreams
from services.agent.providers.openai.client import (
    NAME,
    SDK_ERRORS,
    error_event,
    failure_of,
    open_client,
    socket_options,
)
from services.agent.providers.openai.options import OpenAiTranscriptionOptions, primary_language
from services.agent.providers.openai.utterances import (
    NOTHING,
    PREROLL_SAMPLES,
    Utterance,
    Utterances,
    final_of,
)
from services.agent.providers.reconnect import first_error, stay_connected
from services.agent.providers.registry import Secrets
from services.agent.providers.transcript_events import TranscriptEvents
from shared.audio.g711 import encode_ulaw
from shared.runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from openai.resources.realtime.realtime import AsyncRealtimeConnection

_KEPT_SAMPLES = 30 * PHONE_RATE_HZ
_PIECE_SAMPLES = PHONE_RATE_HZ // 5
_LEAST_SAMPLES = PHONE_RATE_HZ // 10  # less can't be committed
_ULAW_SILENCE = b"\xff"
_SEND_S = 5.0
_MOST_TRIES = 2
_TRANSCRIPTION = "conversation.item.input_audio_transcription."


class OpenAiRealtimeTranscriber:
    """The recogniser of a worker; each call has a socket of its own.

    Args:
        options: as the agent's file says.
        language: what is spoken, unless the options say another.
        secrets: where the key is.
        on_dropped: told how many frames of 20 ms were dropped, oldest first, from an utterance
            that could not be sent for 30 s.
        final_wait_s: longest wait for an utterance's text once the caller has ended.

    Raises:
        ProviderUnavailable: no key.
    """

    def __init__(
        self,
        options: OpenAiTranscriptionOptions,
        language: str,
        secrets: Secrets,
        *,
        on_dropped: Callable[[float], None] = lambda _: None,
        final_wait_s: float = 3.0,
    ) -> None:
        self.final_wait_s = final_wait_s
        self.client = open_client(options, secrets)
        self.session = _session(options, language)
        self.on_dropped = on_dropped
        self._streams: OpenStreams[OpenAiRealtimeStream] = OpenStreams(NAME)

    def open(self, expect: Expectation) -> OpenAiRealtimeStream:
        """See Transcriber. What is expected is not used."""
        return self._streams.open(lambda: OpenAiRealtimeStream(self))

    async def aclose(self) -> None:
        """Close all streams and connections; may be called twice."""
        await self._streams.aclose()
        await self.client.close()


def _session(options: OpenAiTranscriptionOptions, language: str) -> dict[str, Any]:
    transcription: dict[str, Any] = {"model": options.model}
    spoken = primary_language(options.language or language)
    if spoken:
        transcription["language"] = spoken
    if options.prompt:
        transcription["prompt"] = options.prompt
    audio: dict[str, Any] = {
        "format": {"type": "audio/pcmu"},
        "transcription": transcription,
        "turn_detection": None,
    }
    if options.noise_reduction:
        audio["noise_reduction"] = {"type": options.noise_reduction}
    return {"type": "transcription", "audio": {"input": audio}}


class OpenAiRealtimeStream:
    """One call's ear. See TranscriberStream.

    Attributes:
        losses: sockets that were lost and replaced, by why.
    """

    def __init__(self, transcriber: OpenAiRealtimeTranscriber) -> None:
        self._transcriber = transcriber
        self._events = TranscriptEvents()
        self._utterances = Utterances(self._events)
        self._audio = AudioLog(_KEPT_SAMPLES)
        self._sent_to = 0
        self._is_ready = False
        self._connected_s = self._last_message_s = 0.0
        self._wake = asyncio.Event()
        self._is_suspect = False
        self._loop = asyncio.get_running_loop()
        self._timers: dict[Utterance, asyncio.TimerHandle] = {}
        self.losses: Counter[FailureCause] = Counter()
        self._owner = TaskOwner(NAME, stop_timeout_s=2.0)
        self._owner.start(self._run(), name="transcribe")

    # --- the call's side -----------------------------------------------------------------------

    def push(self, pcm: Pcm) -> None:
        """See TranscriberStream."""
        if self._events.is_ended or not len(pcm):
            return
        dropped = self._audio.push(encode_ulaw(pcm))
        in_hand = self._utterances.in_hand()
        if not in_hand:
            self._audio.trim(self._audio.end - PREROLL_SAMPLES)
            return
        if dropped:
            self._transcriber.on_dropped(dropped / FRAME_SAMPLES)
        self._wake.set()

    def begin(self) -> None:
        """See TranscriberStream."""
        if not self._events.is_ended:
            self._utterances.begin(self._audio.end)
            self._wake.set()

    def end(self) -> None:
        """See TranscriberStream."""
        if self._events.is_ended:
            return
        utterance = self._utterances.end(self._audio.end)
        if utterance.event is None:
            wait_s = self._transcriber.final_wait_s
            self._timers[utterance] = self._loop.call_later(wait_s, self._on_due, utterance)
        self._wake.set()

    def expect(self, expectation: Expectation) -> None:
        """See TranscriberStream."""

    def events(self) -> AsyncIterator[TranscriberEvent]:
        """See TranscriberStream."""
        return aiter(self._events)

    async def aclose(self) -> None:
        """See TranscriberStream."""
        self._events.close()
        self._utterances.clear()
        self._stop_timers()
        await self._owner.stop()

    # --- the socket's side ---------------------------------------------------------------------

    async def _run(self) -> None:
        error = await stay_connected(
            self._connect,
            has_progressed=lambda: self._last_message_s > self._connected_s,
            on_lost=self._on_lost,
        )
        self._events.put(TranscriberFailed(str(error), is_recoverable=False, cause=error.cause))
        self._stop_timers()

    async def _connect(self) -> ProviderError:
        self._connected_s = self._loop.time()
        self._is_ready = self._is_suspect = False
        has_begun = False
        connect: Any = self._transcriber.client.realtime.connect
        try:
            async with connect(
                extra_query={"intent": "transcription"},
                websocket_connection_options=socket_options(self._transcriber.client),
            ) as socket:
                has_begun = True
                async with asyncio.timeout(_SEND_S):
                    await socket.session.update(session=self._transcriber.session)
                return await first_error(
                    self._owner, read=self._read(socket), write=self._write(socket)
                )
        except SDK_ERRORS as exc:
            raise failure_of(exc, has_begun=has_begun) from None  # its text may hold the key

    def _on_lost(self, error: ProviderError) -> None:
        """What is in hand is sent once more; what was lost twice is given up."""
        self.losses[error.cause] += 1
        in_hand = self._utterances.in_hand()
        for utterance in in_hand:
            if self._sent_to > utterance.begin:
                utterance.tries += 1
            utterance.is_sent, utterance.item, utterance.text = False, None, ""
        self._sent_to = in_hand[0].begin if in_hand else self._audio.end
        for utterance in in_hand:
            if utterance.tries >= _MOST_TRIES:
                lost = ProviderFailed(NAME, "lost twice", FailureCause.CUT)
                self._settle(utterance, _failed(lost))

    async def _read(self, socket: AsyncRealtimeConnection) -> ProviderError:
        """Take what is heard, until the socket is lost; returns why."""
        try:
            async for event in socket:
                self._take(event)
                self._last_message_s = self._loop.time()
        except SDK_ERRORS as exc:
            return failure_of(exc, has_begun=True)
        except ProviderError as exc:
            return exc
        return failure_of(ConnectionError(), has_begun=True)

    async def _write(self, socket: AsyncRealtimeConnection) -> ProviderError:
        """Send what there is, in order, until the socket is lost or suspect; returns why."""
        try:
            while not self._is_suspect:
                self._wake.clear()
                while await self._write_next(socket):
                    pass
                await self._wake.wait()
        except SDK_ERRORS as exc:
            return failure_of(exc, has_begun=True)
        return ProviderTimeout(NAME, "nothing is heard any more")

    async def _write_next(self, socket: AsyncRealtimeConnection) -> bool:
        """Send one piece or commit, if there is one to send."""
        unsent = (u for u in self._utterances.in_hand() if not u.is_sent and u.event is None)
        utterance = next(unsent, None)
        if utterance is None:
            return False
        self._sent_to = max(self._sent_to, utterance.begin, self._audio.begin)
        until = self._sent_to + _PIECE_SAMPLES
        if utterance.end is not None:
            until = min(until, utterance.end)
        piece = self._audio.read(self._sent_to, until)
        async with asyncio.timeout(_SEND_S):
            if piece:
                await _append(socket, piece)
                self._sent_to += len(piece)
                return True
            if utterance.end is None or self._sent_to < utterance.end:
                return False
            short = _LEAST_SAMPLES - (utterance.end - utterance.begin)
            if short > 0:
                await _append(socket, _ULAW_SILENCE * short)
            utterance.is_sent = True
            await socket.input_audio_buffer.commit()
        return True

    # --- what comes ----------------------------------------------------------------------------

    def _take(self, event: Any) -> None:
        """Take an event as the SDK gives it: its models are not checked.

        Raises:
            ProviderError: the session is refused, or is of no use any more.
        """
        kind = event.type
        if kind == "session.updated":
            self._is_ready = True
        elif kind == "input_audio_buffer.committed":
            waiting = (u for u in self._utterances.in_hand() if u.is_sent and u.item is None)
            utterance = next(waiting, None)
            if utterance is not None:
                utterance.item = event.item_id
        elif kind == "error":
            self._on_error(event.error)
        elif kind.startswith(_TRANSCRIPTION):
            self._on_transcription(kind.removeprefix(_TRANSCRIPTION), event)

    def _on_transcription(self, kind: str, event: Any) -> None:
        named = (u for u in self._utterances.in_hand() if u.item == event.item_id)
        utterance = next(named, None)
        if utterance is None:
            return  # given up already
        if kind == "delta":
            self._utterances.grow(utterance, event.delta or "")
        elif kind == "completed":
            self._settle(utterance, final_of(event.transcript))
        elif kind == "failed":
            self._settle(utterance, _failed(error_event(event.error.code)))

    def _on_error(self, error: Any) -> None:
        if not self._is_ready:
            rejected = f"session refused {error_event(error.code).detail}"
            raise ProviderRejected(NAME, rejected, FailureCause.REJECTED)
        waiting = (u for u in self._utterances.in_hand() if u.is_sent and u.item is None)
        utterance = next(waiting, None)
        if error.code == "input_audio_buffer_commit_empty" and utterance is not None:
            self._settle(utterance, NOTHING)
            return
        raise error_event(error.code)

    def _settle(self, utterance: Utterance, event: Any) -> None:
        timer = self._timers.pop(utterance, None)
        if timer is not None:
            timer.cancel()
        self._utterances.settle(utterance, event)

    def _on_due(self, utterance: Utterance) -> None:
        """Nothing has come of it in time: another socket will do better."""
        self._timers.pop(utterance, None)
        self._utterances.settle(utterance, _failed(ProviderTimeout(NAME, "no text in time")))
        self._is_suspect = True
        self._wake.set()

    def _stop_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()


async def _append(socket: AsyncRealtimeConnection, ulaw: bytes) -> None:
    await socket.input_audio_buffer.append(audio=base64.b64encode(ulaw).decode())


def _failed(error: ProviderError) -> TranscriberFailed:
    return TranscriberFailed(str(error), is_recoverable=True, cause=error.cause)
