"""Deepgram's `/v1/listen` (WebSocket) and `/v1/speak` (HTTP), as its public reference describes.

Times in results are audio times, so that a client which sends faster than real time is answered
at once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from shared.audio.g711 import decode_ulaw, encode_ulaw
from tests.support.standins.faults import Afflicted
from tests.support.standins.hearing import HeardWord, Listener
from tests.support.standins.world import Outlet, World

LISTEN, SPEAK = "/v1/listen", "/v1/speak"
_IDLE_S = 10.0
_REQUEST_ID = "00000000-0000-4000-8000-000000000000"


def deepgram_error(status: int, key: str) -> dict[str, Any]:
    """Deepgram's JSON for a refused request."""
    codes = {
        401: ("INVALID_AUTH", f"Invalid credentials: {key}"),
        429: ("TOO_MANY_REQUESTS", "Too many requests. Please try again later"),
    }
    code, text = codes.get(status, ("INTERNAL_SERVER_ERROR", "Something went wrong"))
    return {"err_code": code, "err_msg": text, "request_id": _REQUEST_ID}


def deepgram_routes(world: World) -> list[BaseRoute]:
    """The routes of Deepgram."""

    async def listen(socket: WebSocket) -> None:
        afflicted = await world.let_in(socket, LISTEN, key=world.deepgram_key, error=deepgram_error)
        if afflicted is not None:
            await _Listen(world, socket, afflicted).run()

    async def speak(request: Request) -> Response:
        async def respond(body: bytes, afflicted: Afflicted) -> Response:
            return _speak(world, request, body, afflicted)

        return await world.answer(
            request, SPEAK, key=world.deepgram_key, error=deepgram_error, respond=respond
        )

    return [WebSocketRoute(LISTEN, listen), Route(SPEAK, speak, methods=["POST"])]


class _Listen:
    """One live transcription."""

    def __init__(self, world: World, socket: WebSocket, afflicted: Afflicted) -> None:
        query = socket.query_params
        endpointing = query.get("endpointing", "10")
        self._is_endpointing = endpointing != "false"
        quiet_s = float(endpointing) / 1000 if self._is_endpointing else 1e9
        self._world = world
        self._socket = socket
        self._outlet = Outlet(world, LISTEN, socket, afflicted)
        self._listener = Listener(world.ear, quiet_s=max(quiet_s, 0.02))
        self._is_mulaw = query.get("encoding", "linear16") == "mulaw"
        self._has_interims = query.get("interim_results") == "true"
        self._has_vad_events = query.get("vad_events") == "true"
        self._utterance_end_s = float(query.get("utterance_end_ms", 0)) / 1000
        self._settled_s = 0.0
        self._told_interim_s = 0.0
        self._last_word_end_s = self._ended_told_s = 0.0
        self._is_in_speech = False

    async def run(self) -> None:
        """Serve the socket to its end."""
        try:
            while True:
                async with asyncio.timeout(_IDLE_S):
                    message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                self._outlet.came(message.get("bytes") or message.get("text") or "")
                if message.get("bytes"):
                    await self._hear(message["bytes"])
                elif message.get("text") and await self._obey(json.loads(message["text"])):
                    return
        except TimeoutError:
            await self._socket.close(1011, "NET-0001")
        except (WebSocketDisconnect, RuntimeError):
            pass  # the client is gone while it was being told something
        finally:
            self._listener.give_back()
            await self._outlet.aclose()

    async def _obey(self, message: dict[str, Any]) -> bool:
        """Follow a control message; whether it closed the stream."""
        self._world.note_message(LISTEN, message)
        if message["type"] == "Finalize":
            await self._tell_final(speech_final=False, from_finalize=True)
        elif message["type"] == "CloseStream":
            await self._tell_final(speech_final=False)
            await self._outlet.send(
                {
                    "type": "Metadata",
                    "transaction_key": "deprecated",
                    "request_id": _REQUEST_ID,
                    "sha256": "0" * 64,
                    "created": "2026-01-01T00:00:00.000Z",
                    "duration": self._listener.now_s,
                    "channels": 1,
                }
            )
            await self._outlet.flush()
            await self._socket.close(1000)
            return True
        return False

    async def _hear(self, data: bytes) -> None:
        self._world.audio_bytes[LISTEN] += len(data)
        is_wide = not self._is_mulaw
        pcm = np.frombuffer(data, "<i2").astype(np.int16) if is_wide else decode_ulaw(data)
        for _ in self._listener.frames(pcm):
            await self._look()

    async def _look(self) -> None:
        """Tell what the last 20 ms brought."""
        listener, now_s = self._listener, self._listener.now_s
        if listener.utterance is not None and not self._is_in_speech:
            self._is_in_speech = True
            if self._has_vad_events:
                await self._outlet.send(
                    {
                        "type": "SpeechStarted",
                        "channel": [0],
                        "timestamp": listener.utterance.start_s,
                    }
                )
        if listener.is_over:
            await self._tell_final(speech_final=True)
        elif now_s - self._settled_s >= self._world.final_every_s:
            await self._tell_final(speech_final=False, is_cut=listener.utterance is not None)
        every_s = self._world.interim_every_s if listener.utterance is not None else 1.0
        if self._has_interims and now_s - self._told_interim_s >= every_s - 1e-6:
            self._told_interim_s = now_s
            await self._tell(listener.words(is_over=False), is_final=False)
        await self._maybe_tell_utterance_end()

    async def _maybe_tell_utterance_end(self) -> None:
        """By the gap since the last word, whether or not there is silence in it."""
        ended_s, gap_s = self._last_word_end_s, self._utterance_end_s
        if not gap_s or ended_s <= self._ended_told_s or self._listener.now_s - ended_s < gap_s:
            return
        self._ended_told_s = ended_s
        await self._outlet.send(
            {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": round(ended_s, 3)}
        )

    async def _tell_final(
        self, *, speech_final: bool, from_finalize: bool = False, is_cut: bool = False
    ) -> None:
        listener = self._listener
        words = listener.words(is_over=not is_cut)
        if is_cut and not words:
            return  # it cuts between words
        is_nothing = not words and listener.utterance is None
        if from_finalize and is_nothing and not self._world.tells_empty_finalize:
            return
        until_s = words[-1].end_s if is_cut else listener.now_s
        await self._tell(
            words,
            is_final=True,
            speech_final=speech_final,
            from_finalize=from_finalize,
            until_s=until_s,
        )
        self._settled_s, self._told_interim_s = until_s, listener.now_s
        if listener.utterance is None:
            return
        is_quiet = listener.now_s - listener.quiet_since_s > 0.1
        if speech_final or (is_quiet and not is_cut):
            listener.finish()
            self._is_in_speech = False
        else:
            listener.utterance.told += len(words)

    async def _tell(
        self,
        words: list[HeardWord],
        *,
        is_final: bool,
        speech_final: bool = False,
        from_finalize: bool = False,
        until_s: float | None = None,
    ) -> None:
        until_s = self._listener.now_s if until_s is None else until_s
        if words:
            self._last_word_end_s = max(self._last_word_end_s, words[-1].end_s)
        await self._outlet.send(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "start": round(self._settled_s, 3),
                "duration": round(until_s - self._settled_s, 3),
                "is_final": is_final,
                "speech_final": speech_final,
                "from_finalize": from_finalize,
                "channel": {
                    "alternatives": [
                        {
                            "transcript": " ".join(word.text for word in words),
                            "confidence": 0.98 if words else 0.0,
                            "words": [_word(word) for word in words],
                        }
                    ]
                },
                "metadata": {
                    "request_id": _REQUEST_ID,
                    "model_info": {"name": "general-nova-3", "version": "1", "arch": "nova-3"},
                    "model_uuid": _REQUEST_ID,
                },
            }
        )


def _word(word: HeardWord) -> dict[str, Any]:
    return {
        "word": word.text.lower().strip(".,?!"),
        "start": round(word.start_s, 3),
        "end": round(word.end_s, 3),
        "confidence": 0.97,
        "punctuated_word": word.text,
    }


def _speak(world: World, request: Request, body: bytes, afflicted: Afflicted) -> Response:
    query = request.query_params
    encoding = query.get("encoding", "linear16")
    rate_hz = int(float(query.get("sample_rate", "24000")))
    text = json.loads(body).get("text", "")
    if not text or len(text) > 2000 or encoding not in ("linear16", "mulaw"):
        refused = {"err_code": "PAYLOAD_ERROR", "err_msg": "no good", "request_id": _REQUEST_ID}
        return JSONResponse(refused, status_code=413 if len(text) > 2000 else 400)

    async def pieces() -> AsyncIterator[bytes]:
        await asyncio.sleep(world.mouth.first_s)
        async for chunk in world.mouth.speak(text, rate_hz):
            yield encode_ulaw(chunk) if encoding == "mulaw" else chunk.astype("<i2").tobytes()
            await asyncio.sleep(world.mouth.pace_s)

    media_type = "audio/basic" if encoding == "mulaw" else f"audio/l16;rate={rate_hz};channels=1"
    headers = {"dg-model-name": query.get("model", ""), "dg-char-count": str(len(text))}
    return world.stream(request, SPEAK, pieces(), afflicted, media_type=media_type, headers=headers)
