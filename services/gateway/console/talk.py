"""The console's telephone, on our side: begin a call from the page, and end it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.gateway.calls.routing import is_agent_name, is_call_id
from services.gateway.console.browser_calls import NobodyFree, NotOurs
from services.gateway.console.door import json_body, signed_in
from services.gateway.console.problem import Problem
from services.gateway.state import GatewayState, gateway_state
from shared.bus.base import BusUnavailable
from shared.protocol.call import CallId

State = Annotated[GatewayState, Depends(gateway_state)]
Body = Annotated[Mapping[str, Any], Depends(json_body)]

router = APIRouter(prefix="/console/api/talk", dependencies=[Depends(signed_in)])


@router.post("", response_model=None)
async def begin(request: Request, body: Body, state: State) -> Response:
    """Book a worker for a call from the page, which opens the media socket itself."""
    agent = body.get("agent")
    if not isinstance(agent, str) or not is_agent_name(agent):
        raise Problem(400, "Choose an agent.")
    address = state.address(request.headers.get("host", ""))
    if address is None:
        raise Problem(400, "The request does not say where it was sent to.")
    try:
        call = await state.browser_calls.begin(agent, address)
    except NobodyFree as exc:
        words = (
            "This gateway is being stopped. Try again in a moment."
            if exc.is_draining
            else "All agents are busy at the moment. Try again in a minute."
        )
        raise Problem(503, words) from exc
    said = {
        "call_id": call.call_id,
        "call_uuid": call.call_id,
        "media_path": call.media_path,
        "greeting": "",
    }
    return JSONResponse(said, 201)


@router.post("/{call_id}/hangup", response_model=None)
async def hang_up(call_id: str, body: Body, state: State) -> Response:
    """End a call of the page's; one that is over already stays so."""
    source = body.get("source", "caller")
    if not isinstance(source, str) or source not in {"caller", "agent"}:
        raise Problem(400, "The source is caller or agent.")
    if not is_call_id(call_id):
        raise Problem(404, "There is no such call.")
    try:
        await state.browser_calls.hang_up(CallId(call_id), source)
    except NotOurs as exc:
        raise Problem(404, "There is no such call of this console.") from exc
    except BusUnavailable as exc:
        raise Problem(503, "The call store does not answer.") from exc
    return Response(status_code=204)
