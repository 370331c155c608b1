"""/console/api/calls: the calls there were, one of them as a page."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Query
from starlette.responses import JSONResponse, Response

from services.gateway.calls.routing import is_call_id
from services.gateway.console.door import signed_in
from services.gateway.console.problem import Problem
from services.gateway.routes.recordings import (
    find_recording,
    recording_of,
    wav_response,
    waveform_of,
)
from services.gateway.state import GatewayState, gateway_state
from shared.bus.base import BusUnavailable
from shared.protocol.call import CallId, CallRecord
from shared.recordings.archive import Recording

_PAGE = 200
_MOST_SEARCHED = 5000
"""Records that one search reads; it goes on from there when asked for more."""
_AWAY = "Redis does not answer."
_FRESH = {"cache-control": "no-store"}
_SHOWN = sorted(
    {field.name for field in fields(CallRecord)}
    - {"transcript", "marks", "usage", "metadata", "variables"}
)

State = Annotated[GatewayState, Depends(gateway_state)]
router = APIRouter(prefix="/console/api/calls", dependencies=[Depends(signed_in)])


@router.get("", response_model=None)
async def list_calls(
    state: State,
    q: Annotated[str, Query(max_length=100)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str, Query(max_length=128)] = "",
) -> dict[str, Any]:
    """Return calls, newest first; `next` goes into `before` for those that follow."""
    wanted = q.strip().lower()
    found: list[CallRecord] = []
    last = CallId(before) if before else None
    searched, is_over = 0, False
    try:
        while len(found) < limit and searched < _MOST_SEARCHED and not is_over:
            size = _PAGE if wanted else limit - len(found)
            page = await state.records.recent(size, before=last)
            is_over = len(page) < size
            for record in page:
                searched += 1
                last = record.call_id
                if not wanted or wanted in _searchable(record):
                    found.append(record)
                    if len(found) == limit:
                        break
    except BusUnavailable as exc:
        raise Problem(503, _AWAY) from exc
    has_more = len(found) == limit or not is_over
    return {"calls": [_short(record) for record in found], "next": last if has_more else None}


def _searchable(record: CallRecord) -> str:
    parts = (
        record.call_id,
        record.call_uuid,
        record.from_number,
        record.to_number,
        record.agent,
        record.state.value,
        record.end_reason.value if record.end_reason else None,
        *(str(entry.get("text") or "") for entry in record.transcript),
    )
    return "\n".join(part for part in parts if part).lower()


def _short(record: CallRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _SHOWN}


@router.get("/{call_id}", response_model=None)
async def read_call(call_id: str, state: State) -> Response:
    """Return one call: its record, its marks, whether it can be listened to."""
    try:
        record = await state.records.find(CallId(call_id)) if is_call_id(call_id) else None
    except BusUnavailable as exc:
        raise Problem(503, _AWAY) from exc
    if record is None:
        raise Problem(404, "There is no such call, or it is no longer kept.")
    body = record.to_json()
    marks = body.pop("marks")
    # Of a call that goes on it would be put together anew each time.
    recording = await _known_recording(state, call_id) if record.state.is_final else None
    return JSONResponse({"record": body, "marks": marks, "recording": recording}, headers=_FRESH)


async def _known_recording(state: GatewayState, call_id: str) -> dict[str, Any] | None:
    """What is known of a call's recording; a store that is away hides no call."""
    try:
        recording = await find_recording(state, call_id)
    except HTTPException:
        return None
    if recording is None:
        return None
    index = recording.index
    return {"duration_ms": index.duration_ms, "has_audio": index.samples > 0}


@router.get("/{call_id}/recording.wav", response_model=None)
async def listen(
    call_id: str, state: State, wanted: Annotated[str | None, Header(alias="range")] = None
) -> Response:
    """Return what both sides heard: stereo, caller left, agent right."""
    return await wav_response(await _recording(state, call_id), wanted)


@router.get("/{call_id}/waveform", response_model=None)
async def draw(
    call_id: str, state: State, bins: Annotated[int, Query(ge=1, le=20_000)] = 2000
) -> Response:
    """Return the peaks of both sides."""
    return JSONResponse(waveform_of(await _recording(state, call_id), bins), headers=_FRESH)


async def _recording(state: GatewayState, call_id: str) -> Recording:
    try:
        return await recording_of(state, call_id)
    except HTTPException as exc:
        words = f"{str(exc.detail).capitalize()}."
        raise Problem(exc.status_code, words) from exc
