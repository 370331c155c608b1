"""Routes that the real cloud does not have: trouble asked for, and the book of what was dialled.

They need no credentials; the simulator listens on loopback unless told otherwise.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from services.simulator.rest.dial_log import MAX_PAGE
from services.simulator.rest.faults import Fault, FaultAnswer
from services.simulator.rest.state import rest_state

trouble = APIRouter(prefix="/simulator")


class FaultBody(BaseModel):
    """Trouble that requests meet: so many of them, or a share."""

    model_config = ConfigDict(extra="forbid")

    status: int = Field(503, ge=400, le=599)
    count: int = Field(1, ge=1, le=100_000, description="so many requests; not with `share`")
    share: float | None = Field(None, ge=0, le=1, description="of all matching requests")
    seed: int = Field(1, description="which ones a share means")
    for_s: float | None = Field(None, gt=0, le=86_400, description="until then at the latest")
    operation: str = Field("", description='"POST /Account/MA_LOCAL/Call/" or its beginning')
    answer: Literal["status", "none", "late"] = Field(
        "status", description="the error; none: the connection is cut; late: the true answer"
    )
    dials: bool = Field(False, description="Make Call dials all the same")
    delay_s: float = Field(0.0, ge=0, le=600, description="before the answer, or the cut")
    limit: Literal["cps", "concurrency"] = Field("cps", description="which one a 429 names")
    retry_after_s: int = Field(1, ge=0, le=3600, description="what a 429 says")


@trouble.post("/faults")
async def inject_faults(body: FaultBody, request: Request) -> dict[str, Any]:
    """Let coming REST requests fail."""
    state = rest_state(request)
    fault = Fault(
        status=body.status,
        operation=body.operation,
        answer=FaultAnswer(body.answer),
        dials=body.dials,
        delay_s=body.delay_s,
        limit=body.limit,
        retry_after_s=body.retry_after_s,
    )
    until_s = float("inf") if body.for_s is None else state.cloud.clock.now_s() + body.for_s
    if body.share is not None:
        state.account.faults.inject_share(fault, body.share, seed=body.seed, until_s=until_s)
        return {"status": body.status, "share": body.share}
    state.account.faults.inject(fault, body.count, until_s=until_s)
    return {"status": body.status, "count": body.count}


@trouble.get("/faults")
async def list_faults(request: Request) -> dict[str, Any]:
    """List the trouble that is still to come, and how many requests met it."""
    return {"faults": rest_state(request).account.faults.to_json()}


@trouble.delete("/faults")
async def forget_faults(request: Request) -> Response:
    """Let all go well from now on."""
    rest_state(request).account.faults.forget()
    return Response(status_code=204)


@trouble.get("/dialled")
async def list_dialled(
    request: Request, after: int = 0, limit: int = MAX_PAGE, numbers: int = 0
) -> dict[str, Any]:
    """List the calls asked for behind number `after`, as they arrived, refused ones too.

    `figures` are of all of them; `numbers` adds the so many numbers that were dialled most.
    `stalls` are when the simulator did not run: what came meanwhile is written down late.
    """
    state = rest_state(request)
    dialled = state.dialled
    calls = dialled.page(after, limit)
    last = calls[-1]["n"] if calls else after
    figures = dialled.figures(numbers=min(numbers, 10_000))
    return {"figures": figures, "calls": calls, "next": last, "stalls": state.cloud.stalls}
