"""The media socket: refused before the upgrade or handed to the call's bridge."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.gateway.access.admission import Refusal, SocketRefused
from services.gateway.calls.routing import is_call_id
from services.gateway.media.caller import CallerGone
from services.gateway.state import GatewayState, gateway_state
from services.gateway.wire.frame_socket import FrameSocket, SocketLimits
from services.gateway.wire.media_protocol import TAKE_EXTENSION, Take
from shared.protocol.call import CallId
from shared.runtime.concern import turn_to

_log = structlog.get_logger(__name__)

State = Annotated[GatewayState, Depends(gateway_state)]
router = APIRouter()


class AsgiDoor:
    """CallerDoor of an ASGI WebSocket; ASGI is left behind once it is open."""

    def __init__(self, socket: WebSocket, limits: SocketLimits) -> None:
        self._socket = socket
        self._limits = limits
        self._take: Take = socket.scope["extensions"][TAKE_EXTENSION]
        self._frames: FrameSocket | None = None

    async def accept(self) -> FrameSocket:
        """Complete the upgrade; no subprotocol is chosen."""
        try:
            await self._socket.accept()
        except (WebSocketDisconnect, RuntimeError, OSError) as exc:
            raise CallerGone from exc
        self._frames = self._take(self._limits)
        return self._frames

    async def wait_lost(self) -> None:
        """Wait until nothing of the connection is left; after a close that is bounded."""
        if self._frames is not None:
            await self._frames.wait_lost()


@router.websocket("/ws/{call_id}/{token}")
async def media(socket: WebSocket, call_id: str, token: str, state: State) -> None:
    """Take the socket of a call for whom the token was made."""
    metrics = state.metrics
    turn_to(state.tracer.concern(call_id[:128]))
    try:
        if not is_call_id(call_id):
            raise SocketRefused(Refusal.WRONG)
        admitted = await state.switchboard.admit(
            CallId(call_id), token, state.address(socket.headers.get("host", ""))
        )
    except SocketRefused as exc:
        metrics.token_refusals.labels(reason=exc.reason).inc()
        metrics.media_sockets.labels(outcome="refused").inc()
        _log.warning("media_socket_refused", reason=exc.reason)
        # Before the upgrade a close is an HTTP 403.
        await socket.close()
        return
    outcome = "reconnected" if admitted.is_reconnect else "opened"
    metrics.media_sockets.labels(outcome=outcome).inc()
    _log.info("media_socket_open", is_reconnect=admitted.is_reconnect)
    door = AsgiDoor(socket, state.caller_limits)
    await state.switchboard.serve(admitted, door)
    state.browser_calls.socket_left(admitted.call)
    # The connection goes with this call of the application: the goodbye needs it still.
    await door.wait_lost()
