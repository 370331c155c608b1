"""Reading and removing recordings: what each side heard, as a WAV file and as a picture's figures.

The functions at the top are what the console's routes use too; those below are the API's, under
the key of /calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Query
from starlette.responses import JSONResponse, Response, StreamingResponse

from services.gateway.calls.routing import is_call_id
from services.gateway.routes.calls import State, may_read
from services.gateway.state import GatewayState
from shared.protocol.call import CallId
from shared.recordings.archive import Recording, RecordingArchive
from shared.recordings.errors import StoreUnavailable
from shared.recordings.index import waveform
from shared.recordings.vobiz_copy import VobizCopy
from shared.recordings.wav import (
    UnsatisfiableRange,
    Wanted,
    parse_range,
    pcm_of,
    wanted_of,
    wav_bytes,
    wav_header,
)

_SLICE_BYTES = 32_768
"""Of mu-law that becomes PCM at a time: two seconds, less than a tenth of a millisecond of work."""
_COPY_SLICE_BYTES = 262_144
_PRIVATE = {"cache-control": "private, no-store", "x-content-type-options": "nosniff"}


async def find_recording(state: GatewayState, call_id: str) -> Recording | None:
    """Return a call's recording; None where there is none.

    Raises:
        HTTPException: 503 where the store does not answer.
    """
    if state.recordings is None or not is_call_id(call_id):
        return None
    try:
        return await state.recordings.find(CallId(call_id))
    except StoreUnavailable as exc:
        raise _away(exc) from exc


async def recording_of(state: GatewayState, call_id: str) -> Recording:
    """Return a call's recording; 404 where there is none, 503 where the store does not answer."""
    recording = await find_recording(state, call_id)
    if recording is None:
        raise HTTPException(404, "no recording of this call")
    return recording


async def wav_response(recording: Recording, range_header: str | None) -> Response:
    """Return a recording, or a range of it, as WAV: made while it is sent."""
    samples = recording.index.samples
    size = wav_bytes(samples)
    try:
        span = parse_range(range_header, size)
    except UnsatisfiableRange:
        return Response(status_code=416, headers={"content-range": f"bytes */{size}", **_PRIVATE})
    name = f'inline; filename="{recording.index.call_id}.wav"'
    headers = {"accept-ranges": "bytes", "content-disposition": name, **_PRIVATE}
    if span is None:
        whole = Wanted(wav_header(samples), 0, 2 * samples, 0, 4 * samples)
        body, status, length = whole, 200, size
    else:
        body, status, length = wanted_of(span, samples), 206, span.length
        headers["content-range"] = span.content_range(size)
    headers["content-length"] = str(length)
    # The first slice is read before the head is sent: a store that is away is an error still.
    first = await _read(recording, body.start, min(body.length, _SLICE_BYTES))
    return StreamingResponse(
        _stream(recording, body, first), status, headers=headers, media_type="audio/wav"
    )


async def _stream(recording: Recording, wanted: Wanted, first: bytes) -> AsyncIterator[bytes]:
    if wanted.head:
        yield wanted.head
    left, skip = wanted.most, wanted.skip
    at, end = wanted.start, wanted.start + wanted.length
    part = first
    while left > 0 and part:
        pcm = pcm_of(part)[skip:][:left]
        yield pcm
        left, skip, at = left - len(pcm), 0, at + len(part)
        if left > 0:
            part = await recording.read(at, min(_SLICE_BYTES, end - at))


async def _read(recording: Recording, start: int, length: int) -> bytes:
    try:
        return await recording.read(start, length) if length else b""
    except StoreUnavailable as exc:
        raise _away(exc) from exc


def waveform_of(recording: Recording, bins: int) -> dict[str, Any]:
    """Return both sides' peaks for a picture, 0 to 1, in so many bins."""
    caller, agent = waveform(recording.peaks, bins)
    return {"duration_ms": recording.index.duration_ms, "caller": caller, "agent": agent}


async def find_copy(state: GatewayState, call_id: str) -> VobizCopy | None:
    """Return what is known of Vobiz's own recording; None where none is kept.

    Raises:
        HTTPException: 503 where the store does not answer.
    """
    if state.recordings is None or not is_call_id(call_id):
        return None
    try:
        return await state.recordings.copy(CallId(call_id))
    except StoreUnavailable as exc:
        raise _away(exc) from exc


async def delete_recording(state: GatewayState, call_id: str) -> None:
    """Remove a recording, ours and Vobiz's; 404 where there is none, 409 until it is complete."""
    recording, copy = await find_recording(state, call_id), await find_copy(state, call_id)
    if recording is None and copy is None:
        raise HTTPException(404, "no recording of this call")
    if recording is not None and not recording.index.is_complete:
        # Who puts it together now would bring it back; who was lost is put together by a sweep.
        raise HTTPException(409, "the recording is not complete yet")
    assert state.recordings is not None  # else there was none to be found
    if state.vobiz_recordings is not None:
        await state.vobiz_recordings.on_removed(CallId(call_id))
    try:
        await state.recordings.delete(CallId(call_id))
    except StoreUnavailable as exc:
        raise _away(exc) from exc


async def _copy_response(
    archive: RecordingArchive, call_id: CallId, copy: VobizCopy, range_header: str | None
) -> Response:
    """Return Vobiz's file, or a range of it, as it is."""
    size = copy.size_bytes
    try:
        span = parse_range(range_header, size)
    except UnsatisfiableRange:
        return Response(status_code=416, headers={"content-range": f"bytes */{size}", **_PRIVATE})
    name = f'inline; filename="{call_id}-vobiz.{copy.format}"'
    headers = {"accept-ranges": "bytes", "content-disposition": name, **_PRIVATE}
    start, length, status = 0, size, 200
    if span is not None:
        start, length, status = span.first, span.length, 206
        headers["content-range"] = span.content_range(size)
    headers["content-length"] = str(length)

    async def parts(first: bytes) -> AsyncIterator[bytes]:
        at, end, part = start, start + length, first
        while part:
            yield part
            at += len(part)
            most = min(_COPY_SLICE_BYTES, end - at)
            part = await archive.read_copy(call_id, copy, at, most) if most else b""

    try:
        first = await archive.read_copy(call_id, copy, start, min(length, _COPY_SLICE_BYTES))
    except StoreUnavailable as exc:
        raise _away(exc) from exc
    return StreamingResponse(parts(first), status, headers=headers, media_type=copy.content_type)


def _away(error: StoreUnavailable) -> HTTPException:
    return HTTPException(503, f"the store of recordings does not answer: {error.fault.value}")


def archive_of(state: GatewayState) -> RecordingArchive:
    """Return the recordings; 404 where none are kept."""
    if state.recordings is None:
        raise HTTPException(404, "no recordings are kept: RECORDINGS_URL is not set")
    return state.recordings


router = APIRouter(dependencies=[Depends(may_read)])


@router.get("/recordings", response_model=None)
async def list_recordings(
    state: State,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(max_length=200)] = None,
) -> dict[str, Any]:
    """Return the newest recordings first; `next` is `before` of the page that follows."""
    try:
        page = await archive_of(state).page(limit=limit, before=before)
    except StoreUnavailable as exc:
        raise _away(exc) from exc
    return {"recordings": [index.public() for index in page.recordings], "next": page.before}


@router.get("/calls/{call_id}/recording", response_model=None)
async def read_recording(call_id: str, state: State) -> dict[str, Any]:
    """Return what is known of a call's recording, and of Vobiz's own, where one was asked for."""
    recording, copy = await find_recording(state, call_id), await find_copy(state, call_id)
    if recording is None and copy is None:
        raise HTTPException(404, "no recording of this call")
    said = recording.index.public() if recording else {"call_id": call_id, "has_audio": False}
    return said | {"vobiz": None if copy is None else copy.public()}


@router.get("/calls/{call_id}/recording/vobiz", response_model=None)
async def read_vobiz_recording(
    call_id: str, state: State, wanted: Annotated[str | None, Header(alias="range")] = None
) -> Response:
    """Return Vobiz's own recording, as it made it."""
    copy = await find_copy(state, call_id)
    if copy is None:
        raise HTTPException(404, "no recording of Vobiz's own of this call")
    return await _copy_response(archive_of(state), CallId(call_id), copy, wanted)


@router.get("/calls/{call_id}/recording.wav", response_model=None)
async def read_wav(
    call_id: str, state: State, wanted: Annotated[str | None, Header(alias="range")] = None
) -> Response:
    """Return a recording: stereo, caller left, agent right."""
    return await wav_response(await recording_of(state, call_id), wanted)


@router.get("/calls/{call_id}/waveform", response_model=None)
async def read_waveform(
    call_id: str, state: State, bins: Annotated[int, Query(ge=1, le=20_000)] = 2000
) -> Response:
    """Return the peaks of both sides."""
    return JSONResponse(waveform_of(await recording_of(state, call_id), bins), headers=_PRIVATE)


@router.delete("/calls/{call_id}/recording", status_code=204, response_model=None)
async def remove_recording(call_id: str, state: State) -> Response:
    """Remove a call's recording for good."""
    await delete_recording(state, call_id)
    return Response(status_code=204)
