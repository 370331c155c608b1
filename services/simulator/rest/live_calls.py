"""The REST side of the simulated cloud: what is done to a call that is up."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.simulator.calls.forms import console_time
from services.simulator.calls.leg import Leg
from services.simulator.calls.plan import Target
from services.simulator.calls.timeline import Moment
from services.simulator.calls.verbs import InvalidXml, Verb, stream_plan
from services.simulator.line.stream import MediaStream
from services.simulator.rest.access import BASE, check_access
from services.simulator.rest.dialling import CALLS
from services.simulator.rest.state import ApiError, api_id, rest_state

_KEYS = frozenset("0123456789*#ABCDwW")
legs = APIRouter(prefix=f"{BASE}{CALLS}/{{call_uuid}}", dependencies=[Depends(check_access)])


async def _leg_and_body(call_uuid: str, request: Request) -> tuple[Leg, dict[str, Any]]:
    state = rest_state(request)
    call, body = state.talking_call(call_uuid), await state.json(request)
    if not isinstance(body, dict):
        raise ApiError(400, "body must be a JSON object")
    return call.leg, body


@legs.post("/Speak/", status_code=202)
async def speak(call_uuid: str, request: Request) -> dict[str, Any]:
    """Say a text into the call."""
    leg, body = await _leg_and_body(call_uuid, request)
    if not str(body.get("text") or ""):
        raise ApiError(400, "text is required")
    leg.begin(leg.speak(str(body["text"]), str(body.get("voice") or "WOMAN")))
    return {"api_id": api_id(), "message": "speak started"}


@legs.post("/Play/", status_code=202)
async def play(call_uuid: str, request: Request) -> dict[str, Any]:
    """Play WAV files into the call."""
    leg, body = await _leg_and_body(call_uuid, request)
    urls = body.get("urls")
    listed = urls if isinstance(urls, list) else str(urls or "").split(",")
    wanted = [str(url).strip() for url in listed if str(url).strip()]
    if not wanted:
        raise ApiError(400, "urls is required")

    async def play_all() -> None:
        for url in wanted:
            await leg.play(url)

    leg.begin(play_all())
    return {"api_id": api_id(), "message": "play started"}


@legs.delete("/Speak/")
@legs.delete("/Play/")
async def stop_prompts(call_uuid: str, request: Request) -> Response:
    """Stop what is said or played."""
    rest_state(request).live_call(call_uuid).leg.stop_prompts()
    return Response(status_code=204)


@legs.post("/DTMF/", status_code=202)
async def send_keys(call_uuid: str, request: Request) -> dict[str, Any]:
    """Send keys to the person; they are noted, not heard."""
    leg, body = await _leg_and_body(call_uuid, request)
    digits = str(body.get("digits") or "")
    if not digits or not set(digits) <= _KEYS:
        raise ApiError(400, "digits must be of 0-9 * # A-D w W")
    leg.note(Moment.DTMF, digits=digits, by="application")
    return {"api_id": api_id(), "message": "digits sent"}


@legs.post("/Record/")
async def record(call_uuid: str, request: Request) -> dict[str, Any]:
    """Begin a recording and report its end after its time limit; no file is kept."""
    leg, body = await _leg_and_body(call_uuid, request)
    recording_id, limit_s = str(uuid.uuid4()), float(body.get("time_limit") or 60)
    url = f"https://media.example.invalid/{recording_id}.{body.get('file_format') or 'mp3'}"
    fields = {
        "RecordUrl": url,
        "RecordingID": recording_id,
        "RecordingDuration": str(round(limit_s)),
        "RecordingEndReason": "maxLength",
    }

    async def end_recording() -> None:
        await leg.sleep(limit_s)
        leg.tell(Target(str(body["callback_url"])), "RecordStop", fields)

    if body.get("callback_url"):
        leg.begin(end_recording())
    message = {"message": "call recording started", "recording_id": recording_id, "url": url}
    return {"api_id": api_id(), **message}


@legs.delete("/Record/")
async def stop_recording(call_uuid: str, request: Request) -> Response:
    """Stop recording."""
    rest_state(request).live_call(call_uuid)
    return Response(status_code=204)


@legs.post("/Stream/", status_code=202)
async def start_stream(call_uuid: str, request: Request) -> dict[str, Any]:
    """Open a media stream. Only the text "true" makes it two-way; a JSON true does not."""
    leg, body = await _leg_and_body(call_uuid, request)
    attributes = {
        "bidirectional": "true" if body.get("bidirectional") == "true" else "false",
        "audioTrack": str(body.get("audio_track") or "both"),
        "contentType": str(body.get("content_type") or "audio/x-l16;rate=8000"),
        "streamTimeout": str(body.get("stream_timeout") or ""),
        "statusCallbackUrl": str(body.get("status_callback_url") or ""),
        "statusCallbackMethod": str(body.get("status_callback_method") or "POST"),
    }
    try:
        plan = stream_plan(Verb("Stream", attributes, str(body.get("service_url") or "")))
    except InvalidXml as exc:
        raise ApiError(400, exc.problem) from exc
    if plan.is_refused:
        raise ApiError(400, "a bidirectional stream carries the inbound track only")
    stream = leg.start_stream(plan)
    message = "audio streaming started"
    return {"api_id": api_id(), "message": message, "stream_id": stream.stream_id}


@legs.get("/Stream/")
async def list_streams(call_uuid: str, request: Request) -> dict[str, Any]:
    """List the streams of a call."""
    call = rest_state(request).live_call(call_uuid)
    objects = [_stream_json(stream, call_uuid) for stream in call.leg.streams]
    meta = {"limit": 20, "offset": 0, "total_count": len(objects)}
    return {"api_id": api_id(), "meta": meta, "objects": objects}


@legs.get("/Stream/{stream_id}/")
async def show_stream(call_uuid: str, stream_id: str, request: Request) -> dict[str, Any]:
    """Show a stream."""
    stream = _find_stream(call_uuid, stream_id, request)
    return {"api_id": api_id(), **_stream_json(stream, call_uuid)}


@legs.delete("/Stream/")
async def stop_streams(call_uuid: str, request: Request) -> Response:
    """Stop every stream of a call; fine when there is none."""
    for stream in rest_state(request).live_call(call_uuid).leg.streams:
        await stream.stop()
    return Response(status_code=204)


@legs.delete("/Stream/{stream_id}/")
async def stop_stream(call_uuid: str, stream_id: str, request: Request) -> Response:
    """Stop a stream."""
    await _find_stream(call_uuid, stream_id, request).stop()
    return Response(status_code=204)


def _find_stream(call_uuid: str, stream_id: str, request: Request) -> MediaStream:
    for stream in rest_state(request).live_call(call_uuid).leg.streams:
        if stream.stream_id == stream_id:
            return stream
    raise ApiError(404, "Stream not found")


def _stream_json(stream: MediaStream, call_uuid: str) -> dict[str, Any]:
    plan = stream.plan
    return {
        "stream_id": stream.stream_id,
        "call_uuid": call_uuid,
        "service_url": plan.url,
        "audio_track": "both" if len(plan.tracks) > 1 else plan.tracks[0],
        "bidirectional": plan.is_bidirectional,
        "content_type": plan.content_type,
        "sampling_rate": plan.sample_rate_hz,
        "stream_timeout": plan.timeout_s,
        "status": stream.status,
        "start_time": console_time(stream.began) if stream.began else None,
    }
