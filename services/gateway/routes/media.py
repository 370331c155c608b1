"""The media socket: refused before the upgrade or handed to the call's bridge."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.gateway.admission import Refusal, SocketRefused
from services.gateway.caller import CallerGone
from services.gateway.media_protocol import ABORT_EXTENSION
from services.gateway.routing import is_call_id
from services.gateway.state import GatewayState, gateway_state
from shared.protocol.call import CallId

_log = structlog.get_logger(__name__)
_ABNORMAL = 1006

State = Annotated[GatewayState, Depends(gateway_state)]
router = APIRouter()


class AsgiCaller:
    """CallerSocket on an accepted ASGI WebSocket.

    Speaks ASGI itself: Starlette's WebSocket checks its state at each of a hundred frames a
    second.
    """

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._receive = socket.receive
        self._send = socket.send
        self._abort = socket.scope.get("extensions", {}).get(ABORT_EXTENSION, {}).get("abort")

    async def accept(self) -> None:
        """Complete the upgrade; no subprotocol is chosen."""
        try:
            await self._socket.accept()
        except (WebSocketDisconnect, RuntimeError, OSError) as exc:
            raise CallerGone(_ABNORMAL) from exc

    async def receive(self) -> str | bytes:
        """Return the next message."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise CallerGone(message.get("code") or _ABNORMAL)
        text: str | None = message.get("text")
        return text if text is not None else bytes(message["bytes"])

    async def send(self, text: str) -> None:
        """Send a text frame."""
        try:
            await self._send({"type": "websocket.send", "text": text})
        except (WebSocketDisconnect, RuntimeError, OSError) as exc:
            raise CallerGone(_ABNORMAL) from exc

    async def close(self, code: int) -> None:
        """Close."""
        try:
            await self._send({"type": "websocket.close", "code": code})
        except (WebSocketDisconnect, RuntimeError, OSError) as exc:
            raise CallerGone(_ABNORMAL) from exc

    def abort(self) -> None:
        """Cut the connection."""
        if self._abort is not None:
            self._abort()


@router.websocket("/ws/{call_id}/{token}")
async def media(socket: WebSocket, call_id: str, token: str, state: State) -> None:
    """Take the socket of a call for whom the token was made."""
    metrics = state.metrics
    try:
        if not is_call_id(call_id):
            raise SocketRefused(Refusal.WRONG)
        admitted = await state.switchboard.admit(
            CallId(call_id), token, state.address(socket.headers.get("host", ""))
        )
    except SocketRefused as exc:
        metrics.token_refusals.labels(reason=exc.reason).inc()
        metrics.media_sockets.labels(outcome="refused").inc()
        _log.warning("media_socket_refused", call_id=call_id[:128], reason=exc.reason)
        # Before the upgrade a close is an HTTP 403.
        await socket.close()
        return
    outcome = "reconnected" if admitted.is_reconnect else "opened"
    metrics.media_sockets.labels(outcome=outcome).inc()
    _log.info("media_socket_open", call_id=call_id, is_reconnect=admitted.is_reconnect)
    await state.switchboard.serve(admitted, AsgiCaller(socket))
