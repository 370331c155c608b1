"""/v1/calls/{id}/…: acting on calls that are up; and following them, here and at /v1/events.

Annotations are evaluated here, because FastAPI could not find what they name inside a function.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request
from starlette.responses import Response

from services.dialer.calls.actions import CallActions
from services.dialer.calls.bodies import (
    CALL_ID,
    EVENTS_EXAMPLE,
    ActedView,
    DigitsBody,
    SpeakBody,
    TransferBody,
)
from services.dialer.calls.dialer import Dialer
from services.dialer.calls.events import EventStreams, Wanted
from services.dialer.calls.routes import CallIdPath, checked_id
from services.dialer.desk.body import read_model
from services.dialer.desk.desk import Desk
from services.dialer.desk.documents import answer_of, body_of, events_answer, problems
from services.dialer.desk.door import Principal, Scope
from services.dialer.numbers.e164 import NumberCheck, e164
from services.dialer.problems import VOBIZ_PROBLEMS
from shared.bus.messages import Channel

_OF_CALLS = frozenset({Channel.CALLS, Channel.HANGUPS})
_ACTION_PROBLEMS = problems(
    *VOBIZ_PROBLEMS,
    *("unknown-call", "not-placed-yet", "not-in-progress", "call-over", "invalid-order"),
    has_body=True,
)
_FOLLOW_PROBLEMS = ("draining", "too-many-followers")
LastEventId = Annotated[
    str,
    Header(
        alias="Last-Event-ID",
        pattern=r"^([0-9]{1,15}-[0-9]{1,15})?$",
        description="the last event that is known: those after it follow, an hour back at most",
    ),
]


def action_routes(actions: CallActions, check: NumberCheck, desk: Desk) -> APIRouter:
    """Return the routes that act on a call that is up."""
    router = APIRouter(
        prefix="/v1/calls/{call_id}",
        tags=["calls"],
        dependencies=[desk.door.needs(Scope.CALLS_WRITE)],
    )

    async def read_transfer(request: Request) -> TransferBody:
        return await read_model(request, TransferBody, desk.body)

    async def read_digits(request: Request) -> DigitsBody:
        return await read_model(request, DigitsBody, desk.body)

    async def read_speak(request: Request) -> SpeakBody:
        return await read_model(request, SpeakBody, desk.body)

    def documents(action: str, about: str) -> dict[int | str, dict[str, Any]]:
        example = {"call_id": CALL_ID, "action": action}
        return answer_of(202, ActedView, example, about) | _ACTION_PROBLEMS

    examples = {
        "number": {"to": "+918000000003"},
        "xml": {"url": "https://voice.example.com/queue.xml"},
    }

    @router.post(
        "/transfer",
        status_code=202,
        openapi_extra=body_of(TransferBody, examples),
        responses=documents("transfer", "Vobiz hands the call over; who is not reached leaves it."),
    )
    async def transfer(
        call_id: CallIdPath, body: Annotated[TransferBody, Depends(read_transfer)]
    ) -> dict[str, Any]:
        known = checked_id(call_id)
        if body.url is not None:
            await actions.transfer_to_url(known, body.url)
        else:
            await actions.transfer_to_number(known, e164(body.to or "", "to", check))
        return {"call_id": known, "action": "transfer"}

    @router.post(
        "/dtmf",
        status_code=202,
        openapi_extra=body_of(DigitsBody, {"menu": {"digits": "1w2#"}}),
        responses=documents("dtmf", "Vobiz presses the keys."),
    )
    async def press(
        call_id: CallIdPath, body: Annotated[DigitsBody, Depends(read_digits)]
    ) -> dict[str, Any]:
        known = checked_id(call_id)
        await actions.send_digits(known, body.digits)
        return {"call_id": known, "action": "dtmf"}

    @router.post(
        "/speak",
        status_code=202,
        openapi_extra=body_of(SpeakBody, {"hold": {"text": "One moment.", "language": "en-US"}}),
        responses=documents("speak", "Vobiz reads the text out."),
    )
    async def speak(
        call_id: CallIdPath, body: Annotated[SpeakBody, Depends(read_speak)]
    ) -> dict[str, Any]:
        known = checked_id(call_id)
        await actions.speak(known, body.text, voice=body.voice, language=body.language)
        return {"call_id": known, "action": "speak"}

    return router


def event_routes(dialer: Dialer, streams: EventStreams, desk: Desk) -> APIRouter:
    """Return the routes of server-sent events."""
    router = APIRouter(prefix="/v1", tags=["events"])
    may_read = desk.door.needs(Scope.CALLS_READ)
    about = "Events as they happen, each with its place as `id`; comments while there are none."

    @router.get(
        "/calls/{call_id}/events",
        response_class=Response,
        dependencies=[may_read],
        responses=events_answer(EVENTS_EXAMPLE, f"{about} Ends with the call.")
        | problems("unknown-call", *_FOLLOW_PROBLEMS),
    )
    async def follow_call(call_id: CallIdPath, last_event_id: LastEventId = "") -> Response:
        record = await dialer.get(checked_id(call_id))
        return streams.follow(Wanted(_OF_CALLS, record.call_id, last_event_id or None))

    @router.get(
        "/events",
        response_class=Response,
        responses=events_answer(EVENTS_EXAMPLE, about) | problems(*_FOLLOW_PROBLEMS),
    )
    async def follow_all(
        who: Annotated[Principal, may_read], last_event_id: LastEventId = ""
    ) -> Response:
        channels = _OF_CALLS
        if Scope.CAMPAIGNS_READ in who.scopes:
            channels |= {Channel.CAMPAIGNS}
        return streams.follow(Wanted(channels, None, last_event_id or None))

    return router
