"""One hop in Python with the usual package and care: `python -m deploy.bench.lean PORT`.

A server of `websockets` as it comes, but for uvloop, compression off, msgspec for what comes in,
envelopes prepared for what goes out, and one wheel for all calls in place of a timer for each. It
does what `native/paced.c` does, frame by frame: what lies between the two is the language's and the
package's price for one hop.
"""

from __future__ import annotations

import asyncio
import base64
import sys

import msgspec
import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

_FRAME_S = 0.02
_FRAME = bytes(160)
_HEAD = (
    b'{"event":"playAudio","streamId":"stream","media":{"contentType":"audio/x-mulaw",'
    b'"sampleRate":8000,"payload":"'
)
_TAIL = b'"}}'


class _Payload(msgspec.Struct):
    """Of base64, as it is read."""

    payload: bytes


class _Message(msgspec.Struct):
    """What is needed of a caller's message."""

    event: str
    media: _Payload | None = None


async def _turn(calls: set[ServerConnection]) -> None:
    """Write each call's next frame, each 20 ms."""
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    while True:
        for call in tuple(calls):
            try:
                await call.send(_HEAD + base64.b64encode(_FRAME) + _TAIL, text=True)
            except ConnectionClosed:
                calls.discard(call)
        due_s += _FRAME_S
        await asyncio.sleep(max(0.0, due_s - loop.time()))


async def _serve(port: int) -> None:
    calls: set[ServerConnection] = set()
    parse = msgspec.json.Decoder(_Message).decode
    heard_bytes = 0

    async def on_call(socket: ServerConnection) -> None:
        nonlocal heard_bytes
        calls.add(socket)
        try:
            while True:
                media = parse(await socket.recv(decode=False)).media
                heard_bytes += len(media.payload) if media is not None else 0
        except ConnectionClosed:
            pass
        finally:
            calls.discard(socket)

    async with serve(on_call, "127.0.0.1", port, compression=None), asyncio.TaskGroup() as tasks:
        tasks.create_task(_turn(calls))


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
