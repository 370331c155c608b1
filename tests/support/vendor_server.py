"""An application shaped like the vendor's own example: answer XML over HTTP, an agent on a socket.

It is small on purpose and shares nothing with our gateway and agent, so that the simulator is
tested against somebody else's idea of an application.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import numpy as np
from fastapi import FastAPI, Request, Response
from numpy.typing import NDArray
from websockets.asyncio.server import Server, ServerConnection, serve

from shared.audio.g711 import decode_ulaw, encode_ulaw
from shared.runtime.http import serve_app

TONE_HZ = 440.0
XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


@dataclass(frozen=True, slots=True)
class Received:
    """A webhook as it arrived."""

    path: str
    method: str
    headers: dict[str, str]
    fields: dict[str, str]
    query: dict[str, str]
    at_s: float

    @property
    def event(self) -> str:
        return self.fields.get("Event", "")


def tone(seconds: float, *, hz: float = TONE_HZ, dbfs: float = -15.0) -> NDArray[np.int16]:
    """A sine at 8 kHz."""
    peak = 32768 * 10 ** (dbfs / 20) * 2**0.5
    times = np.arange(round(seconds * 8000)) / 8000
    return np.asarray(np.rint(peak * np.sin(2 * np.pi * hz * times)), dtype=np.int16)


@dataclass
class AgentSocket:
    """The agent's end of one media socket."""

    connection: ServerConnection
    path: str
    call_id: str = ""
    stream_id: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)
    names_stream: bool = True

    async def receive(self) -> dict[str, Any]:
        text = await self.connection.recv()
        message: dict[str, Any] = json.loads(text)
        self.messages.append(message)
        self.arrivals_s.append(time.monotonic())
        if message["event"] == "start":
            inner = message.get("start", message)
            self.call_id, self.stream_id = inner["callId"], inner["streamId"]
        elif message["event"] == "media" and not self.stream_id:
            self.stream_id = message.get("streamId", "")
        return message

    async def until(self, event: str, **wanted: Any) -> dict[str, Any]:
        while True:
            message = await self.receive()
            if message["event"] == event and wanted.items() <= message.items():
                return message

    async def drain(self) -> None:
        """Read until the socket closes."""
        with contextlib.suppress(Exception):
            while True:
                await self.receive()

    async def send(self, event: str, **fields: Any) -> None:
        ids = {"streamId": self.stream_id} if self.names_stream else {}
        await self.connection.send(json.dumps({"event": event, **ids, **fields}))

    async def play(
        self, pcm: NDArray[np.int16], *, content_type: str = "audio/x-mulaw", rate_hz: int = 8000
    ) -> None:
        """Send a whole utterance in one message."""
        payload = (
            encode_ulaw(pcm) if content_type.endswith("mulaw") else pcm.astype("<i2").tobytes()
        )
        media = {
            "contentType": content_type,
            "sampleRate": rate_hz,
            "payload": base64.b64encode(payload).decode(),
        }
        await self.send("playAudio", media=media)

    async def play_paced(self, pcm: NDArray[np.int16], *, lead: int = 10) -> None:
        """Send 20 ms pieces on a schedule, the first `lead` at once."""
        begun_s = time.monotonic()
        for index, at in enumerate(range(0, len(pcm), 160)):
            due_s = begun_s + (index - lead) * 0.02
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            await self.play(pcm[at : at + 160])


Behaviour = Callable[[AgentSocket], Awaitable[None]]


async def greet_and_listen(agent: AgentSocket) -> None:
    """Greet with a second of tone, mark its end, then listen until the caller hangs up."""
    await agent.until("start")
    await agent.play(tone(1.0))
    await agent.send("checkpoint", name="greeting")
    await agent.drain()


class ToneAgent:
    """Answers everything said with tone, and falls silent when talked over.

    `hears` is a level gate on 20 ms, as crude as can be: the simulator's lines are clean.
    """

    def __init__(self, *, reply_s: float = 1.0, greeting_s: float = 1.0) -> None:
        self.reply_s = reply_s
        self.greeting_s = greeting_s
        self.clears = 0

    async def __call__(self, agent: AgentSocket) -> None:
        await agent.until("start")
        await self._speak(agent, self.greeting_s, "greeting")
        playing_until_s = time.monotonic() + self.greeting_s
        quiet_frames, has_heard, turns = 0, False, 0
        while True:
            message = await agent.receive()
            if message["event"] != "media":
                continue
            if self._hears(message):
                has_heard, quiet_frames = True, 0
                if time.monotonic() < playing_until_s:
                    self.clears += 1
                    playing_until_s = 0.0
                    await agent.send("clearAudio")
            elif has_heard:
                quiet_frames += 1
            if has_heard and quiet_frames == 15:
                has_heard, turns = False, turns + 1
                await self._speak(agent, self.reply_s, f"reply-{turns}")
                playing_until_s = time.monotonic() + self.reply_s

    async def _speak(self, agent: AgentSocket, seconds: float, name: str) -> None:
        await agent.play(tone(seconds))
        await agent.send("checkpoint", name=name)

    def _hears(self, message: dict[str, Any]) -> bool:
        pcm = decode_ulaw(base64.b64decode(message["media"]["payload"])).astype(np.float64)
        return float(np.sqrt(np.mean(pcm**2))) > 300


class VendorServer:
    """HTTP and media socket on free loopback ports, while entered.

    Args:
        behaviour: the agent; runs once for each socket.
        stream_attributes: of the `<Stream>` in the answer.
        after_stream: XML behind it.
    """

    def __init__(
        self,
        behaviour: Behaviour = greet_and_listen,
        *,
        stream_attributes: str = 'bidirectional="true" keepCallAlive="true" '
        'contentType="audio/x-mulaw;rate=8000"',
        after_stream: str = "",
    ) -> None:
        self.webhooks: list[Received] = []
        self.sockets: list[AgentSocket] = []
        self.statuses: dict[str, list[int]] = {}  # next statuses to answer with, by path
        self.answers: dict[str, str] = {}  # XML by path, instead of the stream
        self.files: dict[str, bytes] = {}  # served as they are
        self.refuses_sockets = 0
        self._behaviour = behaviour
        self._stream_attributes = stream_attributes
        self._after_stream = after_stream
        self._arrived = asyncio.Condition()
        self._stack = contextlib.AsyncExitStack()
        self.http_port = 0
        self.ws_port = 0

    async def __aenter__(self) -> Self:
        server: Server = await self._stack.enter_async_context(
            serve(self._handle, "127.0.0.1", 0, process_request=self._process_request)
        )
        self.ws_port = next(iter(server.sockets)).getsockname()[1]
        self.http_port = await self._stack.enter_async_context(
            serve_app(self._app(), host="127.0.0.1", port=0)
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.ws_port}/media/secret?agent=tone"

    def events(self, *, path: str | None = None) -> list[str]:
        return [w.event for w in self.webhooks if path is None or w.path == path]

    def webhook(self, event: str) -> Received:
        return next(w for w in self.webhooks if w.event == event)

    async def wait_for(self, event: str) -> Received:
        """Wait until a webhook of this kind has arrived."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: event in self.events())
        return self.webhook(event)

    def stream_xml(self) -> str:
        callback = f"{self.url}/stream-status?call=a&amp;b=c"
        url = self.ws_url.replace("&", "&amp;")
        return (
            f"{XML_HEAD}<Response><Stream {self._stream_attributes} "
            f'statusCallbackUrl="{callback}">\n  {url}\n</Stream>{self._after_stream}</Response>'
        )

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.api_route("/{path:path}", methods=["GET", "POST"])
        async def take(path: str, request: Request) -> Response:
            return await self._take(f"/{path}", request)

        return app

    async def _take(self, path: str, request: Request) -> Response:
        body = (await request.body()).decode()
        query = dict(request.query_params)
        fields = {k: v[0] for k, v in parse_qs(body, keep_blank_values=True).items()}
        received = Received(
            path, request.method, dict(request.headers), fields or query, query, time.monotonic()
        )
        async with self._arrived:
            self.webhooks.append(received)
            self._arrived.notify_all()
        if path in self.files:
            return Response(self.files[path], media_type="audio/wav")
        if self.statuses.get(path):
            return Response(status_code=self.statuses[path].pop(0))
        if received.event == "Hangup" or path == "/stream-status":
            return Response(status_code=200)
        xml = self.answers.get(path, self.stream_xml())
        return Response(xml, media_type="application/xml")

    def _process_request(self, connection: ServerConnection, _request: Any) -> Any:
        if self.refuses_sockets:
            self.refuses_sockets -= 1
            return connection.respond(403, "no\n")
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        agent = AgentSocket(connection, urlsplit(connection.request.path).path)
        self.sockets.append(agent)
        with contextlib.suppress(Exception):
            await self._behaviour(agent)
