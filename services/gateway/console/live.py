"""/console/api/calls/{id}/live: what happens in a call, while it happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from services.gateway.calls.routing import is_call_id
from services.gateway.console.door import signed_in
from services.gateway.console.problem import Problem
from services.gateway.console.stream import EventStream, event_stream
from services.gateway.state import GatewayState, gateway_state
from shared.bus.base import Bus
from shared.bus.messages import BusEvent, Channel
from shared.protocol.call import CallId, CallRecord
from shared.protocol.live import EVENT_WATCH, WATCH_AGAIN_S

_ASK_S = 2.0
"""Between two looks at whether the call is over: its worker may have died with the news."""

State = Annotated[GatewayState, Depends(gateway_state)]
router = APIRouter(prefix="/console/api/calls", dependencies=[Depends(signed_in)])


@router.get("/{call_id}/live", response_model=None)
async def live(call_id: str, state: State) -> EventStream:
    """Tell what happens in a call until it is over; what was said before comes first."""
    if not is_call_id(call_id):
        raise Problem(404, "There is no such call.")
    console = state.console
    return event_stream(console.watchers, follow(console.bus, CallId(call_id)))


async def follow(bus: Bus, call_id: CallId) -> AsyncGenerator[str, None]:
    """Give what the call's worker tells, and at its end what the record says.

    Raises:
        BusUnavailable: the way is lost.
    """
    watch = BusEvent(Channel.CALLS, EVENT_WATCH, call_id)
    loop = asyncio.get_running_loop()
    async with bus.live.follow(call_id) as texts:
        watched_s = float("-inf")
        following: asyncio.Future[str] | None = None
        try:
            while True:
                if loop.time() - watched_s >= WATCH_AGAIN_S:
                    await bus.events.publish(watch)
                    watched_s = loop.time()
                following = following or asyncio.ensure_future(anext(texts))
                await asyncio.wait({following}, timeout=_ASK_S)
                if following.done():
                    text, following = following.result(), None
                    yield text
                    if _kind(text) == "ended":
                        return
                elif (record := await bus.calls.get(call_id)) is not None and record.state.is_final:
                    for said in record_events(record):
                        yield said
                    return
        finally:
            if following is not None:
                following.cancel()
                await asyncio.wait({following})


def _kind(text: str) -> str:
    return str(json.loads(text).get("kind"))


def record_events(record: CallRecord) -> list[str]:
    """Return what is told of a call that is over."""
    said: list[dict[str, Any]] = []
    spoken = [entry for entry in record.transcript if "kind" not in entry]
    for place, entry in enumerate(spoken):
        event = {"at_ms": entry["at_ms"], "n": place, "text": entry["text"]}
        if entry["who"] == "caller":
            is_understood = bool(entry.get("is_understood", True))
            said.append({"kind": "caller", **event, "is_understood": is_understood})
        else:
            kind = "interrupted" if entry.get("is_interrupted") else "said"
            said.append({"kind": kind, **event})
    reason = record.end_reason.value if record.end_reason else record.state.value
    at_ms = round((record.duration_s or 0.0) * 1000)
    said.append({"kind": "ended", "at_ms": at_ms, "reason": reason})
    return [json.dumps(one, separators=(",", ":")) for one in said]
