"""One server for all stand-ins, and the controls that change it while it runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from tests.support.standins.deepgram import deepgram_routes
from tests.support.standins.faults import Afflicted, Fault
from tests.support.standins.openai_http import openai_error, openai_routes
from tests.support.standins.transcription_session import REALTIME, TranscriptionSession
from tests.support.standins.world import World

SpeechSession = Callable[[World, WebSocket, Afflicted], Awaitable[None]]
"""Serves an accepted `/v1/realtime` socket that is no transcription session."""
_EVERYWHERE = "*"
_STOP_S = 5.0
_KEEP_ALIVE_S = 75  # as vendors' front ends do: longer than a caller thinks


class StandIns:
    """Deepgram and OpenAI on a loopback port, while entered.

    Args:
        world: what they hear and say; a new one where None.
        host, port: where to listen; 0 for a free port.
        speech_session: serves `/v1/realtime` sockets other than transcription sessions.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speech_session: SpeechSession | None = None,
    ) -> None:
        self.world = world or World()
        self.port = port
        self._host = host
        self._speech_session = speech_session
        self._server: asyncio.Server | None = None
        self._state_of_server = ServerState()

    async def __aenter__(self) -> Self:
        config = uvicorn.Config(
            self._app(),
            log_config=None,
            access_log=False,
            lifespan="off",
            http=_tracking_protocol(self.world),
            ws="websockets-sansio",
            ws_ping_interval=None,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        config.load()
        state = self._state_of_server

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg] # ours
                config=config, server_state=state, app_state={}
            )
            return made

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(protocol, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tear everything down at once; uvicorn's own way takes a fifth of a second a test."""
        assert self._server is not None
        self._server.close()
        self.world.abort_all()
        await asyncio.sleep(0)
        tasks = set(self._state_of_server.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_S)
        self.world.mouth.close()

    @property
    def http_url(self) -> str:
        """Deepgram's base URL for HTTP."""
        return f"http://{self._host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """Deepgram's base URL for WebSockets."""
        return f"ws://{self._host}:{self.port}"

    @property
    def openai_base_url(self) -> str:
        """OpenAI's base URL, with its version."""
        return f"{self.http_url}/v1"

    def _app(self) -> Starlette:
        routes: list[BaseRoute] = [
            *deepgram_routes(self.world),
            *openai_routes(self.world),
            WebSocketRoute(REALTIME, self._realtime),
            Route("/standin/faults", self._faults, methods=["POST", "DELETE"]),
            Route("/standin/state", self._state),
        ]
        return Starlette(routes=routes)

    async def _realtime(self, socket: WebSocket) -> None:
        afflicted = await self.world.let_in(
            socket, REALTIME, key=self.world.openai_key, error=openai_error
        )
        if afflicted is None:
            return
        is_transcription = socket.query_params.get("intent") == "transcription"
        if is_transcription or self._speech_session is None:
            await TranscriptionSession(self.world, socket, afflicted).run()
        else:
            await self._speech_session(self.world, socket, afflicted)

    async def _faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.world.faults.clear()
            return JSONResponse({"planned": 0})
        asked = json.loads(await request.body())
        try:
            more = {
                name: asked[name]
                for name in ("after_bytes", "after_events", "delay_s")
                if name in asked
            }
            self.world.faults.plan(asked["route"], asked["fault"], asked.get("count", 1), **more)
        except (KeyError, ValueError) as exc:
            known = [fault.value for fault in Fault]
            return JSONResponse({"error": str(exc), "faults": known}, status_code=422)
        return JSONResponse({"planned": asked.get("count", 1)})

    async def _state(self, _request: Request) -> Response:
        world = self.world
        return JSONResponse(
            {
                "requests": dict(world.requests),
                "finished": dict(world.finished),
                "audio_bytes": dict(world.audio_bytes),
            }
        )


def _tracking_protocol(world: World) -> type[H11Protocol]:
    """Return uvicorn's protocol, which tells the world of its transports: ASGI can't tear down.

    A `refused` fault of the route `*` is for connections as such.
    """

    class TrackingProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if world.faults.take(_EVERYWHERE) is not None:
                transport.abort()
            world.transports[tuple(transport.get_extra_info("peername")[:2])] = transport

    return TrackingProtocol
