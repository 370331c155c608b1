"""The REST side of the simulated cloud: Make Call. Whatever was asked for is written down."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from services.simulator.calls.call import Call
from services.simulator.calls.forms import CallFacts
from services.simulator.calls.plan import CallPlan
from services.simulator.person.people import Person
from services.simulator.rest import make_call
from services.simulator.rest.access import (
    BASE,
    check_credentials,
    error_of,
    limit_error,
    meet,
    take_fault,
)
from services.simulator.rest.dial_log import DialVerdict
from services.simulator.rest.faults import Fault, FaultAnswer
from services.simulator.rest.state import ApiError, RestState, api_id, rest_state
from shared.protocol.call import Direction
from shared.speech import SpeechError

CALLS = "/Account/{auth_id}/Call"
_ANSWER_FIRST_S = 10.0
dialling = APIRouter(prefix=BASE + CALLS)


@dialling.post("/")
async def place_calls(auth_id: str, request: Request) -> Response:
    """Make Call: dial one or more destinations. A repeated request dials again."""
    state = rest_state(request)
    arrived_s = state.cloud.clock.now_s()
    fault = take_fault(state, request)
    body = await state.json(request)
    if fault is not None and not fault.dials and fault.answer is not FaultAnswer.LATE:
        _note_refused(state, arrived_s, body, _status_of(fault))
        await state.cloud.clock.sleep(fault.delay_s)
        await meet(fault, request)
    try:
        check_credentials(state, auth_id, request)
        wanted = _admitted(state, body)
    except ApiError as refused:
        _note_refused(state, arrived_s, body, refused.status)
        raise
    base = media_base(request)
    begun = []
    for number in wanted.destinations:
        call = await _dial(state, auth_id, wanted, number, base)
        begun.append(call)
        _note_dialled(state, arrived_s, call, fault)
    if fault is not None:
        await state.cloud.clock.sleep(fault.delay_s)
        await meet(fault, request)
    elif state.account.state.answers_first:
        await _until_answered(begun[0])
    ids = [call.call_uuid for call in begun]
    answer = {
        "api_id": api_id(),
        "message": "Call fired",
        "request_uuid": ids[0] if len(ids) == 1 else ids,
    }
    return JSONResponse(answer, status_code=state.account.state.make_call_status)


def media_base(request: Request) -> str:
    """Return where this account's recordings are served: where it was asked from."""
    account = rest_state(request).account.auth_id
    return f"{str(request.base_url).rstrip('/')}{BASE}/Account/{account}"


def _admitted(state: RestState, body: Any) -> make_call.CallRequest:
    """Return what is to be dialled, counted against the limits.

    Raises:
        ApiError: 402, 400 or 429.
    """
    if state.account.state.balance <= 0:
        raise error_of(402)
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
    return wanted


def _status_of(fault: Fault) -> int | None:
    return fault.status if fault.answer is FaultAnswer.STATUS else None


def _note_refused(state: RestState, arrived_s: float, body: Any, status: int | None) -> None:
    """Write down what did not dial; a status of None is a connection that is cut."""
    verdict = DialVerdict.LOST
    if status is not None:
        verdict = DialVerdict.FAILED if status >= 500 else DialVerdict.REFUSED
    asked = body if isinstance(body, dict) else {}
    for number in str(asked.get("to") or "").split("<")[: make_call.MAX_DESTINATIONS]:
        state.dialled.note(
            arrived_s,
            to_number=number.strip(),
            from_number=str(asked.get("from") or ""),
            query=_query(str(asked.get("answer_url") or "")),
            verdict=verdict,
            status=status,
        )


_TOLD = {
    FaultAnswer.STATUS: DialVerdict.FAILED,
    FaultAnswer.NONE: DialVerdict.LOST,
    FaultAnswer.LATE: DialVerdict.LATE,
}


def _note_dialled(state: RestState, arrived_s: float, call: Call, fault: Fault | None) -> None:
    verdict: DialVerdict = DialVerdict.ACCEPTED
    status: int | None = state.account.state.make_call_status
    if fault is not None:
        verdict = _TOLD[fault.answer]
        status = status if fault.answer is FaultAnswer.LATE else _status_of(fault)
    facts = call.plan.facts
    state.dialled.note(
        arrived_s,
        to_number=facts.to_number,
        from_number=facts.from_number,
        query=_query(call.plan.answer.url),
        verdict=verdict,
        status=status,
        call_uuid=call.call_uuid,
        channels=state.cloud.channels,
    )


def _query(url: str) -> Mapping[str, str]:
    try:
        return dict(parse_qsl(urlsplit(url).query)[:20])
    except ValueError:
        return {}


async def _until_answered(call: Call) -> None:
    waiting = {asyncio.ensure_future(call.answer_webhook.wait())}
    _, late = await asyncio.wait(waiting, timeout=_ANSWER_FIRST_S)
    for future in late:
        future.cancel()


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
