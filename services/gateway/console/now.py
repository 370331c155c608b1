"""/console/api: what goes on now: calls, workers, agents, health, the last hour's charts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import httpx
import structlog
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from services.gateway.console.charts import (
    CHARTS,
    MAX_WINDOW_S,
    MIN_WINDOW_S,
    Chart,
    chart_json,
    step_s,
)
from services.gateway.console.door import signed_in
from services.gateway.console.outlook import EACH_S
from services.gateway.console.problem import Problem
from services.gateway.console.stream import EventStream, event_stream
from services.gateway.state import GatewayState, gateway_state
from shared.bus.base import BusUnavailable
from shared.bus.messages import BusEvent, Channel
from shared.protocol.call import WorkerId
from shared.protocol.live import EVENT_DRAIN, EVENT_UNDRAIN

_log = structlog.get_logger(__name__)

State = Annotated[GatewayState, Depends(gateway_state)]
router = APIRouter(prefix="/console/api", dependencies=[Depends(signed_in)])


@router.get("/now", response_model=None)
async def now(state: State) -> EventStream:
    """Tell what goes on, about once a second."""
    outlook = state.console.outlook

    async def texts() -> AsyncGenerator[str, None]:
        while True:
            yield await outlook.text()
            await asyncio.sleep(EACH_S)

    return event_stream(state.console.watchers, texts())


@router.get("/agents", response_model=None)
async def agents(state: State) -> dict[str, Any]:
    """Return the agents one can talk to."""
    try:
        return {"agents": await state.console.outlook.agents()}
    except BusUnavailable as exc:
        raise Problem(503, "Redis does not answer.") from exc


@router.post("/workers/{worker_id}/drain", response_model=None)
async def drain(worker_id: str, state: State) -> Response:
    """Have a worker take no new calls; those it has go on."""
    return await _tell_worker(state, worker_id, EVENT_DRAIN)


@router.post("/workers/{worker_id}/undrain", response_model=None)
async def undrain(worker_id: str, state: State) -> Response:
    """Have a worker take calls again."""
    return await _tell_worker(state, worker_id, EVENT_UNDRAIN)


async def _tell_worker(state: GatewayState, worker_id: str, kind: str) -> Response:
    bus = state.console.bus
    try:
        if WorkerId(worker_id) not in {lease.worker_id for lease in await bus.workers.workers()}:
            raise Problem(404, "There is no such worker now.")
        await bus.events.publish(BusEvent(Channel.WORKERS, kind, None, {"worker_id": worker_id}))
    except BusUnavailable as exc:
        raise Problem(503, "Redis does not answer.") from exc
    _log.warning("worker_told", worker_id=worker_id, kind=kind)
    return Response(status_code=202)


@router.get("/series", response_model=None)
async def series(
    state: State,
    window_s: Annotated[int, Query(ge=MIN_WINDOW_S, le=MAX_WINDOW_S)] = 3600,
) -> dict[str, Any]:
    """Return the charts of the time until now; none where Prometheus does not answer."""
    neighbours = state.console.neighbours
    end_s = state.clock.wall().timestamp()
    if not neighbours.has_charts:
        return {"is_available": False, "charts": []}

    async def drawn(chart: Chart) -> dict[str, Any]:
        answers = [
            await neighbours.query_range(
                line.query, start_s=end_s - window_s, end_s=end_s, step_s=step_s(window_s)
            )
            for line in chart.lines
        ]
        return chart_json(chart, answers)

    try:
        charts = await asyncio.gather(*(drawn(chart) for chart in CHARTS))
    except (httpx.HTTPError, KeyError, TypeError, ValueError) as exc:
        _log.info("charts_not_drawn", error=type(exc).__name__)
        return {"is_available": False, "charts": []}
    return {"is_available": True, "charts": charts}
