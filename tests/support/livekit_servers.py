"""Deepgram and OpenAI as LiveKit's plugins know them: just enough of their wire formats.

The recogniser knows a text by how long it takes to say, the voice is a tone of so much a character.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.agent.providers.livekit.options import LiveKitOptions
from shared.runtime.http import serve_app
from tests.support.callers import say

KEY = "key-for-tests"
_LOUD = 600
_CHARACTER_S = 0.06


class Keys:
    """Secrets that hold a key for everybody but those left out."""

    def __init__(self, *missing: str) -> None:
        self._missing = missing

    def get(self, name: str) -> SecretStr | None:
        return None if name in self._missing else SecretStr(KEY)


def spoken_samples(pcm: NDArray[np.int16]) -> int:
    """From the first loud sample to the last."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > _LOUD)
    return int(loud[-1] - loud[0]) if len(loud) else 0


def tone_of(text: str, rate_hz: int) -> NDArray[np.int16]:
    times = np.arange(round(len(text) * _CHARACTER_S * rate_hz)) / rate_hz
    return np.rint(3277 * 2**0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)


@dataclass
class Faults:
    """What goes wrong; each status and cut once, in order."""

    statuses: list[int] = field(default_factory=list)
    cuts: int = 0
    is_silent: bool = False
    error: str = ""


@dataclass
class VendorServers:
    """Both vendors on one loopback port, while entered.

    Attributes:
        texts: what may be heard.
        answer: events of the chat, each a `delta`.
        requests: bodies of chat, speech and transcription, in order of arrival.
        queries: of every Deepgram request.
    """

    texts: Sequence[str] = ()
    answer: Sequence[Mapping[str, Any]] = ({"content": "Hello"}, {"content": " there."})
    faults: Faults = field(default_factory=Faults)
    requests: list[dict[str, Any]] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    sockets: int = 0

    def __post_init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._lengths = {text: spoken_samples(say(text)) for text in self.texts}
        self.port = 0

    async def __aenter__(self) -> Self:
        app = Starlette(
            routes=[
                WebSocketRoute("/v1/listen", self._listen),
                Route("/v1/listen", self._listen_to_file, methods=["POST"]),
                Route("/v1/speak", self._speak, methods=["POST"]),
                Route("/v1/audio/speech", self._speech, methods=["POST"]),
                Route("/v1/audio/transcriptions", self._transcribe, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/tts/bytes", self._cartesia, methods=["POST"]),
            ]
        )
        self.port = await self._stack.enter_async_context(
            serve_app(app, host="127.0.0.1", port=0, ws="websockets-sansio")
        )
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.faults.is_silent = False
        await self._stack.aclose()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def options(self, plugin: str, path: str, **more: Any) -> LiveKitOptions:
        """Options that lead a plugin here."""
        fields = {"plugin": plugin, "base_url": f"{self.url}{path}", "timeout_s": 5.0, **more}
        return LiveKitOptions.model_validate(fields)

    def heard(self, pcm: NDArray[np.int16]) -> str:
        """The text that is about as long; nothing for silence."""
        length = spoken_samples(pcm)
        if not length or not self._lengths:
            return ""
        return min(self._lengths, key=lambda text: abs(self._lengths[text] - length))

    # --- Deepgram ----------------------------------------------------------------------------

    async def _listen(self, socket: WebSocket) -> None:
        self.sockets += 1
        self.queries.append(dict(socket.query_params))
        self.keys.add(socket.headers["authorization"])
        if self.faults.statuses:
            await socket.send_denial_response(Response(status_code=self.faults.statuses.pop(0)))
            return
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            await self._hear(socket)

    async def _hear(self, socket: WebSocket) -> None:
        heard = np.zeros(0, np.int16)
        is_guessed = False
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if self.faults.is_silent:
                continue
            if message.get("bytes"):
                heard = np.concatenate((heard, np.frombuffer(message["bytes"], "<i2")))
                if not is_guessed and spoken_samples(heard) > 2000:
                    is_guessed = True
                    await socket.send_json(_result("guess", is_final=False))
                    if self.faults.cuts:
                        self.faults.cuts -= 1
                        await socket.close(1011)
                        return
            elif json.loads(message["text"])["type"] == "Finalize":
                await socket.send_json(_result(self.heard(heard), is_final=True))
                heard, is_guessed = np.zeros(0, np.int16), False

    async def _listen_to_file(self, request: Request) -> Response:
        if self.faults.statuses:
            return Response(status_code=self.faults.statuses.pop(0))
        pcm = np.frombuffer((await request.body())[44:], "<i2")
        channel = _result(self.heard(pcm), is_final=True)["channel"]
        return JSONResponse({"metadata": {"request_id": "r"}, "results": {"channels": [channel]}})

    async def _speak(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.queries.append(query)
        text = (await request.json())["text"]
        return self._audio(text, int(query["sample_rate"]))

    # --- OpenAI ------------------------------------------------------------------------------

    async def _speech(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        if self.faults.statuses or body.get("stream_format") != "sse":
            return self._audio(body["input"], 24000)
        return StreamingResponse(
            self._sse_audio(tone_of(body["input"], 24000)), media_type="text/event-stream"
        )

    async def _sse_audio(self, pcm: NDArray[np.int16]) -> AsyncIterator[str]:
        for start in range(0, len(pcm), 2400):
            audio = base64.b64encode(pcm[start : start + 2400].tobytes()).decode()
            yield f"data: {json.dumps({'type': 'speech.audio.delta', 'audio': audio})}\n\n"
            await self._maybe_fail()
        yield 'data: {"type": "speech.audio.done", "usage": {}}\n\n'

    async def _transcribe(self, request: Request) -> Response:
        if self.faults.statuses:
            return Response(status_code=self.faults.statuses.pop(0))
        if self.faults.is_silent:
            await self._hang()
        body = await request.body()
        start = body.index(b"RIFF") + 44  # of the one part that is a file
        size = int.from_bytes(body[start - 4 : start], "little")
        pcm = np.frombuffer(body[start : start + size], "<i2")
        return JSONResponse({"text": self.heard(pcm)})

    async def _chat(self, request: Request) -> Response:
        self.keys.add(request.headers["authorization"])
        self.requests.append(await request.json())
        if self.faults.statuses:
            status = self.faults.statuses.pop(0)
            return JSONResponse({"error": {"message": "no"}}, status_code=status)
        return StreamingResponse(self._chunks(), media_type="text/event-stream")

    async def _chunks(self) -> AsyncIterator[str]:
        for delta in self.answer:
            yield _chunk({"index": 0, "delta": {"role": "assistant", **delta}})
            await self._maybe_fail()
        reason = "tool_calls" if "tool_calls" in self.answer[-1] else "stop"
        yield _chunk({"index": 0, "delta": {}, "finish_reason": reason})
        usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
        yield _chunk(None, usage={**usage, "prompt_tokens_details": {"cached_tokens": 2}})
        yield "data: [DONE]\n\n"

    # --- Cartesia ----------------------------------------------------------------------------

    async def _cartesia(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        return self._audio(body["transcript"], body["output_format"]["sample_rate"])

    # --- faults ------------------------------------------------------------------------------

    def _audio(self, text: str, rate_hz: int) -> Response:
        if self.faults.statuses:
            return JSONResponse({"error": text}, status_code=self.faults.statuses.pop(0))
        return StreamingResponse(self._pcm(tone_of(text, rate_hz)), media_type="audio/pcm")

    async def _pcm(self, pcm: NDArray[np.int16]) -> AsyncIterator[bytes]:
        for start in range(0, len(pcm), 2400):
            yield pcm[start : start + 2400].tobytes()
            await self._maybe_fail()

    async def _maybe_fail(self) -> None:
        await asyncio.sleep(0)
        if self.faults.is_silent:
            await self._hang()
        if self.faults.cuts:
            self.faults.cuts -= 1
            raise ConnectionAbortedError("cut, as the test asks")

    async def _hang(self) -> None:
        while self.faults.is_silent:  # noqa: ASYNC110 - until the test has seen enough
            await asyncio.sleep(0.01)


def _result(text: str, *, is_final: bool) -> dict[str, Any]:
    alternative = {"transcript": text, "confidence": 0.9 if text else 0.0, "words": []}
    return {
        "type": "Results",
        "is_final": is_final,
        "speech_final": is_final,
        "metadata": {"request_id": "r"},
        "channel": {"alternatives": [alternative]},
    }


def _chunk(choice: Mapping[str, Any] | None, **more: Any) -> str:
    choices = [] if choice is None else [choice]
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**body, 'choices': choices, **more})}\n\n"
