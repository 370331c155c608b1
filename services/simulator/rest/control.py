"""Routes that the real cloud does not have: changing the cloud, reading reports.

They need no credentials; the simulator listens on loopback unless told otherwise.
"""

from __future__ import annotations

import uuid
from dataclasses import fields, replace
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from services.simulator.calls import endings
from services.simulator.calls.call import Call
from services.simulator.calls.forms import CallFacts
from services.simulator.calls.knobs import (
    WIRE_SHAPES,
    HangupKnob,
    Knobs,
    NumberKnob,
    ReconnectKnob,
    SignatureKnob,
)
from services.simulator.calls.plan import CallPlan, Target
from services.simulator.line.line import LineQuality
from services.simulator.person.people import PersonBody
from services.simulator.rest.dialling import media_base
from services.simulator.rest.state import ApiError, RestState, rest_state
from services.simulator.results.call_report import build_report
from shared.protocol.call import Direction

control = APIRouter(prefix="/simulator")


class AccountBody(BaseModel):
    """What to change of the account; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    cps: int | None = Field(None, ge=1)
    concurrency: int | None = Field(None, ge=1)
    balance: float | None = None
    numbers: list[str] | None = Field(None, description="empty: every number is its own")
    make_call_status: Literal[200, 201] | None = None
    answers_first: bool | None = None
    lists_objects: bool | None = None
    is_active: bool | None = None
    keeps_attachments: bool | None = None


class InboundBody(BaseModel):
    """An inbound call to place now: who calls, and the URLs of the application.

    Without an answer URL they are those of the Application that the number called is attached to.
    """

    model_config = ConfigDict(extra="forbid")

    answer_url: str | None = None
    hangup_url: str | None = None
    fallback_url: str | None = None
    from_number: str = "+918000000001"
    to_number: str = "+918000000002"
    person: PersonBody = Field(default_factory=PersonBody)


@control.post("/account")
async def change_account(change: AccountBody, request: Request) -> dict[str, Any]:
    """Change limits, balance, owned numbers and variants of Make Call."""
    state = rest_state(request).account.state
    for name, value in change.model_dump(exclude_none=True).items():
        setattr(state, name, value)
    if change.numbers is not None:
        state.numbers = frozenset(change.numbers) or None
    return {field.name: _plain(getattr(state, field.name)) for field in fields(state)}


@control.post("/knobs")
async def change_knobs(change: dict[str, Any], request: Request) -> dict[str, Any]:
    """Change how the cloud behaves in calls that begin from now on; `line` is their quality."""
    state = rest_state(request)
    line = change.pop("line", None)
    try:
        state.knobs = replace(state.knobs, **{k: _knob(k, v) for k, v in change.items()})
        if line is not None:
            state.quality = LineQuality(**line)
    except (TypeError, ValueError, KeyError) as exc:
        raise ApiError(400, f"no such knob or value: {exc}") from exc
    return {name: _plain(getattr(state.knobs, name)) for name in Knobs.__slots__}


@control.post("/reset")
async def reset(request: Request) -> dict[str, str]:
    """Forget people and trouble, go back to the usual knobs; limits, calls and books stay."""
    state = rest_state(request)
    state.people.forget()
    state.account.faults.forget()
    state.knobs, state.quality = Knobs(), LineQuality()
    return {"state": "as at the start"}


@control.post("/inbound")
async def place_inbound(body: InboundBody, request: Request) -> dict[str, str]:
    """Place an inbound call into an application."""
    state = rest_state(request)
    if len(state.cloud.live) >= state.account.state.concurrency:
        raise ApiError(503, "concurrency exceeded: the carrier would see SIP 503")
    answer, hangup, fallback = _targets(body, state)
    state.people.add(body.person.model_copy(update={"number": "inbound", "times": 1}))
    person = await state.people.who("inbound")
    facts = CallFacts(
        call_uuid=str(uuid.uuid4()),
        direction=Direction.INBOUND,
        from_number=body.from_number,
        to_number=body.to_number,
        auth_id=state.account.auth_id,
        session_start=state.cloud.clock.wall(),
        numbers=state.knobs.numbers,
    )
    plan = CallPlan(
        facts=facts,
        answer=answer,
        hangup=hangup,
        fallback=fallback,
        token=state.account.token,
        script=person.script,
        quality=state.quality,
        knobs=state.knobs,
        media_base=media_base(request),
    )
    return {"call_uuid": state.cloud.start(plan).call_uuid}


@control.get("/calls")
async def list_all_calls(request: Request) -> dict[str, Any]:
    """List live and finished calls, oldest first."""
    cloud = rest_state(request).cloud
    known = [*cloud.finished.values(), *cloud.live.values()]
    return {"calls": [_brief(call) for call in known]}


@control.get("/calls/{call_uuid}")
async def show_report(call_uuid: str, request: Request) -> dict[str, Any]:
    """Show a call's report, so far if it lasts."""
    state = rest_state(request)
    return build_report(_known(state, call_uuid), state.cloud.lag)


@control.post("/calls/{call_uuid}/hangup")
async def person_hangs_up(call_uuid: str, request: Request) -> dict[str, str]:
    """Let the person put the receiver down."""
    call = _known(rest_state(request), call_uuid)
    call.end(endings.person_hung_up(call.plan.facts.direction))
    return {"call_uuid": call_uuid}


@control.post("/calls/{call_uuid}/media-timeout")
async def lose_media(call_uuid: str, request: Request) -> dict[str, str]:
    """End a call as after a minute without RTP from the carrier."""
    _known(rest_state(request), call_uuid).end(endings.MEDIA_TIMEOUT)
    return {"call_uuid": call_uuid}


def _targets(body: InboundBody, state: RestState) -> tuple[Target, Target | None, Target | None]:
    """Return where an inbound call is answered, told of its end, and answered if that fails."""
    if body.answer_url is not None:
        hangup = Target(body.hangup_url) if body.hangup_url else None
        fallback = Target(body.fallback_url) if body.fallback_url else None
        return Target(body.answer_url), hangup, fallback
    attached = state.account.application_of(body.to_number)
    if attached is None:
        raise ApiError(404, f"no application is attached to {body.to_number}")
    answer = attached.target("answer_url", "answer_method")
    if answer is None or not attached.body["enabled"]:
        raise ApiError(404, "the application is not enabled")
    hangup = attached.target("hangup_url", "hangup_method")
    return answer, hangup, attached.target("fallback_answer_url", "fallback_method")


def _known(state: RestState, call_uuid: str) -> Call:
    call = state.cloud.find(call_uuid)
    if call is None:
        raise ApiError(404, "call not found")
    return call


def _brief(call: Call) -> dict[str, Any]:
    facts = call.plan.facts
    return {
        "call_uuid": facts.call_uuid,
        "direction": facts.direction.value,
        "from": facts.from_number,
        "to": facts.to_number,
        "state": call.state.value,
        "duration_s": call.duration_s,
    }


_KINDS: dict[str, Any] = {
    "signature": SignatureKnob,
    "numbers": NumberKnob,
    "reconnect": ReconnectKnob,
    "hangup": HangupKnob,
    "shape": WIRE_SHAPES.__getitem__,
    "drop_socket_at_s": tuple,
}


def _knob(name: str, value: Any) -> Any:
    return _KINDS[name](value) if name in _KINDS else value


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int, float, type(None))):
        return value
    return sorted(value) if isinstance(value, (frozenset, tuple)) else str(value)
