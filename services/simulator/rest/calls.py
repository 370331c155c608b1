"""The REST side of the simulated cloud: calls.

Paths are as picky as Vobiz's: `Account` and `Call` with capitals and a slash at the end. A wrong
case is a 401, an unknown route a 404 of another shape.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from services.simulator.calls.call import Call
from services.simulator.calls.forms import CallFacts
from services.simulator.calls.plan import CallPlan, Target
from services.simulator.person.people import Person
from services.simulator.rest import make_call
from services.simulator.rest.account import Limit
from services.simulator.rest.state import ApiError, RestState, api_id, rest_state
from shared.protocol.call import CallState, Direction
from shared.speech import SpeechError

BASE = "/api/v1"
CALLS = "/Account/{auth_id}/Call"
_ANSWER_FIRST_S = 10.0
_LIVE = (CallState.RINGING, CallState.IN_PROGRESS)


def check_access(auth_id: str, request: Request) -> None:
    """Refuse who is not the account in the path, or is to be refused by a fault.

    Raises:
        ApiError: 401, 404 for another account's path, or the fault.
    """
    state = rest_state(request)
    operation = f"{request.method} {request.url.path.removeprefix(BASE)}"
    status = state.account.take_fault(operation)
    if status is not None:
        raise fault_error(status)
    if not state.account.is_authentic(request.headers):
        raise ApiError(401, "Invalid authentication credentials", code="INVALID_CREDENTIALS")
    if auth_id != state.account.auth_id:
        raise ApiError(404, "account not found")


def fault_error(status: int) -> ApiError:
    """Return an injected error with the body Vobiz has for its status."""
    if status == 429:
        return limit_error(Limit("cps", 1, 2))
    texts = {
        401: ("Invalid authentication credentials", "INVALID_CREDENTIALS"),
        402: ("insufficient balance", "INSUFFICIENT_BALANCE"),
        403: ("account inactive", "ACCOUNT_INACTIVE"),
    }
    text, code = texts.get(status, ("something went wrong", ""))
    return ApiError(status, text, code=code)


def limit_error(limit: Limit) -> ApiError:
    """Return the 429 of a limit."""
    return ApiError(
        429,
        f"{limit.kind} limit exceeded",
        code="RATE_LIMIT_EXCEEDED",
        details={
            "limitType": limit.kind,
            "limit": limit.limit,
            "current": limit.current,
            "retryAfter": limit.retry_after_s,
        },
        retry_after_s=limit.retry_after_s,
    )


def media_base(request: Request) -> str:
    """Return where this account's recordings are served: where it was asked from."""
    account = rest_state(request).account.auth_id
    return f"{str(request.base_url).rstrip('/')}{BASE}/Account/{account}"


calls = APIRouter(prefix=BASE + CALLS, dependencies=[Depends(check_access)])


@calls.post("/")
async def place_calls(auth_id: str, request: Request) -> Response:
    """Make Call: dial one or more destinations. A repeated request dials again."""
    state = rest_state(request)
    body = await state.json(request)
    if state.account.state.balance <= 0:
        raise fault_error(402)
    from_number = body.get("from") if isinstance(body, dict) else None
    try:
        wanted = make_call.parse_make_call(body, owns=state.account.owns(str(from_number)))
    except make_call.Refused as exc:
        raise ApiError(400, str(exc)) from exc
    limit = state.account.admit(
        len(wanted.destinations), channels=len(state.cloud.live), now_s=state.cloud.clock.now_s()
    )
    if limit is not None:
        raise limit_error(limit)
    base = media_base(request)
    begun = [await _dial(state, auth_id, wanted, number, base) for number in wanted.destinations]
    if state.account.state.answers_first:
        waiting = {asyncio.ensure_future(begun[0].answer_webhook.wait())}
        _, late = await asyncio.wait(waiting, timeout=_ANSWER_FIRST_S)
        for future in late:
            future.cancel()
    ids = [call.call_uuid for call in begun]
    answer = {
        "api_id": api_id(),
        "message": "Call fired",
        "request_uuid": ids[0] if len(ids) == 1 else ids,
    }
    return JSONResponse(answer, status_code=state.account.state.make_call_status)


async def _dial(
    state: RestState, auth_id: str, wanted: make_call.CallRequest, number: str, media_base: str
) -> Call:
    person = await _person(state, number)
    facts = CallFacts(
        call_uuid=str(uuid.uuid4()),
        direction=Direction.OUTBOUND,
        from_number=wanted.from_number,
        to_number=number,
        auth_id=auth_id,
        session_start=state.cloud.clock.wall(),
        caller_name=wanted.caller_name,
        numbers=state.knobs.numbers,
        extra=wanted.sip_headers,
    )
    ring_timeout_s = min(wanted.ring_timeout_s, wanted.hangup_on_ring_s or float("inf"))
    plan = CallPlan(
        facts=facts,
        answer=wanted.answer,
        hangup=wanted.hangup,
        ring=wanted.ring,
        fallback=wanted.fallback,
        token=state.account.token,
        script=person.script,
        quality=state.quality,
        knobs=replace(state.knobs, seed=state.rng.randrange(2**31)),
        outcome=person.outcome,
        machine_detection=wanted.machine_detection,
        time_limit_s=wanted.time_limit_s,
        ring_timeout_s=ring_timeout_s,
        dial_delay_s=state.rng.uniform(0.1, 1.0),
        media_base=media_base,
    )
    return state.cloud.start(plan)


async def _person(state: RestState, number: str) -> Person:
    try:
        return await state.people.who(number)
    except (SpeechError, ValueError, TimeoutError) as exc:
        raise ApiError(500, f"the simulator cannot play this person: {exc}") from exc


@calls.get("/")
@calls.get("", include_in_schema=False)
async def list_calls(request: Request, status: str = "") -> dict[str, Any]:
    """List live or queued calls; `status` is mandatory."""
    state = rest_state(request)
    wanted = _states(status)
    found = [call.call_uuid for call in state.cloud.live.values() if call.state in wanted]
    return {"api_id": api_id(), "calls": found[:20] if status == "queued" else found}


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
