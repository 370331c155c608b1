"""/v1/calls: placing calls, looking at them, hanging them up.

Annotations are evaluated here, because FastAPI could not find what they name inside a function.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import JSONResponse

from services.dialer.calls.bodies import (
    CALL_EXAMPLE,
    CALL_ID,
    ORDER_EXAMPLES,
    CallsView,
    OrderBody,
)
from services.dialer.calls.dialer import Dialer
from services.dialer.calls.idempotency import KEY_PATTERN, fingerprint_of, read_key
from services.dialer.calls.listing import CallFilter
from services.dialer.calls.machine import MachineDetection, MachineRule
from services.dialer.calls.order import CallOrder, check_order
from services.dialer.calls.placing import Placing
from services.dialer.desk.body import read_model
from services.dialer.desk.desk import Desk
from services.dialer.desk.documents import answer_of, body_of, problems
from services.dialer.desk.door import Principal, Scope
from services.dialer.errors import UnknownCall
from services.dialer.numbers.e164 import NumberCheck, e164
from services.dialer.problems import VOBIZ_PROBLEMS
from shared.protocol.call import CallId, CallRecord, CallState, Direction

_MAX_ID_CHARS = 128
CallIdPath = Annotated[
    str,
    Path(
        json_schema_extra={"minLength": 1, "maxLength": _MAX_ID_CHARS},
        description="the platform's id of a call",
        examples=[CALL_ID],
    ),
]
Name = Annotated[str | None, Query(max_length=64)]


@dataclass(frozen=True, slots=True)
class OrderRules:
    """What orders are held against.

    `from_number` is the caller, and `machine_detection` what is done about answering machines, of
    orders that say nothing of it.
    """

    from_number: str | None = None
    number_check: NumberCheck = NumberCheck.POSSIBLE
    machine_detection: MachineDetection = MachineDetection.OFF

    def order_of(self, body: OrderBody) -> CallOrder:
        """Return the order that a request asks for.

        Raises:
            InvalidOrder: the first field that is wrong.
        """
        wanted = MachineRule.from_body(body.machine_detection)
        return check_order(
            to=body.to,
            caller=body.from_ or self.from_number,
            agent=body.agent,
            metadata=body.metadata,
            check=self.number_check,
            machine_detection=wanted or MachineRule(self.machine_detection),
            variables=body.variables,
            ring_timeout_s=body.ring_timeout_s,
            time_limit_s=body.time_limit_s,
            needs_agent=body.require_free_agent,
        )


def call_routes(dialer: Dialer, placing: Placing, rules: OrderRules, desk: Desk) -> APIRouter:
    """Return the routes of /v1/calls."""
    router = APIRouter(prefix="/v1/calls", tags=["calls"])
    may_read = desk.door.needs(Scope.CALLS_READ)
    may_write = desk.door.needs(Scope.CALLS_WRITE)
    one_call = answer_of(200, CallRecord, CALL_EXAMPLE, "The call's record.")

    async def read_order(request: Request) -> OrderBody:
        return await read_model(request, OrderBody, desk.body)

    @router.post(
        "",
        status_code=201,
        response_class=JSONResponse,
        dependencies=[desk.begins_work],
        openapi_extra=body_of(OrderBody, ORDER_EXAMPLES),
        responses=answer_of(
            201,
            CallRecord,
            CALL_EXAMPLE,
            "The call is recorded, and Vobiz dials it.",
            headers={
                "Location": "where its record is",
                "Idempotency-Replayed": "true: answered from memory",
            },
        )
        | problems(
            *VOBIZ_PROBLEMS,
            *("draining", "invalid-order", "at-limit", "do-not-call"),
            *("key-in-use", "key-used-otherwise"),
            has_body=True,
        ),
    )
    async def place_call(
        who: Annotated[Principal, may_write],
        body: Annotated[OrderBody, Depends(read_order)],
        idempotency_key: Annotated[
            str,
            Header(
                pattern=KEY_PATTERN,
                description="names this request for 24 hours: the same again is answered the same,"
                " and dialled once",
            ),
        ] = "",
    ) -> JSONResponse:
        order = rules.order_of(body)
        said = body.model_dump(mode="json", by_alias=True, exclude_unset=True)
        fingerprint = fingerprint_of("POST", "/v1/calls", said)
        placed = await placing.place(who, order, read_key(idempotency_key), fingerprint)
        return JSONResponse(
            placed.body, placed.status, headers=placed.headers, media_type=placed.media_type
        )

    @router.get(
        "",
        dependencies=[may_read],
        responses=answer_of(
            200,
            CallsView,
            {"calls": [CALL_EXAMPLE], "next": None},
            "Calls, inbound ones too, newest first. A page may be short, even empty, with more to"
            " follow: `next` tells.",
        )
        | problems("invalid-order"),
    )
    async def list_calls(
        state: CallState | None = None,
        direction: Direction | None = None,
        agent: Name = None,
        campaign: Name = None,
        to: Name = None,
        limit: Annotated[int, Query(ge=1, le=desk.list_max)] = desk.list_default,
        cursor: Annotated[str | None, Query(max_length=_MAX_ID_CHARS)] = None,
    ) -> dict[str, Any]:
        wanted = CallFilter(
            state, direction, agent, campaign, e164(to, "to") if to is not None else None
        )
        before = CallId(cursor) if cursor is not None else None
        records, after = await dialer.page(wanted, limit=limit, before=before)
        return {"calls": [record.to_json() for record in records], "next": after}

    @router.get(
        "/{call_id}", dependencies=[may_read], responses=one_call | problems("unknown-call")
    )
    async def get_call(call_id: CallIdPath) -> dict[str, Any]:
        return (await dialer.get(checked_id(call_id))).to_json()

    @router.delete(
        "/{call_id}",
        status_code=204,
        dependencies=[may_write],
        responses=answer_of(204, None, None, "Hung up, or over already.")
        | problems("unknown-call", "not-placed-yet", *VOBIZ_PROBLEMS),
    )
    async def hang_up_call(call_id: CallIdPath) -> None:
        await dialer.hang_up(checked_id(call_id))

    return router


def checked_id(text: str) -> CallId:
    """Return what may be a call's id.

    Raises:
        UnknownCall: it can't be one.
    """
    if len(text) > _MAX_ID_CHARS or not text.isascii() or not text.isprintable():
        raise UnknownCall(CallId("(not an id)"))
    return CallId(text)
