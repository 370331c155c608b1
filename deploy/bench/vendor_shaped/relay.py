"""The relay: `python -m deploy.bench.vendor_shaped.relay PORT AGENT_PORT`."""

from __future__ import annotations

import asyncio
import sys
import uuid

import uvicorn
from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

# FastAPI raises a RuntimeError where a socket that is closed is asked again.
_GONE = (WebSocketDisconnect, RuntimeError, ConnectionClosed)


def make_app(port: int, agent_port: int) -> FastAPI:
    """Return the relay, webhooks included."""
    app = FastAPI()

    @app.post("/answer")
    async def answer() -> Response:
        url = f"ws://127.0.0.1:{port}/stream/{uuid.uuid4()}"
        xml = (
            f'<Response><Stream bidirectional="true" keepCallAlive="true">{url}</Stream></Response>'
        )
        return Response(xml, media_type="application/xml")

    @app.post("/hangup")
    async def hangup() -> Response:
        return Response()

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response()

    @app.websocket("/stream/{call_id}")
    async def stream(caller: WebSocket, call_id: str) -> None:
        await caller.accept()
        async with connect(f"ws://127.0.0.1:{agent_port}/{call_id}") as agent:
            await _relay(caller, agent)

    return app


async def _relay(caller: WebSocket, agent: ClientConnection) -> None:
    async def inward() -> None:
        try:
            while True:
                await agent.send(await caller.receive_text())
        except _GONE:
            await agent.close()

    async def outward() -> None:
        try:
            async for message in agent:
                await caller.send_text(str(message))
        except _GONE:
            return

    async with asyncio.TaskGroup() as both:
        both.create_task(inward())
        both.create_task(outward())


if __name__ == "__main__":
    own_port = int(sys.argv[1])
    app = make_app(own_port, int(sys.argv[2]))
    uvicorn.run(app, host="127.0.0.1", port=own_port, log_level="warning")
