"""PURE. The media socket between Vobiz and us: one dataclass a message, both directions.

What is read is read tolerantly (nested or flat ids, numbers as text, fields that only some
versions send); what is written is exactly what the current documentation prints. Ids that a
`start` leaves out are None: the caller knows the call from the socket's URL.

Source: vobiz.ai docs, audio streams pages and XML stream pages, read 2026-11; captured calls.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, ClassVar, assert_never

import msgspec

from shared.protocol.call import CallId, StreamId
from shared.protocol.errors import MalformedMessage, OversizedMessage

MULAW = "audio/x-mulaw"
L16 = "audio/x-l16"
MAX_MESSAGE_CHARS = 65_536

_MAX_TEXT_CHARS = 512
_MAX_INT = 2**63
_DIGITS = frozenset("0123456789*#ABCD")
_Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MediaFormat:
    """How the caller's audio is encoded; `content_type` is the short form, in lower case."""

    content_type: str = MULAW
    sample_rate_hz: int = 8000


# --- Vobiz -> us --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """The stream is open. None and empty texts stand for what this version did not send."""

    call_id: CallId | None = None
    stream_id: StreamId | None = None
    account_id: str | None = None
    media_format: MediaFormat | None = None
    tracks: tuple[str, ...] = ("inbound",)
    sequence_number: int | None = None
    from_number: str = ""
    to_number: str = ""
    extra_headers: Mapping[str, str] = field(default_factory=dict)


class Media(msgspec.Struct, frozen=True, gc=False):
    """A piece of the caller's audio, normally 20 ms.

    `payload` is decoded from base64 and may be empty. `timestamp_ms` counts milliseconds of the
    Unix epoch at the sender, 20 more each piece.
    """

    payload: bytes
    stream_id: StreamId | None = None
    timestamp_ms: int | None = None
    chunk: int | None = None
    sequence_number: int | None = None
    track: str = "inbound"


@dataclass(frozen=True, slots=True)
class PlayedStream:
    """All audio up to the checkpoint `name` was played by Vobiz."""

    name: str
    stream_id: StreamId | None = None


@dataclass(frozen=True, slots=True)
class ClearedAudio:
    """The playback queue was emptied and its checkpoints are void."""

    stream_id: StreamId | None = None
    sequence_number: int | None = None


@dataclass(frozen=True, slots=True)
class Dtmf:
    """The caller pressed a key: one of 0-9, *, #, A-D."""

    digit: str
    stream_id: StreamId | None = None
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """The stream is over. Most accounts never send it and just close the socket."""

    call_id: CallId | None = None
    stream_id: StreamId | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """A well-formed message of a kind we don't know: to be counted and passed over.

    `name` comes from outside: never a metric's label.
    """

    name: str


InboundMessage = Start | Media | PlayedStream | ClearedAudio | Dtmf | Stop | UnknownEvent


# --- us -> Vobiz --------------------------------------------------------------------------------


class PlayAudio(msgspec.Struct, frozen=True, gc=False):
    """Append audio to the playback queue. `payload` is raw samples in `content_type`."""

    payload: bytes
    content_type: str = MULAW
    sample_rate_hz: int = 8000
    stream_id: StreamId | None = None


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """Empty the playback queue; PlayAudio should wait for ClearedAudio."""

    stream_id: StreamId | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Mark the end of the queue; PlayedStream comes when it is reached. Names are used once."""

    name: str
    stream_id: StreamId | None = None


@dataclass(frozen=True, slots=True)
class StopStream:
    """End the stream; queued audio is dropped and the next XML verb runs."""

    stream_id: StreamId | None = None


OutboundCommand = PlayAudio | ClearAudio | Checkpoint | StopStream


@dataclass(frozen=True, slots=True)
class WireShape:
    """A dialect of what Vobiz sends.

    `is_flat` puts a start's ids on the top level, names the account `auth_id` and adds
    `metadata` with the numbers, as the vendor's Python example shows. The others turn the
    types of numbers around: by default `sequenceNumber` and `chunk` are integers, `timestamp`
    and `accountId` are texts, `sampleRate` is an integer.
    """

    is_flat: bool = False
    has_text_counters: bool = False
    has_int_timestamp: bool = False
    has_int_account: bool = False
    has_text_sample_rate: bool = False

    CURRENT: ClassVar[WireShape]
    FLAT: ClassVar[WireShape]


WireShape.CURRENT = WireShape()
WireShape.FLAT = WireShape(is_flat=True, has_int_timestamp=True)


# --- reading ------------------------------------------------------------------------------------


def parse_inbound(text: str, *, max_chars: int = MAX_MESSAGE_CHARS) -> InboundMessage:
    """Read one text frame that Vobiz sent.

    Numbers may be integers or texts; one that can't be read counts as absent. Start: ids and
    `mediaFormat` nested under `start`, else on the top level; extra headers as an object, as
    JSON text or as `k=v;k=v`, else none.

    Args:
        text: the whole frame, as received.
        max_chars: longest frame looked at.

    Raises:
        MalformedMessage: no JSON object, no event name, a `media` without a base64 payload, a
            `playedStream` without a name, a `dtmf` without a key, or an id that is over-long
            or not printable.
        OversizedMessage: judged by length, before decoding.
    """
    if (media := _usual_media(text, max_chars)) is not None:
        return media
    body, event = _load(text, max_chars)
    match event:
        case "media":
            return _media(body)
        case "start":
            return _start(body)
        case "playedStream":
            return PlayedStream(_required(body, "name", event), _stream_id(body))
        case "clearedAudio":
            return ClearedAudio(_stream_id(body), _int(body.get("sequenceNumber")))
        case "dtmf":
            return _dtmf(body)
        case "stop":
            inner = _object(body, "stop")
            return Stop(
                call_id=_call_id(inner, body),
                stream_id=_stream_id(inner, body),
                reason=_loose(inner.get("reason", body.get("reason"))),
            )
        case _:
            return UnknownEvent(event)


def parse_command(text: str, *, max_chars: int = MAX_MESSAGE_CHARS) -> OutboundCommand:
    """Read one text frame that an application sent: the other end of `serialize_command`.

    As tolerant as Vobiz: `streamId` may be missing, `sampleRate` may be text or missing (8000).
    The content type is handed on as sent, less its parameters.

    Raises:
        MalformedMessage: no JSON object, an unknown event, playAudio without payload or content
            type or with a sample rate that is none, checkpoint without a name.
        OversizedMessage: judged by length, before decoding.
    """
    body, event = _load(text, max_chars)
    match event:
        case "playAudio":
            return _play_audio(body)
        case "clearAudio":
            return ClearAudio(_stream_id(body))
        case "checkpoint":
            return Checkpoint(_required(body, "name", event), _stream_id(body))
        case "stop":
            return StopStream(_stream_id(body))
        case _:
            raise MalformedMessage("not a command", event=event)


_Count = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]


class _MediaPiece(msgspec.Struct, gc=False):
    payload: bytes
    timestamp: _Count | None = None
    chunk: _Count | None = None
    track: str = "inbound"


class _UsualMedia(msgspec.Struct, tag_field="event", tag="media", rename="camel", gc=False):
    """A media message as nearly all are: fifty a second of every call."""

    media: _MediaPiece
    stream_id: str
    sequence_number: _Count | None = None


# Not strict: numbers may be texts.
_decode_usual_media = msgspec.json.Decoder(_UsualMedia, strict=False).decode


def _usual_media(text: str, max_chars: int) -> Media | None:
    """Read a media message in one go, base64 included; None: it has to be looked at piece by piece.

    A tenth of the time that this takes, and the same result.
    """
    if len(text) > max_chars:
        return None
    try:
        found = _decode_usual_media(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    piece, stream_id = found.media, found.stream_id
    if not 0 < len(stream_id) <= _MAX_TEXT_CHARS or not stream_id.isprintable():
        return None
    return Media(
        piece.payload,
        StreamId(stream_id),
        piece.timestamp,
        piece.chunk,
        found.sequence_number,
        piece.track if piece.track == "inbound" else _loose(piece.track) or "inbound",
    )


def _load(text: str, max_chars: int) -> tuple[_Json, str]:
    if len(text) > max_chars:
        raise OversizedMessage(len(text), max_chars)
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise MalformedMessage("not JSON") from exc
    if not isinstance(body, dict):
        raise MalformedMessage("not a JSON object")
    event = body.get("event")
    if not isinstance(event, str) or not event or len(event) > 64 or not event.isprintable():
        raise MalformedMessage("no event name")
    return body, event


def _media(body: _Json) -> Media:
    media = body.get("media")
    if not isinstance(media, dict):
        raise MalformedMessage("no media object", event="media")
    return Media(
        payload=_payload(media, "media"),
        stream_id=_stream_id(body, media),
        timestamp_ms=_int(media.get("timestamp")),
        chunk=_int(media.get("chunk")),
        sequence_number=_int(body.get("sequenceNumber")),
        track=_loose(media.get("track")) or "inbound",
    )


def _start(body: _Json) -> Start:
    inner = _object(body, "start")
    numbers = _object(body, "metadata") or _object(inner, "metadata")
    tracks = inner.get("tracks", body.get("tracks"))
    headers = (
        inner.get("extra_headers") or inner.get("extraHeaders") or body.get("extra_headers")
    ) or body.get("extraHeaders")
    return Start(
        call_id=_call_id(inner, body),
        stream_id=_stream_id(inner, body),
        account_id=_text(inner, "accountId", "auth_id") or _text(body, "accountId", "auth_id"),
        media_format=_media_format(inner.get("mediaFormat", body.get("mediaFormat"))),
        tracks=_tracks(tracks),
        sequence_number=_int(body.get("sequenceNumber", inner.get("sequenceNumber"))),
        from_number=_loose(numbers.get("from", inner.get("from", body.get("from")))),
        to_number=_loose(numbers.get("to", inner.get("to", body.get("to")))),
        extra_headers=_extra_headers(headers),
    )


def _dtmf(body: _Json) -> Dtmf:
    inner = _object(body, "dtmf") or body
    digit = _loose(inner.get("digit")).upper()
    if digit not in _DIGITS:
        raise MalformedMessage("not a key", event="dtmf")
    return Dtmf(digit, _stream_id(body, inner), _int(inner.get("timestamp")))


def _play_audio(body: _Json) -> PlayAudio:
    media = body.get("media")
    if not isinstance(media, dict):
        raise MalformedMessage("no media object", event="playAudio")
    rate_hz = _int(media.get("sampleRate", 8000))
    if rate_hz is None or not 1000 <= rate_hz <= 192_000:
        raise MalformedMessage("not a sample rate", event="playAudio")
    return PlayAudio(
        payload=_payload(media, "playAudio"),
        content_type=_short_type(_required(media, "contentType", "playAudio")),
        sample_rate_hz=rate_hz,
        stream_id=_stream_id(body, media),
    )


def _payload(media: _Json, event: str) -> bytes:
    payload = media.get("payload")
    if not isinstance(payload, str):
        raise MalformedMessage("no payload", event=event)
    try:
        return binascii.a2b_base64(payload, strict_mode=True)
    except ValueError as exc:
        raise MalformedMessage("payload is not base64", event=event) from exc


def _media_format(value: object) -> MediaFormat | None:
    if not isinstance(value, dict):
        return None
    name = _loose(value.get("encoding")) or _loose(value.get("contentType"))
    if not name:
        return None
    rate_hz = _int(value.get("sampleRate", name.lower().partition("rate=")[2]))
    if rate_hz is None or not 1000 <= rate_hz <= 192_000:
        rate_hz = 8000
    return MediaFormat(_short_type(name), rate_hz)


def _short_type(name: str) -> str:
    return name.partition(";")[0].strip().lower()


def _tracks(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(text for item in items[:4] if (text := _loose(item))) or ("inbound",)


def _extra_headers(value: object) -> dict[str, str]:
    """Read an object, JSON text, or Plivo's `k=v;k=v`; anything else is no headers."""
    if isinstance(value, str):
        if len(value) > 4 * _MAX_TEXT_CHARS:
            return {}
        if not value.lstrip().startswith(("{", "[", '"')):
            pairs = (part.partition("=") for part in value.replace(",", ";").split(";"))
            return {key.strip(): text.strip() for key, sign, text in pairs if sign and key.strip()}
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    if not isinstance(value, dict):
        return {}
    return {key: text for key, item in value.items() if (text := _loose(item)) or item == ""}


def _object(body: _Json, key: str) -> _Json:
    value = body.get(key)
    return value if isinstance(value, dict) else {}


def _call_id(*places: _Json) -> CallId | None:
    for place in places:
        if text := _text(place, "callId", "call_id"):
            return CallId(text)
    return None


def _stream_id(*places: _Json) -> StreamId | None:
    for place in places:
        if text := _text(place, "streamId", "stream_id"):
            return StreamId(text)
    return None


def _text(body: _Json, *keys: str) -> str | None:
    """Return the first of `keys` that holds a text or an integer; None when none does."""
    for key in keys:
        value = body.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_INT:
            return str(value)
        if isinstance(value, str) and value:
            if len(value) > _MAX_TEXT_CHARS or not value.isprintable():
                raise MalformedMessage(f"{key} is over-long or not printable")
            return value
    return None


def _required(body: _Json, key: str, event: str) -> str:
    text = _text(body, key)
    if text is None:
        raise MalformedMessage(f"no {key}", event=event)
    return text


def _loose(value: object) -> str:
    """Return a text that only informs; empty when it is none, over-long or not printable."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_INT:
        return str(value)
    if isinstance(value, str) and len(value) <= _MAX_TEXT_CHARS and value.isprintable():
        return value
    return ""


def _int(value: object) -> int | None:
    """Return an integer written as one, as text or as a whole float; None for all else."""
    if type(value) is int:  # what nearly all are, and never a bool
        return value if -_MAX_INT < value < _MAX_INT else None
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        digits = value.strip().removeprefix("-")
        if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
            return None
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _MAX_INT else None
    return None


# --- writing ------------------------------------------------------------------------------------


def serialize_command(command: OutboundCommand) -> str:
    """Return the text frame that Vobiz expects, `streamId` left out only when it is None."""
    match command:
        case PlayAudio():
            # Fifty a second of every call: only its head is made by the JSON library, once.
            head = _play_head(command.stream_id, command.content_type, command.sample_rate_hz)
            return f'{head}"{_base64(command.payload)}"}}}}'
        case ClearAudio():
            return _dump("clearAudio", command.stream_id)
        case Checkpoint():
            return _dump("checkpoint", command.stream_id, name=command.name)
        case StopStream():
            return _dump("stop", command.stream_id)
        case _:
            assert_never(command)


def serialize_inbound(message: InboundMessage, *, shape: WireShape = WireShape.CURRENT) -> str:
    """Return the text frame that Vobiz would send: what a stand-in for Vobiz writes.

    In the current shape a start's numbers are not written, because Vobiz does not send them.
    """
    match message:
        case Media():
            return _json(_media_body(message, shape))
        case Start():
            return _json(_start_body(message, shape))
        case PlayedStream():
            # Only the flat shape names the stream here.
            return _dump(
                "playedStream", message.stream_id if shape.is_flat else None, name=message.name
            )
        case ClearedAudio():
            counter = _counter(message.sequence_number, shape)
            head = {} if counter is None else {"sequenceNumber": counter}
            return _json(head | {"event": "clearedAudio"} | _named("streamId", message.stream_id))
        case Dtmf():
            press = {"track": "inbound", "digit": message.digit}
            press |= _named("timestamp", _timestamp(message.timestamp_ms, shape))
            return _dump("dtmf", message.stream_id, dtmf=press)
        case Stop():
            return _json(
                {"event": "stop"}
                | _named("streamId", message.stream_id)
                | _named("callId", message.call_id)
                | _named("reason", message.reason or None)
            )
        case UnknownEvent():
            return _json({"event": message.name})
        case _:
            assert_never(message)


def _media_body(message: Media, shape: WireShape) -> dict[str, Any]:
    media: dict[str, Any] = {"track": message.track}
    media |= _named("timestamp", _timestamp(message.timestamp_ms, shape))
    media |= _named("chunk", _counter(message.chunk, shape))
    media["payload"] = _base64(message.payload)
    body = _named("sequenceNumber", _counter(message.sequence_number, shape))
    body |= _named("streamId", message.stream_id)
    body |= {"event": "media", "media": media}
    return body if shape.is_flat else body | {"extra_headers": "{}"}


def _start_body(message: Start, shape: WireShape) -> dict[str, Any]:
    account = message.account_id
    inner: dict[str, Any] = _named("callId", message.call_id)
    inner |= _named("streamId", message.stream_id)
    inner |= _named(
        "auth_id" if shape.is_flat else "accountId",
        int(account) if shape.has_int_account and account and account.isdecimal() else account,
    )
    inner["tracks"] = list(message.tracks)
    if message.media_format is not None:
        rate_hz = message.media_format.sample_rate_hz
        inner["mediaFormat"] = {
            "encoding": message.media_format.content_type,
            "sampleRate": str(rate_hz) if shape.has_text_sample_rate else rate_hz,
        }
    body = _named("sequenceNumber", _counter(message.sequence_number, shape))
    body["event"] = "start"
    if shape.is_flat:
        body |= inner | {"metadata": {"from": message.from_number, "to": message.to_number}}
    else:
        body["start"] = inner
    return body | {"extra_headers": _json(dict(message.extra_headers))}


def _counter(value: int | None, shape: WireShape) -> int | str | None:
    return str(value) if shape.has_text_counters and value is not None else value


def _timestamp(value_ms: int | None, shape: WireShape) -> int | str | None:
    return value_ms if shape.has_int_timestamp or value_ms is None else str(value_ms)


def _named(key: str, value: object) -> dict[str, Any]:
    return {} if value is None else {key: value}


def _base64(payload: bytes) -> str:
    return binascii.b2a_base64(payload, newline=False).decode("ascii")


@lru_cache(maxsize=1024)
def _play_head(stream_id: StreamId | None, content_type: str, sample_rate_hz: int) -> str:
    media = {"contentType": content_type, "sampleRate": sample_rate_hz, "payload": ""}
    return _dump("playAudio", stream_id, media=media).removesuffix('""}}')


def _dump(event: str, stream_id: StreamId | None, **rest: Any) -> str:
    return _json({"event": event} | _named("streamId", stream_id) | rest)


def _json(body: Mapping[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"))
