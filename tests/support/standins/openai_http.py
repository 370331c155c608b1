"""OpenAI's chat completions, speech and transcriptions over HTTP, as its public reference says."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from email.message import Message
from email.parser import BytesParser
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from shared.audio.resample import resample
from shared.audio.wav import parse_wav
from tests.support.standins.faults import Afflicted, Fault
from tests.support.standins.hearing import RATE_HZ, hear_whole
from tests.support.standins.speaking import Answer, CallTool, tokens_of
from tests.support.standins.world import World

CHAT, SPEECH = "/v1/chat/completions", "/v1/audio/speech"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
SPEECH_RATE_HZ = 24_000


def openai_error(status: int, key: str) -> dict[str, Any]:
    """OpenAI's JSON for a refused request; a real one shows a part of the key as well."""
    known = {
        401: ("invalid_request_error", "invalid_api_key", f"Incorrect API key provided: {key}."),
        429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests"),
    }
    kind, code, text = known.get(status, ("server_error", "", "The server had an error"))
    return {"error": {"message": text, "type": kind, "param": None, "code": code or None}}


def openai_routes(world: World) -> list[BaseRoute]:
    """The routes of OpenAI but `/v1/realtime`."""

    async def answer(request: Request, route: str, make: Any) -> Response:
        async def respond(body: bytes, afflicted: Afflicted) -> Response:
            response: Response = await make(world, request, body, afflicted)
            return response

        return await world.answer(
            request, route, key=world.openai_key, error=openai_error, respond=respond
        )

    async def chat(request: Request) -> Response:
        return await answer(request, CHAT, _chat)

    async def speech(request: Request) -> Response:
        return await answer(request, SPEECH, _speech)

    async def transcriptions(request: Request) -> Response:
        return await answer(request, TRANSCRIPTIONS, _transcriptions)

    async def models(_request: Request) -> Response:
        names = ("gpt-4.1-mini", "gpt-4o-mini-tts", "gpt-4o-mini-transcribe")
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "o"} for name in names]
        return JSONResponse({"object": "list", "data": data})

    return [
        Route(CHAT, chat, methods=["POST"]),
        Route(SPEECH, speech, methods=["POST"]),
        Route(TRANSCRIPTIONS, transcriptions, methods=["POST"]),
        Route("/v1/models", models),
    ]


def _sse(data: Any) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


# --- chat ---------------------------------------------------------------------------------------


async def _chat(world: World, request: Request, body: bytes, afflicted: Afflicted) -> Response:
    asked = json.loads(body)
    answer = world.talker.answer(asked)
    if not asked.get("stream"):
        if afflicted.fault is Fault.GARBAGE:
            return Response("{not json", media_type="application/json")
        return JSONResponse(_completion(asked, answer))
    pieces = _chat_pieces(world, asked, answer)
    return world.stream(request, CHAT, pieces, afflicted, media_type="text/event-stream")


def _parts(answer: Answer) -> tuple[str, list[CallTool]]:
    if isinstance(answer, str):
        return answer, []
    calls = [answer] if isinstance(answer, CallTool) else list(answer)
    return "".join(call.text for call in calls), calls


def _usage(asked: dict[str, Any], answer: Answer) -> dict[str, Any]:
    prompt = sum(len(str(message.get("content") or "")) for message in asked["messages"]) // 4 + 1
    text, calls = _parts(answer)
    made = len(tokens_of(text)) + sum(len(call.arguments) // 4 + 3 for call in calls)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": made,
        "total_tokens": prompt + made,
        "prompt_tokens_details": {"cached_tokens": prompt // 2, "audio_tokens": 0},
    }


async def _chat_pieces(world: World, asked: dict[str, Any], answer: Answer) -> AsyncIterator[bytes]:
    talker = world.talker
    await asyncio.sleep(talker.first_s)
    for delta in _deltas(answer):
        yield _sse(_chunk(asked, [{"index": 0, "delta": delta, "finish_reason": None}]))
        await asyncio.sleep(talker.token_s)
    _, calls = _parts(answer)
    reason = "tool_calls" if calls else "stop"
    yield _sse(_chunk(asked, [{"index": 0, "delta": {}, "finish_reason": reason}]))
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield _sse({**_chunk(asked, []), "usage": _usage(asked, answer)})
    yield b"data: [DONE]\n\n"


def _deltas(answer: Answer) -> list[dict[str, Any]]:
    text, calls = _parts(answer)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += [{"content": token} for token in tokens_of(text)]
    for index, call in enumerate(calls):
        begun = {"name": call.name, "arguments": ""}
        head = {"index": index, "id": f"call_{index}x", "type": "function", "function": begun}
        deltas.append({"tool_calls": [head]})
        for at in range(0, len(call.arguments), 5):
            more = {"arguments": call.arguments[at : at + 5]}
            deltas.append({"tool_calls": [{"index": index, "function": more}]})
    return deltas


def _chunk(asked: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-standin",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": asked.get("model", ""),
        "choices": choices,
    }


def _completion(asked: dict[str, Any], answer: Answer) -> dict[str, Any]:
    text, calls = _parts(answer)
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{index}x",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(calls)
        ]
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": "tool_calls" if calls else "stop",
    }
    whole = _chunk(asked, [choice])
    return {**whole, "object": "chat.completion", "usage": _usage(asked, answer)}


# --- speech -------------------------------------------------------------------------------------


async def _speech(world: World, request: Request, body: bytes, afflicted: Afflicted) -> Response:
    asked = json.loads(body)
    form = asked.get("response_format", "mp3")
    text = asked.get("input", "")
    if form not in ("pcm", "wav") or not text or len(text) > 4096:
        refused = {"error": {"message": "no good", "type": "invalid_request_error", "code": None}}
        return JSONResponse(refused, status_code=400)

    async def pieces() -> AsyncIterator[bytes]:
        await asyncio.sleep(world.mouth.first_s)
        if form == "wav":
            yield wav_header(SPEECH_RATE_HZ)
        held = b""
        async for chunk in world.mouth.speak(text, SPEECH_RATE_HZ):
            data = held + chunk.astype("<i2").tobytes()
            held = data[-1:] if world.speaks_odd_chunks and len(data) % 2 == 0 else b""
            yield data[: len(data) - len(held)]
            await asyncio.sleep(world.mouth.pace_s)
        if held:
            yield held

    media_type = "audio/wav" if form == "wav" else "audio/pcm"
    return world.stream(request, SPEECH, pieces(), afflicted, media_type=media_type)


def wav_header(rate_hz: int) -> bytes:
    """The head of a WAV of unknown length, as a streaming writer leaves it."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 0xFFFFFFFF, b"WAVE", b"fmt ", 16, 1, 1, rate_hz, rate_hz * 2, 2, 16),
        *(b"data", 0xFFFFFFFF),
    )


# --- transcriptions -----------------------------------------------------------------------------


async def _transcriptions(
    world: World, request: Request, body: bytes, afflicted: Afflicted
) -> Response:
    fields = _form(request.headers["content-type"], body)
    pcm, rate_hz = parse_wav(fields["file"])
    text, taken = hear_whole(world.ear, resample(pcm, rate_hz, RATE_HZ))
    if afflicted.fault in (Fault.CUT, Fault.STALL, Fault.GARBAGE) and taken:
        world.ear.give_back(taken)  # nobody will be told the whole of it
    usage = {"type": "duration", "seconds": len(pcm) / rate_hz}
    if fields.get("stream") != b"true":
        if afflicted.fault is Fault.GARBAGE:
            return Response("{not json", media_type="application/json")
        return JSONResponse({"text": text, "usage": usage})

    async def pieces() -> AsyncIterator[bytes]:
        for token in tokens_of(text):
            yield _sse({"type": "transcript.text.delta", "delta": token})
            await asyncio.sleep(world.talker.token_s)
        yield _sse({"type": "transcript.text.done", "text": text, "usage": usage})
        yield b"data: [DONE]\n\n"

    return world.stream(
        request, TRANSCRIPTIONS, pieces(), afflicted, media_type="text/event-stream"
    )


def _form(content_type: str, body: bytes) -> dict[str, bytes]:
    """Read multipart/form-data."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + body)
    fields: dict[str, bytes] = {}
    parts = message.get_payload()
    for part in parts if isinstance(parts, list) else []:
        assert isinstance(part, Message)
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        fields[str(name)] = content
    return fields
