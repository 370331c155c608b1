"""OpenAI's `/v1/realtime` as a transcription session: audio in, text out, nothing said."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.websockets import WebSocket, WebSocketDisconnect

from shared.audio.g711 import decode_ulaw
from shared.audio.resample import Resampler
from tests.support.standins.faults import Afflicted
from tests.support.standins.hearing import RATE_HZ, Listener, hear_whole
from tests.support.standins.speaking import tokens_of
from tests.support.standins.world import Outlet, World

REALTIME = "/v1/realtime"
_LEAST_COMMIT_S = 0.1
_PCM_RATE_HZ = 24_000


class TranscriptionSession:
    """One session over an accepted socket.

    Without turn detection the client commits; with `server_vad` the session does it, after
    `silence_duration_ms`.
    """

    def __init__(self, world: World, socket: WebSocket, afflicted: Afflicted) -> None:
        self._world = world
        self._socket = socket
        self._outlet = Outlet(world, REALTIME, socket, afflicted)
        self._numbers = itertools.count(1)
        self._buffer: list[NDArray[np.int16]] = []
        self._listener: Listener | None = None
        self._is_speaking = False
        self._previous: str | None = None
        self._resampler: Resampler | None = None
        self._session: dict[str, Any] = {"type": "transcription", "object": "realtime.session"}

    async def run(self, first: dict[str, Any] | None = None) -> None:
        """Serve it to its end; `first` is a message that has been read already."""
        try:
            await self._send("session.created", session=self._session)
            if first is not None:
                await self._obey(first)
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                await self._read(message.get("text") or message["bytes"].decode())
        except (WebSocketDisconnect, RuntimeError):
            pass  # the client is gone while it was being told something
        finally:
            if self._listener is not None:
                self._listener.give_back()
            await self._outlet.aclose()

    async def _read(self, text: str) -> None:
        try:
            await self._obey(json.loads(text))
        except (ValueError, KeyError, TypeError) as exc:
            await self._error("invalid_request_error", "invalid_value", f"no good: {exc!r}")

    async def _obey(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind != "input_audio_buffer.append":
            self._world.note_message(REALTIME, message)
        match kind:
            case "session.update":
                await self._update(message["session"])
            case "input_audio_buffer.append":
                await self._hear(base64.b64decode(message["audio"]))
            case "input_audio_buffer.commit":
                await self._commit()
            case "input_audio_buffer.clear":
                self._buffer.clear()
                await self._send("input_audio_buffer.cleared")
            case _:
                await self._error("invalid_request_error", "unknown_event", f"no {kind} here")

    async def _update(self, session: dict[str, Any]) -> None:
        if self._world.session_error:
            code = self._world.session_error
            await self._error("invalid_request_error", code, "The session is refused.")
            return
        self._session.update(session)
        audio = session.get("audio", {}).get("input", {})
        kind = audio.get("format", {}).get("type", "audio/pcm")
        is_wide = kind == "audio/pcm"
        self._resampler = Resampler(_PCM_RATE_HZ, RATE_HZ) if is_wide else None
        detection = audio.get("turn_detection")
        if detection is not None:
            quiet_s = detection.get("silence_duration_ms", 500) / 1000
            self._listener = Listener(self._world.ear, quiet_s=quiet_s)
        await self._send("session.updated", session=self._session)

    async def _hear(self, data: bytes) -> None:
        self._world.audio_bytes[REALTIME] += len(data)
        if self._resampler is None:
            pcm = decode_ulaw(data)
        else:
            pcm = self._resampler.push(np.frombuffer(data, "<i2").astype(np.int16))
        if self._listener is None:
            self._buffer.append(pcm)
            return
        for _ in self._listener.frames(pcm):
            await self._look(self._listener)

    async def _look(self, listener: Listener) -> None:
        if listener.utterance is None:
            return
        if not self._is_speaking:
            self._is_speaking = True
            start_ms = int(listener.utterance.start_s * 1000)
            await self._send("input_audio_buffer.speech_started", audio_start_ms=start_ms)
        if listener.is_over:
            self._is_speaking = False
            words = listener.words(is_over=True)
            end_ms = int(listener.quiet_since_s * 1000)
            await self._send("input_audio_buffer.speech_stopped", audio_end_ms=end_ms)
            await self._tell(" ".join(word.text for word in words), listener.now_s)
            listener.finish()

    async def _commit(self) -> None:
        if self._world.commit_error:
            self._buffer.clear()
            await self._error("invalid_request_error", self._world.commit_error, "No.")
            return
        if self._listener is not None:
            if self._listener.utterance is not None:
                words = self._listener.words(is_over=True)
                await self._tell(" ".join(word.text for word in words), self._listener.now_s)
                self._listener.finish()
                self._is_speaking = False
            return
        pcm = np.concatenate(self._buffer) if self._buffer else np.zeros(0, np.int16)
        self._buffer.clear()
        if len(pcm) < _LEAST_COMMIT_S * RATE_HZ:
            text = "Error committing input audio buffer: buffer too small."
            await self._error("invalid_request_error", "input_audio_buffer_commit_empty", text)
            return
        text, taken = hear_whole(self._world.ear, pcm)
        was_told = await self._tell(text, len(pcm) / RATE_HZ)
        if taken and not was_told:
            self._world.ear.give_back(taken)

    async def _tell(self, text: str, seconds: float) -> bool:
        """Send all events of one utterance; whether they have left."""
        item = f"item_{next(self._numbers):04}"
        await self._send(
            "input_audio_buffer.committed", item_id=item, previous_item_id=self._previous
        )
        self._previous = item
        name = "conversation.item.input_audio_transcription"
        if self._world.failing_items:
            self._world.failing_items -= 1
            error = {"type": "server_error", "code": "audio_unintelligible", "message": "no"}
            await self._send(f"{name}.failed", item_id=item, content_index=0, error=error)
            return True
        for token in tokens_of(text):
            await self._send(f"{name}.delta", item_id=item, content_index=0, delta=token)
            await asyncio.sleep(self._world.talker.token_s)
        usage = {"type": "duration", "seconds": seconds}
        await self._send(
            f"{name}.completed", item_id=item, content_index=0, transcript=text, usage=usage
        )
        return not self._outlet.is_silent

    async def _error(self, kind: str, code: str, text: str) -> None:
        error = {"type": kind, "code": code, "message": text, "param": None, "event_id": None}
        await self._send("error", error=error)

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._outlet.send(
            {"type": kind, "event_id": f"event_{next(self._numbers):04}", **fields}
        )
