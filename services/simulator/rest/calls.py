"""The REST side of the simulated cloud: calls that there are.

Paths are as picky as Vobiz's: `Account` and `Call` with capitals and a slash at the end. A wrong
case is a 401, an unknown route a 404 of another shape.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from services.simulator.calls.call import Call
from services.simulator.calls.plan import Target
from services.simulator.rest.access import BASE, check_access
from services.simulator.rest.dialling import CALLS
from services.simulator.rest.state import ApiError, api_id, rest_state
from shared.protocol.call import CallState

_MOST_QUEUED = 20
_LIVE = (CallState.RINGING, CallState.IN_PROGRESS)
_OLD_STATES = {
    CallState.QUEUED: "QUEUED",
    CallState.RINGING: "RINGING",
    CallState.IN_PROGRESS: "ACTIVE",
}
calls = APIRouter(prefix=BASE + CALLS, dependencies=[Depends(check_access)])


@calls.get("/")
@calls.get("", include_in_schema=False)
async def list_calls(request: Request, status: str = "") -> dict[str, Any]:
    """List live or queued calls; `status` is mandatory."""
    state = rest_state(request)
    wanted = _states(status)
    found = [call for call in state.cloud.live.values() if call.state in wanted]
    if status == "queued":
        found = found[:_MOST_QUEUED]
    describe = _old_entry if state.account.state.lists_objects else _entry
    return {"api_id": api_id(), "calls": [describe(call) for call in found]}


def _entry(call: Call) -> str:
    return call.call_uuid


def _old_entry(call: Call) -> dict[str, str]:
    facts = call.plan.facts
    return {
        "call_uuid": facts.call_uuid,
        "call_state": _OLD_STATES[call.state],
        "direction": facts.direction.value,
        "from": facts.from_number.removeprefix("+"),
        "to": facts.to_number.removeprefix("+"),
        "session_start": facts.session_start.isoformat(),
    }


@calls.get("/{call_uuid}/")
@calls.get("/{call_uuid}", include_in_schema=False)
async def show_call(call_uuid: str, request: Request, status: str = "") -> dict[str, Any]:
    """Show one live or queued call."""
    call = rest_state(request).live_call(call_uuid)
    if call.state not in _states(status):
        raise ApiError(404, "call not found")
    facts = call.plan.facts
    return {
        "api_id": api_id(),
        "call_uuid": facts.call_uuid,
        "request_uuid": facts.call_uuid,
        "call_status": call.state.value,
        "direction": facts.direction.value,
        "caller_name": facts.caller_name,
        "from": facts.from_number.removeprefix("+"),
        "to": facts.to_number.removeprefix("+"),
        "session_start": facts.session_start.isoformat(),
        "stir_attestation": "Not Applicable",
        "stir_verification": "Not Applicable",
    }


def _states(status: str) -> tuple[CallState, ...]:
    if status == "live":
        return _LIVE
    if status == "queued":
        return (CallState.QUEUED,)
    raise ApiError(400, "status must be live or queued")


@calls.delete("/{call_uuid}/")
@calls.delete("/{call_uuid}", include_in_schema=False)
async def hang_up(call_uuid: str, request: Request) -> Response:
    """End a call; 404 when it is over or ending."""
    call = rest_state(request).live_call(call_uuid)
    if not call.hang_up_by_api():
        raise ApiError(404, "call not found")
    return Response(status_code=204)


@calls.post("/{call_uuid}/", status_code=202)
async def transfer(call_uuid: str, request: Request) -> dict[str, Any]:
    """Tear down what the A-leg runs and execute other XML on it."""
    state = rest_state(request)
    call, body = state.talking_call(call_uuid), await state.json(request)
    url = body.get("aleg_url") if isinstance(body, dict) else None
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise ApiError(400, "aleg_url is required")
    call.transfer(Target(url, str(body.get("aleg_method") or "POST").upper()))
    return {"api_id": api_id(), "message": "call transferred", "call_uuid": call_uuid}


def add_error_shapes(app: FastAPI) -> None:
    """Give errors the bodies that Vobiz gives them."""

    @app.exception_handler(ApiError)
    async def api_error(_: Request, error: ApiError) -> Response:
        return error.response()

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        lowered = request.url.path.lower()
        if lowered.startswith(f"{BASE}/account/") and "/account/" in request.url.path:
            return ApiError(401, "Unauthorized").response()
        status = 404 if error.status_code == 405 else error.status_code
        return JSONResponse({"message": "Not Found"}, status_code=status)
