"""/console/api/dial: have the dialer place a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from services.gateway.console.door import json_body, signed_in
from services.gateway.console.problem import Problem
from services.gateway.state import GatewayState, gateway_state

_MOST_VARIABLES = 50
_DIAL_S = 30.0
"""Longer than the dialer waits for Vobiz."""

State = Annotated[GatewayState, Depends(gateway_state)]
Body = Annotated[Mapping[str, Any], Depends(json_body)]
router = APIRouter(prefix="/console/api", dependencies=[Depends(signed_in)])


@router.post("/dial", status_code=201, response_model=None)
async def dial(body: Body, state: State) -> dict[str, Any]:
    """Place a call; it can be followed at once."""
    dialer = state.console.neighbours.dialer
    record = await dialer.ask("POST", "/v1/calls", body=_order(body), wait_s=_DIAL_S)
    return {"call_id": record["call_id"]}


def _order(body: Mapping[str, Any]) -> dict[str, Any]:
    to, agent, variables = body.get("to"), body.get("agent"), body.get("variables") or {}
    if not isinstance(to, str) or not to.strip():
        raise Problem(400, "Whom to call is missing.")
    if agent is not None and not isinstance(agent, str):
        raise Problem(400, "The agent's name must be text.")
    if not isinstance(variables, dict) or len(variables) > _MOST_VARIABLES:
        raise Problem(400, f"Variables are names and texts, {_MOST_VARIABLES} at most.")
    order: dict[str, Any] = {"to": to.strip()}
    if agent:
        order["agent"] = agent
    if variables:
        order["variables"] = {str(name): str(value) for name, value in variables.items()}
    return order
