"""The stand-ins by the vendors' own SDKs, where our providers do not go, and as a program."""

from __future__ import annotations

import asyncio
import base64
import io
import signal
import sys
from typing import Any, cast

import httpx
import numpy as np
import openai
import pytest

from shared.audio.g711 import decode_ulaw, encode_ulaw
from shared.audio.level import level_dbfs
from shared.audio.wav import parse_wav, wav_bytes
from tests.support.callers import say
from tests.support.ports import free_ports
from tests.support.standins import (
    DEEPGRAM_KEY,
    OPENAI_KEY,
    CallTool,
    StandIns,
    ToneEar,
    tone_speech,
)

pytestmark = pytest.mark.system


def client_of(standins: StandIns) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key=OPENAI_KEY, base_url=standins.openai_base_url, max_retries=0, timeout=5.0
    )


async def test_chat_that_is_not_streamed() -> None:
    async with StandIns() as standins, client_of(standins) as client:
        standins.world.talker.rules = [(r"order (\d+)", CallTool("look_up", '{"order": 7}'))]
        ask: Any = client.chat.completions.create
        said = await ask(model="m", messages=[{"role": "user", "content": "Hello!"}])
        assert said.choices[0].message.content == "You said: Hello. What else can I do for you?"
        assert said.usage.total_tokens > 0
        called = await ask(model="m", messages=[{"role": "user", "content": "my order 7"}])
        (call,) = called.choices[0].message.tool_calls
        assert (call.function.name, call.function.arguments) == ("look_up", '{"order": 7}')
        told = await ask(model="m", messages=[{"role": "tool", "content": "late"}])
        assert told.choices[0].message.content == "The tool says: late"


async def test_speech_as_a_wav_and_as_mu_law() -> None:
    async with StandIns() as standins, client_of(standins) as client:
        standins.world.mouth.is_tone = True
        answer = await client.audio.speech.create(
            model="m", voice="alloy", input="Hello there", response_format="wav"
        )
        pcm, rate_hz = parse_wav(answer.content)
        assert (rate_hz, len(pcm)) == (24_000, 10 * 1440)
        async with httpx.AsyncClient(base_url=standins.http_url) as http:
            ulaw = await http.post(
                "/v1/speak",
                params={"encoding": "mulaw", "sample_rate": 8000, "model": "m"},
                json={"text": "Hello there"},
                headers={"authorization": f"Token {DEEPGRAM_KEY}"},
            )
        assert len(ulaw.content) == 10 * 480
        assert level_dbfs(decode_ulaw(ulaw.content)) == pytest.approx(-20, abs=0.3)


async def test_a_session_that_finds_the_ends_of_turns_itself() -> None:
    async with StandIns() as standins, client_of(standins) as client:
        standins.world.ear = ToneEar()
        async with client.realtime.connect(extra_query={"intent": "transcription"}) as socket:
            session = {
                "type": "transcription",
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcmu"},
                        "transcription": {"model": "m"},
                        "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
                    }
                },
            }
            await socket.session.update(session=cast(Any, session))
            quiet = np.zeros(4000, np.int16)
            speech = np.concatenate([quiet, tone_speech(["one", "two"]), quiet])
            await socket.input_audio_buffer.append(
                audio=base64.b64encode(encode_ulaw(speech)).decode()
            )
            kinds, transcript = [], ""
            async with asyncio.timeout(5):
                async for event in socket:
                    kinds.append(event.type.rpartition(".")[2])
                    if event.type.endswith(".completed"):
                        transcript = str(getattr(event, "transcript", ""))
                        break
        assert transcript == "one two"
        assert kinds == [
            *("created", "updated", "speech_started", "speech_stopped", "committed"),
            *("delta", "delta", "completed"),
        ]


async def test_the_program_says_what_to_put_into_the_environment() -> None:
    (port,) = free_ports(1)
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.standins", "--port", str(port)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert program.stdout is not None
        async with asyncio.timeout(20):
            lines = [(await program.stdout.readline()).decode().strip() for _ in range(4)]
        assert lines == [
            f"DEEPGRAM_API_KEY={DEEPGRAM_KEY}",
            f"DEEPGRAM_BASE_URL=http://127.0.0.1:{port}",
            f"OPENAI_API_KEY={OPENAI_KEY}",
            f"OPENAI_BASE_URL=http://127.0.0.1:{port}/v1",
        ]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            refused = await http.post("/v1/chat/completions", json={})
            assert refused.status_code == 401
            assert refused.json()["error"]["code"] == "invalid_api_key"
            recording = wav_bytes(say("tell me a joke", lead_s=0.2, tail_s=0.3), 8000)
            heard = await http.post(
                "/v1/audio/transcriptions",
                files={"file": ("a.wav", io.BytesIO(recording))},
                headers={"authorization": f"Bearer {OPENAI_KEY}"},
            )
            assert heard.json()["text"] == "tell me a joke"
    finally:
        program.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await program.wait() == 0
