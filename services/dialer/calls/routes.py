"""/v1/calls: the dialer's API.

Annotations are evaluated here, because FastAPI could not find what they name inside a function.
"""

import asyncio
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.dialer.calls.dialer import Dialer
from services.dialer.calls.order import CallOrder, MachineDetection, NumberCheck, check_order
from services.dialer.errors import UnknownCall
from services.dialer.problems import Problem
from shared.protocol.call import CallId

_MAX_ID_CHARS = 128


@dataclass(frozen=True, slots=True)
class OrderDesk:
    """What orders are held against.

    `api_key` None lets everybody in. `from_number` is the caller, and
    `machine_detection` what is done about answering machines, of orders that say nothing of it.
    """

    api_key: str | None
    from_number: str | None
    number_check: NumberCheck
    body_max_bytes: int
    body_timeout_s: float
    list_max: int
    machine_detection: MachineDetection = MachineDetection.OFF


class OrderBody(BaseModel):
    """The body of POST /v1/calls."""

    model_config = ConfigDict(extra="forbid", strict=True)

    to: str = Field(max_length=64, description="number to dial, international form")
    from_: str | None = Field(None, alias="from", max_length=64, description="your caller number")
    agent: str | None = Field(None, max_length=64, description="the agent that talks")
    metadata: dict[str, str] | None = Field(None, description="kept with the call's record")
    machine_detection: MachineDetection | None = Field(None, description="off, detect or hangup")


class Refused(Exception):
    """A request that is turned away before it reaches the dialer."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.kind)
        self.problem = problem
        self.headers = dict(headers or {})


def call_routes(
    dialer: Dialer, desk: OrderDesk, *, is_draining: Callable[[], bool] = lambda: False
) -> APIRouter:
    """Return the routes of /v1/calls, each behind the key; no orders while draining."""

    async def require_key(request: Request) -> None:
        if desk.api_key is not None and not _has_key(request, desk.api_key):
            raise Refused(
                Problem(
                    401,
                    "unauthorized",
                    "A valid key is needed",
                    "Send Authorization: Bearer with the dialer's key (DIALER_API_KEY).",
                ),
                {"WWW-Authenticate": "Bearer"},
            )

    async def read_order(request: Request) -> CallOrder:
        if is_draining():
            raise Refused(Problem(503, "draining", "The dialer is stopping", "Try another one.", 1))
        return await _read_order(request, desk)

    router = APIRouter(prefix="/v1/calls", dependencies=[Depends(require_key)])

    @router.post("", status_code=201)
    async def place_call(
        order: Annotated[CallOrder, Depends(read_order)], response: Response
    ) -> dict[str, Any]:
        record = await dialer.place(order)
        response.headers["Location"] = f"/v1/calls/{record.call_id}"
        return record.to_json()

    @router.get("")
    async def list_calls(
        limit: Annotated[int, Query(ge=1, le=desk.list_max)] = min(50, desk.list_max),
    ) -> dict[str, Any]:
        return {"calls": [record.to_json() for record in await dialer.recent(limit)]}

    @router.get("/{call_id}")
    async def get_call(call_id: str) -> dict[str, Any]:
        return (await dialer.get(_call_id(call_id))).to_json()

    @router.delete("/{call_id}", status_code=204)
    async def hang_up_call(call_id: str) -> None:
        await dialer.hang_up(_call_id(call_id))

    return router


def _call_id(text: str) -> CallId:
    if len(text) > _MAX_ID_CHARS or not text.isascii() or not text.isprintable():
        raise UnknownCall(CallId("(not an id)"))
    return CallId(text)


def _has_key(request: Request, key: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    is_right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), key.encode())
    return is_right and scheme.lower() == "bearer"


async def _read_order(request: Request, desk: OrderDesk) -> CallOrder:
    # Asked for by its name, so that no web page can place calls with a simple form post.
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise Refused(Problem(415, "not-json", "The body must be application/json"))
    try:
        body = OrderBody.model_validate_json(await _read_body(request, desk))
    except ValidationError as exc:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'body'}: {fault['msg']}"
            for fault in exc.errors(include_input=False, include_url=False, include_context=False)
        ]
        detail = "; ".join(faults[:10])[:1000].encode("utf-8", "replace").decode()
        raise Refused(Problem(422, "invalid-request", "The body can't be used", detail)) from exc
    return check_order(
        to=body.to,
        caller=body.from_ or desk.from_number,
        agent=body.agent,
        metadata=body.metadata,
        check=desk.number_check,
        machine_detection=body.machine_detection or desk.machine_detection,
    )


async def _read_body(request: Request, desk: OrderDesk) -> bytes:
    too_large = Refused(
        Problem(413, "too-large", f"The body is limited to {desk.body_max_bytes} bytes"),
        {"Connection": "close"},
    )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:12]) > desk.body_max_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(desk.body_timeout_s):
            async for part in request.stream():
                body += part
                if len(body) > desk.body_max_bytes:
                    raise too_large
    except TimeoutError as exc:
        problem = Problem(408, "too-slow", "The body did not arrive in time")
        raise Refused(problem, {"Connection": "close"}) from exc
    return bytes(body)
