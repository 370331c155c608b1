"""/v1/calls: the dialer's API.

Annotations are evaluated here, because FastAPI could not find what they name inside a function.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.dialer.calls.dialer import Dialer
from services.dialer.calls.order import CallOrder, MachineDetection, check_order
from services.dialer.desk.body import read_model
from services.dialer.desk.desk import Desk
from services.dialer.desk.door import Scope
from services.dialer.errors import UnknownCall
from services.dialer.numbers.e164 import NumberCheck
from shared.protocol.call import CallId

_MAX_ID_CHARS = 128


@dataclass(frozen=True, slots=True)
class OrderRules:
    """What orders are held against.

    `from_number` is the caller, and `machine_detection` what is done about answering machines, of
    orders that say nothing of it.
    """

    from_number: str | None = None
    number_check: NumberCheck = NumberCheck.POSSIBLE
    machine_detection: MachineDetection = MachineDetection.OFF


class OrderBody(BaseModel):
    """The body of POST /v1/calls."""

    model_config = ConfigDict(extra="forbid", strict=True)

    to: str = Field(max_length=64, description="number to dial, international form")
    from_: str | None = Field(None, alias="from", max_length=64, description="your caller number")
    agent: str | None = Field(None, max_length=64, description="the agent that talks")
    metadata: dict[str, str] | None = Field(None, description="kept with the call's record")
    machine_detection: MachineDetection | None = Field(None, description="off, detect or hangup")


def call_routes(dialer: Dialer, rules: OrderRules, desk: Desk) -> APIRouter:
    """Return the routes of /v1/calls."""
    router = APIRouter(prefix="/v1/calls", tags=["calls"])
    may_read = desk.door.needs(Scope.CALLS_READ)
    may_write = desk.door.needs(Scope.CALLS_WRITE)

    async def read_order(request: Request) -> CallOrder:
        body = await read_model(request, OrderBody, desk.body)
        return check_order(
            to=body.to,
            caller=body.from_ or rules.from_number,
            agent=body.agent,
            metadata=body.metadata,
            check=rules.number_check,
            machine_detection=body.machine_detection or rules.machine_detection,
        )

    @router.post("", status_code=201, dependencies=[may_write, desk.begins_work])
    async def place_call(
        order: Annotated[CallOrder, Depends(read_order)], response: Response
    ) -> dict[str, Any]:
        record = await dialer.place(order)
        response.headers["Location"] = f"/v1/calls/{record.call_id}"
        return record.to_json()

    @router.get("", dependencies=[may_read])
    async def list_calls(
        limit: Annotated[int, Query(ge=1, le=desk.list_max)] = desk.list_default,
    ) -> dict[str, Any]:
        return {"calls": [record.to_json() for record in await dialer.recent(limit)]}

    @router.get("/{call_id}", dependencies=[may_read])
    async def get_call(call_id: str) -> dict[str, Any]:
        return (await dialer.get(_call_id(call_id))).to_json()

    @router.delete("/{call_id}", status_code=204, dependencies=[may_write])
    async def hang_up_call(call_id: str) -> None:
        await dialer.hang_up(_call_id(call_id))

    return router


def _call_id(text: str) -> CallId:
    if len(text) > _MAX_ID_CHARS or not text.isascii() or not text.isprintable():
        raise UnknownCall(CallId("(not an id)"))
    return CallId(text)
