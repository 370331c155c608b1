"""The agent: `python -m deploy.bench.vendor_shaped.agent PORT`; it talks all the time."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import sys
from array import array
from collections.abc import Sequence

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

_FRAME_BYTES = 160
_FRAME_S = 0.02
_SENTENCE_S = 5.0
_SPEECH_HZ = 24_000
_PHONE_HZ = 8000
_BIAS, _CLIP = 0x84, 32635


def encode_sample(sample: int) -> int:
    """Return one sample as mu-law (G.711)."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = magnitude.bit_length() - 8
    mantissa = magnitude >> (exponent + 3) & 0x0F
    return ~(sign | exponent << 4 | mantissa) & 0xFF


def resample(speech: Sequence[int]) -> list[int]:
    """Return speech of 24 kHz at 8 kHz, each sample by linear interpolation."""
    ratio = _SPEECH_HZ / _PHONE_HZ
    out = []
    for number in range(int(len(speech) / ratio)):
        place = number * ratio
        at = int(place)
        share = place - at
        following = speech[at + 1] if at + 1 < len(speech) else speech[at]
        out.append(int(speech[at] * (1 - share) + following * share))
    return out


def to_phone(speech: Sequence[int]) -> bytes:
    """Return speech of 24 kHz as mu-law of 8 kHz, sample by sample."""
    return bytes([encode_sample(sample) for sample in resample(speech)])


def _sentence() -> array[int]:
    """What a voice would have sent."""
    turn = 2 * math.pi * 220 / _SPEECH_HZ
    samples = (round(6000 * math.sin(turn * n)) for n in range(int(_SENTENCE_S * _SPEECH_HZ)))
    return array("h", samples)


async def _speak(socket: ServerConnection, speech: array[int], stream_id: str) -> None:
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    while True:
        audio = to_phone(speech)
        for at in range(0, len(audio), _FRAME_BYTES):
            payload = base64.b64encode(audio[at : at + _FRAME_BYTES]).decode()
            media = {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": payload}
            message = {"event": "playAudio", "streamId": stream_id, "media": media}
            try:
                await socket.send(json.dumps(message))
            except ConnectionClosed:
                return
            due_s += _FRAME_S
            await asyncio.sleep(max(0.0, due_s - loop.time()))


async def _serve(port: int) -> None:
    speech = _sentence()

    async def on_call(socket: ServerConnection) -> None:
        heard = bytearray()
        async with asyncio.TaskGroup() as tasks:
            speaking: asyncio.Task[None] | None = None
            try:
                async for text in socket:
                    message = json.loads(text)
                    if message["event"] == "start":
                        stream_id = message["start"]["streamId"]
                        speaking = tasks.create_task(_speak(socket, speech, stream_id))
                    elif message["event"] == "media":
                        heard += base64.b64decode(message["media"]["payload"])
                        if len(heard) >= 50 * _FRAME_BYTES:  # to a recogniser it would go
                            heard.clear()
            except ConnectionClosed:
                pass
            if speaking is not None:
                speaking.cancel()

    async with serve(on_call, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
