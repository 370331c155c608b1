"""The console's page over an API that a test holds the strings of, media socket included.

`python -m tests.support.console_api 5055` serves it for somebody to look at.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import queue
import sys
import threading
import time
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.gateway.app import build_state
from services.gateway.console.routes import Features, install_console
from shared.audio.g711 import encode_ulaw
from shared.bus.memory import MemoryBus
from shared.metrics.catalogue import GatewayMetrics
from shared.runtime.clock import SystemClock
from shared.runtime.tasks import TaskOwner
from tests.support import console_data as data
from tests.support.console_campaigns import Campaigns, campaign_routes
from tests.support.gateway import settings
from tests.support.ports import free_ports


@dataclass
class ConsoleApi:
    """What the page is told, and what it said. Filled by tests, from another thread.

    `commands` go to the page's media socket as they come: a dict is a message, a number closes it.
    """

    live: list[dict[str, Any]] = field(default_factory=list)
    live_pause_s: float = 0.05
    commands: queue.Queue[dict[str, Any] | int] = field(default_factory=queue.Queue)
    sockets: int = 0
    frames: list[dict[str, Any]] = field(default_factory=list)
    posts: list[tuple[str, Any]] = field(default_factory=list)
    talk_status: int = 201
    has_charts: bool = True
    is_empty: bool = False
    url: str = ""
    campaigns: Campaigns = field(default_factory=Campaigns)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The media socket's messages of a kind, as the page sent them."""
        return [frame for frame in self.frames if frame["event"] == kind]


def api_routes(api: ConsoleApi) -> APIRouter:
    router = APIRouter()

    async def posted(request: Request) -> Any:
        body = await request.json()
        api.posts.append((request.url.path, body))
        return body

    @router.get("/console/api/agents")
    async def agents() -> Any:
        return {"agents": [] if api.is_empty else data.AGENTS}

    @router.post("/console/api/dial")
    async def dial(request: Request) -> Response:
        await posted(request)
        return JSONResponse({"call_id": data.CALL_ID}, 201)

    @router.post("/console/api/workers/{worker_id}/drain")
    async def drain(request: Request) -> Response:
        await posted(request)
        return Response(status_code=202, content="{}", media_type="application/json")

    @router.get("/console/api/now")
    async def now() -> Response:
        async def events() -> AsyncIterator[str]:
            for age_s in range(600):
                empty: dict[str, Any] = {"calls": [], "workers": [], "health": {}, "campaigns": []}
                told = empty if api.is_empty else data.now(age_s)
                shown = ("running", "paused")
                known = [] if api.is_empty else list(api.campaigns.known.values())
                yield _event(told | {"campaigns": [c for c in known if c["state"] in shown]})
                await asyncio.sleep(1)

        return StreamingResponse(events(), media_type="text/event-stream")

    @router.get("/console/api/series")
    async def series() -> Any:
        return data.series() if api.has_charts else {"is_available": False, "charts": []}

    @router.get("/console/api/calls")
    async def calls(q: str = "") -> Any:
        found = [] if api.is_empty else data.records()
        return {"calls": [c for c in found if q in json.dumps(c)], "next": None}

    @router.get("/console/api/calls/{call_id}")
    async def call(call_id: str) -> Any:
        if call_id != data.CALL_ID:
            return JSONResponse({"problem": "There is no such call."}, 404)
        recording = {"duration_ms": data.DURATION_MS, "has_audio": True}
        return {"record": data.record(), "marks": data.MARKS, "recording": recording}

    @router.get("/console/api/calls/{call_id}/waveform")
    async def waveform(bins: int = 2000) -> Any:
        return data.waveform(bins)

    @router.get("/console/api/calls/{call_id}/recording.wav")
    async def recording(request: Request) -> Response:
        return _ranged(request, _wav())

    @router.get("/console/api/calls/{call_id}/live")
    async def live() -> Response:
        async def events() -> AsyncIterator[str]:
            for event in api.live:
                yield _event(event)
                await asyncio.sleep(api.live_pause_s)
            while True:
                yield ": nothing new\n\n"
                await asyncio.sleep(1)

        return StreamingResponse(events(), media_type="text/event-stream")

    return router


def talk_routes(api: ConsoleApi) -> APIRouter:
    """The telephone's part, in the place of the gateway's own."""
    router = APIRouter()

    @router.post("/console/api/talk")
    async def begin(request: Request) -> Response:
        api.posts.append((request.url.path, await request.json()))
        if api.talk_status != 201:
            problem = "All agents are busy at the moment. Try again in a minute."
            return JSONResponse({"problem": problem}, api.talk_status)
        said = {
            "call_id": data.CALL_ID,
            "call_uuid": data.CALL_ID,
            "media_path": "/ws/call/token",
            "greeting": "",
        }
        return JSONResponse(said, 201)

    @router.post("/console/api/talk/{call_id}/hangup")
    async def hangup(request: Request) -> Response:
        api.posts.append((request.url.path, await request.json()))
        return Response(status_code=204)

    @router.websocket("/ws/call/token")
    async def media(socket: WebSocket) -> None:
        await socket.accept()
        api.sockets += 1
        async with TaskOwner("media") as tasks:
            sending = tasks.start(_command(api, socket), name="command")
            try:
                while True:
                    api.frames.append(json.loads(await socket.receive_text()))
            except (WebSocketDisconnect, RuntimeError):
                sending.cancel()

    return router


async def _command(api: ConsoleApi, socket: WebSocket) -> None:
    while True:
        try:
            command = api.commands.get_nowait()
        except queue.Empty:
            await asyncio.sleep(0.005)
            continue
        if isinstance(command, int):
            await socket.close(command)
            return
        await socket.send_text(json.dumps(command))


def _event(body: Any) -> str:
    return f"data: {json.dumps(body)}\n\n"


def _wav() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(data.sound().tobytes())
    return out.getvalue()


def _ranged(request: Request, body: bytes) -> Response:
    asked = request.headers.get("range", "").removeprefix("bytes=")
    if not asked:
        return Response(body, media_type="audio/wav", headers={"accept-ranges": "bytes"})
    first, _, last = asked.partition("-")
    begin, end = int(first), int(last) if last else len(body) - 1
    headers = {"accept-ranges": "bytes", "content-range": f"bytes {begin}-{end}/{len(body)}"}
    return Response(body[begin : end + 1], 206, headers, "audio/wav")


def _app(api: ConsoleApi, tasks: TaskOwner, **changes: Any) -> FastAPI:
    metrics = GatewayMetrics(CollectorRegistry())
    state = build_state(settings(**changes), MemoryBus(), metrics, SystemClock(), tasks)
    app = FastAPI(openapi_url=None)
    app.state.gateway = state
    # These come first, and take the place of the console's own.
    app.include_router(talk_routes(api))
    app.include_router(api_routes(api))
    app.include_router(campaign_routes(lambda: api.campaigns, data.CALL_ID))
    install_console(app, state, Features(has_dialer=True, has_charts=True))
    return app


@contextmanager
def console_api(port: int | None = None, **changes: Any) -> Iterator[ConsoleApi]:
    """Serve the page and the API in a thread while the context lasts."""
    api, number = ConsoleApi(), port or free_ports(1)[0]
    app = _app(api, TaskOwner("console-api"), **changes)
    config = uvicorn.Config(app, host="127.0.0.1", port=number, log_config=None, lifespan="off")
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="console-api")
    thread.start()
    api.url = f"http://127.0.0.1:{number}"
    try:
        while not server.started and thread.is_alive():
            thread.join(0.01)
        yield api
    finally:
        # At once: streams of events never end by themselves.
        server.should_exit = server.force_exit = True
        thread.join(10)


def _speak(api: ConsoleApi) -> None:
    """Have the agent be heard by whoever looks at the page: its side of the call, in a loop."""
    mulaw = encode_ulaw(data.sound()[72_000:150_000, 1].copy())
    for at in range(0, len(mulaw) - 160, 160):
        payload = base64.b64encode(mulaw[at : at + 160]).decode()
        media = {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": payload}
        api.commands.put({"event": "playAudio", "media": media})
        time.sleep(0.0195)


if __name__ == "__main__":
    with console_api(int(sys.argv[1])) as served:
        served.live = data.LIVE
        sys.stdout.write(f"{served.url}/console/\n")
        sys.stdout.flush()
        while True:
            if served.sockets:
                _speak(served)
            time.sleep(0.05)
