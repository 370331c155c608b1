"""The Transcriber on Deepgram's live socket: mu-law as it comes, words as they are heard.

A stream connects in a task of its own and stays connected for the call. What was said lately is
kept; when the socket is lost another one is opened at once and gets all that was not settled, so
no word is lost. A stream's times are those of the call's audio, whichever socket brought them.

    push ──▶ AudioLog ──▶ writer ──▶ socket ──▶ reader ──▶ Transcript ──▶ events
                 ▲                                 │
                 └──── sent again when it is lost ─┘
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable

import numpy as np

from services.agent.providers.audio_log import AudioLog
from services.agent.providers.base import (
    FRAME_SAMPLES,
    PHONE_RATE_HZ,
    Expectation,
    Pcm,
    TranscriberEvent,
    TranscriberFailed,
)
from services.agent.providers.deepgram.client import NAME, SDK_ERRORS, failure_of, open_client
from services.agent.providers.deepgram.listen_socket import ListenSocket, UtteranceEnded
from services.agent.providers.deepgram.options import DeepgramListenOptions
from services.agent.providers.deepgram.transcript import Result, Transcript
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderTimeout,
)
from services.agent.providers.open_streams import OpenStreams
from services.agent.providers.reconnect import first_error, stay_connected
from services.agent.providers.registry import Secrets
from services.agent.providers.transcript_events import TranscriptEvents
from shared.audio.g711 import encode_ulaw
from shared.runtime.tasks import TaskOwner

_KEPT_SAMPLES = 30 * PHONE_RATE_HZ
_PIECE_SAMPLES = PHONE_RATE_HZ // 5
_SEND_S = 5.0
_SILENT_S = 1.0
_SOUND_RATIO = 10 ** (-25 / 10)
_LEAST_POWER = float((32768 * 10 ** (-60 / 20)) ** 2)


class DeepgramTranscriber:
    """The recogniser of a worker; each call has a socket of its own.

    Args:
        options: as the agent's file says.
        language: what is spoken, unless the options say another.
        secrets: where the key is.
        on_dropped: told how many frames of 20 ms were dropped, oldest first, because they could
            not be sent for 30 s.
        keep_alive_s: longest without a message; Deepgram hangs up after 10 s.
        final_wait_s: longest wait for an utterance's words once the caller has ended.

    Raises:
        ProviderUnavailable: no key.
    """

    def __init__(
        self,
        options: DeepgramListenOptions,
        language: str,
        secrets: Secrets,
        *,
        on_dropped: Callable[[float], None] = lambda _: None,
        keep_alive_s: float = 4.0,
        final_wait_s: float = 1.5,
    ) -> None:
        self.keep_alive_s = keep_alive_s
        self.final_wait_s = final_wait_s
        self.options = options
        self.language = language
        self.on_dropped = on_dropped
        self.client, self._http = open_client(options, secrets)
        self._streams: OpenStreams[DeepgramStream] = OpenStreams(NAME)

    def open(self, expect: Expectation) -> DeepgramStream:
        """See Transcriber. What is expected is not used: keyterms are fixed when it connects."""
        return self._streams.open(lambda: DeepgramStream(self))

    async def aclose(self) -> None:
        """Close all streams and connections; may be called twice."""
        await self._streams.aclose()
        await self._http.aclose()


class DeepgramStream:
    """One call's ear. See TranscriberStream.

    Attributes:
        losses: sockets that were lost and replaced, by why.
        audio_sent_s: what Deepgram will charge for.
    """

    def __init__(self, transcriber: DeepgramTranscriber) -> None:
        self._transcriber = transcriber
        self._transcript = Transcript(
            transcriber.options.least_confidence, transcriber.final_wait_s
        )
        self._events = TranscriptEvents()
        self._audio = AudioLog(_KEPT_SAMPLES)
        self._sent_to = 0  # place in the call
        self._offset_s = 0.0  # of the present socket's time
        self._finalise_at: deque[int] = deque()
        self._finalising: deque[float] = deque()
        self._wake = asyncio.Event()
        self._loudest = 0.0
        self._sound_until = 0
        self._timer: asyncio.TimerHandle | None = None
        self._connected_s = 0.0
        self._last_message_s = 0.0
        self._is_suspect = False
        self.losses: Counter[FailureCause] = Counter()
        self.audio_sent_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._owner = TaskOwner(NAME, stop_timeout_s=2.0)
        self._owner.start(self._run(), name="listen")

    # --- the call's side -----------------------------------------------------------------------

    def push(self, pcm: Pcm) -> None:
        """See TranscriberStream."""
        if self._events.is_ended or not len(pcm):
            return
        dropped = self._audio.push(encode_ulaw(pcm))
        if dropped:
            self._transcriber.on_dropped(dropped / FRAME_SAMPLES)
        samples = pcm.astype(np.float32)
        power = float(np.dot(samples, samples)) / len(samples)
        self._loudest = max(self._loudest, power)
        if power > max(self._loudest * _SOUND_RATIO, _LEAST_POWER):
            self._sound_until = self._audio.end
        self._wake.set()

    def begin(self) -> None:
        """See TranscriberStream."""
        if not self._events.is_ended:
            self._loudest *= 0.25  # the level of this utterance is to count, not of a louder one
            self._transcript.begin(_seconds(self._audio.end))

    def end(self) -> None:
        """See TranscriberStream."""
        if self._events.is_ended:
            return
        place = self._audio.end
        sound_until_s = _seconds(self._sound_until)
        self._give(self._transcript.end(_seconds(place), sound_until_s, self._loop.time()))
        if self._transcript.owed():
            self._finalise_at.append(place)
            self._wake.set()
        self._set_timer()

    def expect(self, expectation: Expectation) -> None:
        """See TranscriberStream."""

    def events(self) -> AsyncIterator[TranscriberEvent]:
        """See TranscriberStream."""
        return aiter(self._events)

    async def aclose(self) -> None:
        """See TranscriberStream."""
        self._events.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._owner.stop()

    # --- the socket's side ---------------------------------------------------------------------

    async def _run(self) -> None:
        error = await stay_connected(
            self._connect,
            has_progressed=lambda: self._last_message_s > self._connected_s,
            on_lost=self._on_lost,
        )
        self._events.put(TranscriberFailed(str(error), is_recoverable=False, cause=error.cause))
        self._set_timer()

    async def _connect(self) -> ProviderError:
        transcriber = self._transcriber
        options, language = transcriber.options, transcriber.language
        self._connected_s = self._loop.time()
        async with ListenSocket.open(transcriber.client, options, language) as socket:
            self._begin_socket()
            return await first_error(
                self._owner, read=self._read(socket), write=self._write(socket)
            )

    def _on_lost(self, error: ProviderError) -> None:
        self.losses[error.cause] += 1
        self._transcript.on_lost()

    def _begin_socket(self) -> None:
        """Whatever is not settled goes over the new socket, and what was asked is asked again."""
        wanted_s = self._transcript.wanted_from_s(_seconds(self._audio.end))
        wanted = max(self._audio.begin, round(wanted_s * PHONE_RATE_HZ))
        self._sent_to = min(wanted, self._audio.end)
        self._offset_s = _seconds(self._sent_to)
        self._finalising.clear()
        self._finalise_at = deque(round(s * PHONE_RATE_HZ) for s in self._transcript.owed())
        self._is_suspect = False

    async def _read(self, socket: ListenSocket) -> ProviderError:
        """Take what is heard, until the socket is lost; returns why."""
        try:
            async for message in socket.messages():
                self._last_message_s = self._loop.time()
                self._take(message)
        except SDK_ERRORS as exc:
            return failure_of(exc, has_begun=True)
        except ProviderError as exc:
            return exc
        raise AssertionError("messages() ends by an error alone")

    async def _write(self, socket: ListenSocket) -> ProviderError:
        """Send what there is, in order, until the socket is lost or suspect; returns why."""
        try:
            while not self._is_suspect:
                async with asyncio.timeout(_SEND_S):
                    is_at_work = await self._write_next(socket)
                if not is_at_work:
                    await self._wait_for_audio(socket)
        except SDK_ERRORS as exc:
            return failure_of(exc, has_begun=True)
        return ProviderTimeout(NAME, "nothing is heard any more")

    async def _write_next(self, socket: ListenSocket) -> bool:
        until = self._sent_to + _PIECE_SAMPLES
        if self._finalise_at:
            until = min(until, self._finalise_at[0])
        self._sent_to = max(self._sent_to, self._audio.begin)
        piece = self._audio.read(self._sent_to, until)
        if piece:
            await socket.send_audio(piece)
            self._sent_to += len(piece)
            self.audio_sent_s += _seconds(len(piece))
            if self._transcript.is_idle:
                self._audio.trim(self._sent_to - PHONE_RATE_HZ)
            return True
        if self._finalise_at and self._finalise_at[0] <= self._sent_to:
            self._finalising.append(_seconds(self._finalise_at.popleft()))
            await socket.finalize()
            return True
        return False

    async def _wait_for_audio(self, socket: ListenSocket) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(self._transcriber.keep_alive_s):
                await self._wake.wait()
        except TimeoutError:
            async with asyncio.timeout(_SEND_S):
                await socket.keep_alive()

    def _take(self, message: Result | UtteranceEnded) -> None:
        if isinstance(message, UtteranceEnded):
            self._give(self._transcript.on_utterance_end(_seconds(self._sent_to)))
            return
        finalised_to_s = None
        if message.is_from_finalize and self._finalising:
            finalised_to_s = self._finalising.popleft()
        moved = message.moved(self._offset_s)
        self._give(self._transcript.on_result(moved, finalised_to_s))
        self._set_timer()

    # --- events --------------------------------------------------------------------------------

    def _give(self, events: list[TranscriberEvent]) -> None:
        for event in events:
            self._events.put(event)

    def _set_timer(self) -> None:
        """Be called when the oldest Final is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_s = self._transcript.due_s
        if due_s is not None and not self._events.is_ended:
            self._timer = self._loop.call_at(due_s, self._on_due)

    def _on_due(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        silent_s = min(_SILENT_S, self._transcriber.final_wait_s / 2)
        is_silent = now_s - self._last_message_s >= silent_s
        if is_silent:
            # It was asked and says nothing at all: another socket will do better.
            self._is_suspect = True
            self._wake.set()
        self._give(self._transcript.on_time(now_s, is_silent=is_silent))
        self._set_timer()


def _seconds(samples: int) -> float:
    return samples / PHONE_RATE_HZ
