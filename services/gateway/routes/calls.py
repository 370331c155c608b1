"""Reading calls: records with their transcripts, for operators and tests."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from starlette.requests import Request

from services.gateway.access.webhook_auth import same_secret
from services.gateway.calls.routing import is_call_id, is_private_host
from services.gateway.state import GatewayState, gateway_state
from shared.bus.base import BusUnavailable
from shared.protocol.call import CallId

State = Annotated[GatewayState, Depends(gateway_state)]


def may_read(request: Request, state: State) -> None:
    """Let a reader in: everybody on a local gateway without a key, else by bearer key alone."""
    key = state.settings.api_key
    if key is None:
        if state.settings.is_public:
            raise HTTPException(403, "set GATEWAY_API_KEY to read calls of a public gateway")
        if not is_private_host(request.headers.get("host", "")):
            raise HTTPException(
                403, "without GATEWAY_API_KEY calls are read under local names only"
            )
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not same_secret(given.strip(), key):
        raise HTTPException(401, "wrong or missing key", headers={"www-authenticate": "Bearer"})


router = APIRouter(prefix="/calls", dependencies=[Depends(may_read)])


@router.get("", response_model=None)
async def list_calls(
    state: State, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> dict[str, Any]:
    """Return the newest calls first, without their transcripts."""
    try:
        records = await state.records.recent(limit)
    except BusUnavailable as exc:
        raise HTTPException(503, "the call store does not answer") from exc
    calls = [{k: v for k, v in r.to_json().items() if k != "transcript"} for r in records]
    return {"calls": calls}


@router.get("/{call_id}", response_model=None)
async def read_call(call_id: str, state: State) -> dict[str, Any]:
    """Return one call's record."""
    try:
        record = await state.records.find(CallId(call_id)) if is_call_id(call_id) else None
    except BusUnavailable as exc:
        raise HTTPException(503, "the call store does not answer") from exc
    if record is None:
        raise HTTPException(404, "no such call")
    return record.to_json()
