"""A gateway on a free port in this process, and Vobiz's side of it: webhooks and media sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.gateway.app import build_state, create_app, server_options
from services.gateway.settings import GatewaySettings
from services.gateway.state import GatewayState
from shared.bus.base import Bus
from shared.metrics.catalogue import GatewayMetrics
from shared.runtime.clock import SystemClock
from shared.runtime.http import serve_app
from shared.runtime.tasks import TaskOwner
from shared.runtime.tracing import NO_TRACER, Tracer

SILENCE = base64.b64encode(b"\xff" * 160).decode()


def new_call_id() -> str:
    return str(uuid.uuid4())


def settings(**changes: Any) -> GatewaySettings:
    """Settings with quick bounds, from nothing of this machine's environment."""
    quick: dict[str, Any] = {
        "http_port": 0,
        "gateway_host": "127.0.0.1",
        "gateway_link_connect_s": 0.5,
        "gateway_send_timeout_s": 1.0,
        "gateway_close_timeout_s": 0.3,
        "gateway_reconnect_grace_s": 3.0,
        "gateway_worker_wait_s": 0.3,
    }
    return GatewaySettings(**(quick | changes))


@dataclass
class RunningGateway:
    """One gateway and a client for its webhooks."""

    base: str
    state: GatewayState
    registry: CollectorRegistry
    client: httpx.AsyncClient
    calls: list[str] = field(default_factory=list)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    async def post(
        self, path: str, fields: dict[str, str], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        return await self.client.post(f"{self.base}{path}", data=fields, headers=headers)

    async def answer(
        self, call_id: str, *, path: str = "/answer", **changes: str
    ) -> httpx.Response:
        return await self.post(path, start_app(call_id, **changes))

    async def hang_up(self, call_id: str, *, path: str = "/hangup", **changes: str) -> int:
        response = await self.post(path, hangup(call_id, **changes))
        return response.status_code

    async def media_url(self, call_id: str, **changes: str) -> str:
        """Answer a call and return where its media goes."""
        response = await self.answer(call_id, **changes)
        assert response.status_code == 200
        return stream_url(response.content)


def stream_url(xml: bytes) -> str:
    """Where an answer sends the media."""
    stream = ElementTree.fromstring(xml).find("Stream")  # noqa: S314 - our own gateway's XML
    assert stream is not None, xml
    assert stream.text is not None
    return stream.text


def verbs(xml: bytes) -> list[str]:
    return [verb.tag for verb in ElementTree.fromstring(xml)]  # noqa: S314 - our own gateway's XML


def start_app(call_id: str, **changes: str) -> dict[str, str]:
    fields = {
        "Event": "StartApp",
        "CallUUID": call_id,
        "RequestUUID": call_id,
        "From": "15550100001",
        "To": "918000000001",
        "Direction": "inbound",
        "CallStatus": "ringing",
    }
    return fields | changes


def hangup(call_id: str, **changes: str) -> dict[str, str]:
    fields = {
        "Event": "Hangup",
        "CallUUID": call_id,
        "From": "15550100001",
        "To": "918000000001",
        "Direction": "inbound",
        "CallStatus": "completed",
        "HangupCause": "NORMAL_CLEARING",
        "HangupCauseCode": "4000",
        "HangupSource": "Caller",
        "Duration": "7",
    }
    return fields | changes


@asynccontextmanager
async def running_gateway(
    bus: Bus, *, tracer: Tracer = NO_TRACER, **changes: Any
) -> AsyncIterator[RunningGateway]:
    """Serve a gateway while the context lasts."""
    chosen = settings(**changes)
    registry = CollectorRegistry()
    async with TaskOwner("gateway-test") as tasks:
        state = build_state(chosen, bus, GatewayMetrics(registry), SystemClock(), tasks, tracer)
        app = create_app(state, bus, registry)
        async with (
            serve_app(app, host="127.0.0.1", port=0, **server_options(chosen)) as port,
            httpx.AsyncClient(timeout=10) as client,
        ):
            tasks.start(state.switchboard.follow_events(), name="follow_events")
            tasks.start(state.switchboard.keep_house(), name="keep_house")
            yield RunningGateway(f"http://127.0.0.1:{port}", state, registry, client)
            await tasks.stop()


class MediaClient:
    """Vobiz's end of a media socket. `open` raises InvalidStatus when it is refused."""

    def __init__(self, socket: ClientConnection, call_id: str) -> None:
        self.socket = socket
        self.call_id = call_id
        self.stream_id = str(uuid.uuid4())
        self._chunk = 0

    @classmethod
    async def open(cls, url: str, call_id: str, **options: Any) -> Self:
        socket = await connect(
            url,
            compression=None,
            user_agent_header="",
            proxy=None,
            ping_interval=None,
            close_timeout=0.5,
            **options,
        )
        return cls(socket, call_id)

    async def start(self) -> str:
        text = json.dumps(
            {
                "sequenceNumber": 0,
                "event": "start",
                "start": {
                    "callId": self.call_id,
                    "streamId": self.stream_id,
                    "accountId": "528191",
                    "tracks": ["inbound"],
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
                },
                "extra_headers": "{}",
            }
        )
        await self.socket.send(text)
        return text

    async def media(self, payload: str = SILENCE) -> str:
        self._chunk += 1
        text = json.dumps(
            {
                "sequenceNumber": self._chunk,
                "streamId": self.stream_id,
                "event": "media",
                "media": {
                    "track": "inbound",
                    "timestamp": str(1_790_921_506_412 + 20 * self._chunk),
                    "chunk": self._chunk,
                    "payload": payload,
                },
                "extra_headers": "{}",
            }
        )
        await self.socket.send(text)
        return text

    async def receive(self, timeout_s: float = 5.0) -> str:
        async with asyncio.timeout(timeout_s):
            message = await self.socket.recv()
        assert isinstance(message, str)
        return message

    async def wait_closed(self, timeout_s: float = 5.0) -> int:
        """Read on until the socket closes; return the code."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    await self.socket.recv()
        except ConnectionClosed:
            return self.socket.close_code or 1006

    async def close(self, code: int = 1000) -> None:
        await self.socket.close(code)

    def vanish(self) -> None:
        """The line breaks without a close frame."""
        self.socket.transport.abort()


async def refusal_status(url: str) -> int:
    """Open a media socket that is to be refused; return the status."""
    try:
        client = await MediaClient.open(url, "")
    except InvalidStatus as exc:
        return exc.response.status_code
    await client.close()
    raise AssertionError("the socket was let in")


def query(path: str, **parameters: str) -> str:
    return f"{path}?{urlencode(parameters)}"
