"""PURE. The messages of OpenAI's Realtime API over a WebSocket: what is read and what is written.

Only what a phone call needs; every other server event is `Other`. Names of the beta of 2024, which
compatible servers still use, are read as well.

Source: the types of the `openai` package 3.57 (`openai/types/realtime`), read 2026-11-25.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from services.agent.providers.base import ToolSpec

MOST_BYTES = 4 * 1024 * 1024
"""Largest server event that is read: about half an hour of mu-law."""


class MalformedEvent(ValueError):
    """A server event that can't be read; the message says why, without quoting it."""


# --- from the server ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The server's own detection hears speech, in what will be this item."""

    item_id: str


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """It hears it no more."""

    item_id: str


@dataclass(frozen=True, slots=True)
class Committed:
    """The audio so far is now an item of the conversation."""

    item_id: str


@dataclass(frozen=True, slots=True)
class InputTranscript:
    """What was said in an item: more of it, or with `is_done` the whole."""

    item_id: str
    text: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class ResponseCreated:
    """An answer begins."""

    response_id: str


@dataclass(frozen=True, slots=True)
class ItemAdded:
    """An answer has another item: something said, or a function to call."""

    response_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class OutputAudio:
    """The next of an answer's sound, mu-law 8 kHz."""

    response_id: str
    item_id: str
    ulaw: bytes


@dataclass(frozen=True, slots=True)
class OutputText:
    """The next of an answer's words."""

    response_id: str
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class SpeechDone:
    """Something said is complete."""

    response_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class CallDone:
    """A function is to be called; `arguments` as the model wrote them."""

    response_id: str
    item_id: str
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ResponseDone:
    """An answer is over; `status` completed, cancelled, incomplete or failed. `code`: of a failure.

    Tokens are None where the server does not count.
    """

    response_id: str
    status: str
    code: str = ""
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ServerError:
    """Something was refused; `event_id` is the client event's, where it is known."""

    code: str
    kind: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Other:
    """An event that changes nothing here."""

    type: str


ServerEvent: TypeAlias = (
    SpeechStarted
    | SpeechStopped
    | Committed
    | InputTranscript
    | ResponseCreated
    | ItemAdded
    | OutputAudio
    | OutputText
    | SpeechDone
    | CallDone
    | ResponseDone
    | ServerError
    | Other
)

_AUDIO = ("response.output_audio.delta", "response.audio.delta")
_TEXT = ("response.output_audio_transcript.delta", "response.audio_transcript.delta")
_TRANSCRIPTION = "conversation.item.input_audio_transcription."


def parse_event(data: str | bytes) -> ServerEvent:
    """Read one server event.

    Raises:
        MalformedEvent: not JSON, too large, or a field that is missing or of the wrong type.
    """
    if len(data) > MOST_BYTES:
        raise MalformedEvent(f"{len(data)} bytes are too many")
    try:
        event = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise MalformedEvent("not JSON") from exc
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise MalformedEvent("not an object with a type")
    return _read(event["type"], event)


def _read(kind: str, event: Mapping[str, Any]) -> ServerEvent:
    match kind:
        case "input_audio_buffer.speech_started":
            return SpeechStarted(_text(event, "item_id"))
        case "input_audio_buffer.speech_stopped":
            return SpeechStopped(_text(event, "item_id"))
        case "input_audio_buffer.committed":
            return Committed(_text(event, "item_id"))
        case "response.created":
            return ResponseCreated(_text(_object(event, "response"), "id"))
        case "response.output_item.added":
            return ItemAdded(_text(event, "response_id"), _text(_object(event, "item"), "id"))
        case "response.output_item.done":
            return _read_item(_text(event, "response_id"), _object(event, "item"))
        case "response.done":
            return _read_response(_object(event, "response"))
        case "error":
            return _read_error(_object(event, "error"))
    if kind in _AUDIO:
        return OutputAudio(*_response_and_item(event), _bytes(event, "delta"))
    if kind in _TEXT:
        return OutputText(*_response_and_item(event), _text(event, "delta"))
    if kind.startswith(_TRANSCRIPTION):
        return _read_transcript(kind.removeprefix(_TRANSCRIPTION), event)
    return Other(kind)


def _read_item(response_id: str, item: Mapping[str, Any]) -> ServerEvent:
    item_id = _text(item, "id")
    match item.get("type"):
        case "message":
            return SpeechDone(response_id, item_id)
        case "function_call":
            names = (_text(item, name) for name in ("call_id", "name", "arguments"))
            return CallDone(response_id, item_id, *names)
    return Other("response.output_item.done")


def _read_transcript(what: str, event: Mapping[str, Any]) -> ServerEvent:
    match what:
        case "delta":
            grown = _text(event, "delta") if event.get("delta") else ""
            return InputTranscript(_text(event, "item_id"), grown, False)
        case "completed":
            return InputTranscript(_text(event, "item_id"), _text(event, "transcript"), True)
        case "failed":
            return InputTranscript(_text(event, "item_id"), "", True)
    return Other(_TRANSCRIPTION + what)


def _read_response(response: Mapping[str, Any]) -> ResponseDone:
    details = response.get("status_details") or {}
    error = details.get("error") if isinstance(details, dict) else None
    usage = response.get("usage") or {}
    if not isinstance(usage, dict):
        raise MalformedEvent("usage is no object")
    inner = usage.get("input_token_details") or {}
    return ResponseDone(
        _text(response, "id"),
        _text(response, "status"),
        _code(error) if isinstance(error, dict) else "",
        _count(usage.get("input_tokens")),
        _count(inner.get("cached_tokens")) if isinstance(inner, dict) else None,
        _count(usage.get("output_tokens")),
    )


def _read_error(error: Mapping[str, Any]) -> ServerError:
    event_id, kind = error.get("event_id"), error.get("type")
    return ServerError(
        _code(error),
        kind if isinstance(kind, str) else "",
        event_id if isinstance(event_id, str) else "",
    )


def _code(error: Mapping[str, Any]) -> str:
    code = error.get("code") or error.get("type")
    return code if isinstance(code, str) else ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _response_and_item(event: Mapping[str, Any]) -> tuple[str, str]:
    return _text(event, "response_id"), _text(event, "item_id")


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str):
        raise MalformedEvent(f"{name} is no text")
    return value


def _object(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = event.get(name)
    if not isinstance(value, dict):
        raise MalformedEvent(f"{name} is no object")
    return value


def _bytes(event: Mapping[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(_text(event, name), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise MalformedEvent(f"{name} is no base64") from exc


# --- to the server ------------------------------------------------------------------------------

TurnDetection: TypeAlias = Literal["server_vad", "semantic_vad", "none"]


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """How a session hears, thinks and speaks. The audio is mu-law both ways.

    Attributes:
        instructions: the agent's prompt.
        transcription_model: writes down what the caller says; empty: nobody does.
        silence_ms: of `server_vad`: silence that ends the caller's speech.
        threshold: of `server_vad`, 0..1.
        eagerness: of `semantic_vad`.
    """

    instructions: str
    voice: str
    language: str = ""
    tools: tuple[ToolSpec, ...] = ()
    transcription_model: str = ""
    turn_detection: TurnDetection = "server_vad"
    silence_ms: int = 300
    threshold: float = 0.5
    eagerness: str = "auto"
    speed: float = 1.0
    max_output_tokens: int | None = None


def serialize_session(config: SessionConfig, event_id: str) -> str:
    """Return `session.update`. The server never answers or interrupts by itself."""
    transcription: dict[str, Any] | None = None
    if config.transcription_model:
        transcription = {"model": config.transcription_model}
        if config.language:
            transcription["language"] = config.language.partition("-")[0]
    session: dict[str, Any] = {
        "type": "realtime",
        "instructions": config.instructions,
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": transcription,
                "turn_detection": _turn_detection(config),
            },
            "output": {
                "format": {"type": "audio/pcmu"},
                "voice": config.voice,
                "speed": config.speed,
            },
        },
        "tools": [_tool(spec) for spec in config.tools],
        "tool_choice": "auto",
    }
    if config.max_output_tokens is not None:
        session["max_output_tokens"] = config.max_output_tokens
    return json.dumps({"type": "session.update", "event_id": event_id, "session": session})


def _turn_detection(config: SessionConfig) -> dict[str, Any] | None:
    ours = {"create_response": False, "interrupt_response": False}
    match config.turn_detection:
        case "server_vad":
            return {
                "type": "server_vad",
                "threshold": config.threshold,
                "silence_duration_ms": config.silence_ms,
                **ours,
            }
        case "semantic_vad":
            return {"type": "semantic_vad", "eagerness": config.eagerness, **ours}
        case "none":
            return None


def _tool(spec: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "name": spec.name,
        "description": spec.description,
        "parameters": dict(spec.parameters),
    }


def serialize_audio(ulaw: bytes) -> str:
    """Return `input_audio_buffer.append`; written by hand, for it is sent each 20 ms."""
    audio = base64.b64encode(ulaw).decode("ascii")
    return f'{{"type": "input_audio_buffer.append", "audio": "{audio}"}}'


def serialize_commit(event_id: str = "") -> str:
    """Return `input_audio_buffer.commit`: what was sent becomes an item."""
    event = {"type": "input_audio_buffer.commit"}
    return json.dumps({**event, "event_id": event_id} if event_id else event)


def serialize_response(event_id: str, instructions: str = "") -> str:
    """Return `response.create`; with instructions, these hold for this answer in place of all."""
    event: dict[str, Any] = {"type": "response.create", "event_id": event_id}
    if instructions:
        event["response"] = {"instructions": instructions}
    return json.dumps(event)


def serialize_cancel() -> str:
    """Return `response.cancel`, of whatever answer is being made."""
    return json.dumps({"type": "response.cancel"})


def serialize_truncate(item_id: str, heard_ms: int) -> str:
    """Return `conversation.item.truncate`: the caller heard no more of this than that."""
    return json.dumps(
        {
            "type": "conversation.item.truncate",
            "item_id": item_id,
            "content_index": 0,
            "audio_end_ms": heard_ms,
        }
    )


def serialize_delete(item_id: str) -> str:
    """Return `conversation.item.delete`."""
    return json.dumps({"type": "conversation.item.delete", "item_id": item_id})


def serialize_message(
    role: Literal["system", "user", "assistant"], text: str, *, item_id: str = "", after: str = ""
) -> str:
    """Return a `conversation.item.create` of something said or known, as text.

    `item_id` names it; `after` is the item that it follows, in place of the last one.
    """
    kind = "output_text" if role == "assistant" else "input_text"
    item: dict[str, Any] = {
        "type": "message",
        "role": role,
        "content": [{"type": kind, "text": text}],
    }
    if item_id:
        item["id"] = item_id
    event: dict[str, Any] = {"type": "conversation.item.create", "item": item}
    if after:
        event["previous_item_id"] = after
    return json.dumps(event)


def serialize_call_output(call_id: str, output: str) -> str:
    """Return a `conversation.item.create` of what a function gave."""
    item = {"type": "function_call_output", "call_id": call_id, "output": output}
    return json.dumps({"type": "conversation.item.create", "item": item})


# --- what was heard of an answer ----------------------------------------------------------------


def cut_to_heard(items: Sequence[tuple[str, int]], heard_ms: int) -> list[str]:
    """Return what tells the server how much of an interrupted answer was heard.

    Args:
        items: what the answer said, in order: item and its length in ms, above nought.
        heard_ms: how much of all of it the caller heard.

    Returns:
        client events: the item that was cut is truncated, those after it are deleted.
    """
    events: list[str] = []
    left_ms = max(0, heard_ms)
    for item_id, length_ms in items:
        if left_ms <= 0:
            events.append(serialize_delete(item_id))
        elif left_ms < length_ms:
            events.append(serialize_truncate(item_id, left_ms))
        left_ms -= length_ms
    return events
