"""The media socket's messages: tolerant in what is read, exact in what is written."""

from __future__ import annotations

import base64
import inspect
import json
import random
import typing
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol import telephony
from shared.protocol.call import CallId, StreamId
from shared.protocol.errors import MalformedMessage, OversizedMessage
from shared.protocol.telephony import (
    Checkpoint,
    ClearAudio,
    ClearedAudio,
    Dtmf,
    InboundMessage,
    Media,
    MediaFormat,
    OutboundCommand,
    PlayAudio,
    PlayedStream,
    Start,
    Stop,
    StopStream,
    UnknownEvent,
    WireShape,
    parse_command,
    parse_inbound,
    serialize_command,
    serialize_inbound,
)

CALL = CallId("0b7d1c9e-5a42-4f0e-9a6d-2f1c33b0a8d4")
STREAM = StreamId("c3f7e2aa-17b9-4c55-8e40-6d2b9f0a7711")
FRAME = bytes(range(160))
FRAME_64 = base64.b64encode(FRAME).decode()


def wire(text: str) -> str:
    return text.replace("$CALL", CALL).replace("$STREAM", STREAM).replace("$FRAME", FRAME_64)


# What the documentation prints today, and the same messages as this platform holds them.
DOCUMENTED_INBOUND = [
    (
        wire(
            '{"sequenceNumber":0,"event":"start","start":{"callId":"$CALL","streamId":"$STREAM",'
            '"accountId":"528191","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw",'
            '"sampleRate":8000}},"extra_headers":"{}"}'
        ),
        Start(CALL, STREAM, "528191", MediaFormat("audio/x-mulaw", 8000), ("inbound",), 0),
    ),
    (
        wire(
            '{"sequenceNumber":1,"streamId":"$STREAM","event":"media","media":{"track":"inbound",'
            '"timestamp":"1790921506412","chunk":1,"payload":"$FRAME"},"extra_headers":"{}"}'
        ),
        Media(FRAME, STREAM, 1790921506412, 1, 1, "inbound"),
    ),
    ('{"event":"playedStream","name":"turn-3"}', PlayedStream("turn-3")),
    (
        wire('{"sequenceNumber":812,"event":"clearedAudio","streamId":"$STREAM"}'),
        ClearedAudio(STREAM, 812),
    ),
    (
        wire(
            '{"event":"dtmf","streamId":"$STREAM",'
            '"dtmf":{"track":"inbound","digit":"5","timestamp":"1790921531020"}}'
        ),
        Dtmf("5", STREAM, 1790921531020),
    ),
    (
        wire('{"event":"stop","streamId":"$STREAM","reason":"call_ended"}'),
        Stop(None, STREAM, "call_ended"),
    ),
]
DOCUMENTED_COMMANDS = [
    (
        wire(
            '{"event":"playAudio","streamId":"$STREAM","media":{"contentType":"audio/x-mulaw",'
            '"sampleRate":8000,"payload":"$FRAME"}}'
        ),
        PlayAudio(FRAME, "audio/x-mulaw", 8000, STREAM),
    ),
    (
        wire('{"event":"checkpoint","streamId":"$STREAM","name":"turn-3"}'),
        Checkpoint("turn-3", STREAM),
    ),
    (wire('{"event":"clearAudio","streamId":"$STREAM"}'), ClearAudio(STREAM)),
    (wire('{"event":"stop","streamId":"$STREAM"}'), StopStream(STREAM)),
]


# --- every message class, found by itself -------------------------------------------------------

INBOUND_CLASSES = set(typing.get_args(InboundMessage))
COMMAND_CLASSES = set(typing.get_args(OutboundCommand))
NOT_MESSAGES = {MediaFormat, WireShape}

ids = st.text("abcdef0123456789-", min_size=1, max_size=40)
stream_ids = st.none() | ids.map(StreamId)
whole = st.none() | st.integers(0, 2**53)
names = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=64)
texts = st.text(st.characters(categories=("L", "N")), max_size=32)
formats = st.builds(
    MediaFormat,
    st.sampled_from(["audio/x-mulaw", "audio/x-l16"]),
    st.sampled_from([8000, 16000, 24000]),
)
MADE = {
    Start: st.builds(
        Start,
        call_id=st.none() | ids.map(CallId),
        stream_id=stream_ids,
        account_id=st.none() | st.integers(1, 10**9).map(str) | st.just("MA_EXAMPLE1"),
        media_format=st.none() | formats,
        tracks=st.sampled_from([("inbound",), ("inbound", "outbound")]),
        sequence_number=whole,
        extra_headers=st.dictionaries(texts, texts, max_size=4),
    ),
    Media: st.builds(
        Media,
        payload=st.binary(max_size=700),
        stream_id=stream_ids,
        timestamp_ms=whole,
        chunk=whole,
        sequence_number=whole,
        track=st.sampled_from(["inbound", "outbound"]),
    ),
    PlayedStream: st.builds(PlayedStream, name=names),
    ClearedAudio: st.builds(ClearedAudio, stream_id=stream_ids, sequence_number=whole),
    Dtmf: st.builds(
        Dtmf,
        digit=st.sampled_from(sorted("0123456789*#ABCD")),
        stream_id=stream_ids,
        timestamp_ms=whole,
    ),
    Stop: st.builds(Stop, call_id=st.none() | ids.map(CallId), stream_id=stream_ids, reason=texts),
    UnknownEvent: st.builds(UnknownEvent, name=st.sampled_from(["connected", "incorrectPayload"])),
    PlayAudio: st.builds(
        PlayAudio,
        payload=st.binary(max_size=2000),
        content_type=st.sampled_from(["audio/x-mulaw", "audio/x-l16", "wav"]),
        sample_rate_hz=st.sampled_from([8000, 16000, 24000]),
        stream_id=stream_ids,
    ),
    ClearAudio: st.builds(ClearAudio, stream_id=stream_ids),
    Checkpoint: st.builds(Checkpoint, name=names, stream_id=stream_ids),
    StopStream: st.builds(StopStream, stream_id=stream_ids),
}


def test_every_message_class_of_the_module_is_in_a_union_and_is_round_tripped_here() -> None:
    found = {
        kind
        for name, kind in inspect.getmembers(telephony, inspect.isclass)
        if kind.__module__ == telephony.__name__ and not name.startswith("_")
    }
    assert found - NOT_MESSAGES == INBOUND_CLASSES | COMMAND_CLASSES
    assert set(MADE) == INBOUND_CLASSES | COMMAND_CLASSES


def test_every_message_class_is_frozen_and_slotted() -> None:
    for kind in INBOUND_CLASSES | COMMAND_CLASSES:
        is_struct = issubclass(kind, msgspec.Struct)
        parameters = kind.__struct_config__ if is_struct else kind.__dataclass_params__
        assert parameters.frozen, kind
        assert is_struct or "__slots__" in vars(kind), kind


@pytest.mark.parametrize("kind", sorted(INBOUND_CLASSES, key=str))
@given(data=st.data())
def test_inbound_messages_survive_the_wire_in_every_shape(
    kind: type[InboundMessage], data: st.DataObject
) -> None:
    message = cast(InboundMessage, data.draw(MADE[kind]))
    flags = st.booleans()
    shape = data.draw(
        st.builds(
            WireShape,
            is_flat=flags,
            has_text_counters=flags,
            has_int_timestamp=flags,
            has_int_account=flags,
            has_text_sample_rate=flags,
        )
    )
    assert parse_inbound(serialize_inbound(message, shape=shape)) == message


@pytest.mark.parametrize("kind", sorted(COMMAND_CLASSES, key=str))
@given(data=st.data())
def test_commands_survive_the_wire(kind: type[OutboundCommand], data: st.DataObject) -> None:
    command = cast(OutboundCommand, data.draw(MADE[kind]))
    assert parse_command(serialize_command(command)) == command


# --- tolerance ----------------------------------------------------------------------------------


def start(**fields: object) -> Start:
    message = parse_inbound(json.dumps({"event": "start", **fields}))
    assert isinstance(message, Start)
    return message


def media(**fields: object) -> Media:
    message = parse_inbound(json.dumps({"event": "media", **fields}))
    assert isinstance(message, Media)
    return message


def test_flat_start_of_the_vendors_example_is_read() -> None:
    message = start(
        streamId=STREAM,
        callId=CALL,
        auth_id="MA_EXAMPLE1",
        mediaServer="ms-1",
        mediaFormat={"contentType": "audio/x-mulaw;rate=8000"},
        metadata={"from": "918000000001", "to": "918000000002"},
    )
    assert (message.stream_id, message.call_id) == (STREAM, CALL)
    assert message.account_id == "MA_EXAMPLE1"
    assert message.media_format == MediaFormat("audio/x-mulaw", 8000)
    assert (message.from_number, message.to_number) == ("918000000001", "918000000002")


def test_nested_ids_win_over_flat_ones() -> None:
    message = start(streamId="outer", callId="outer", start={"streamId": "inner"})
    assert (message.stream_id, message.call_id) == ("inner", "outer")


def test_start_without_any_id_is_read_because_the_url_names_the_call() -> None:
    assert start() == Start()


@pytest.mark.parametrize("account", ["528191", 528191])
def test_account_id_may_be_text_or_number(account: object) -> None:
    assert start(start={"accountId": account}).account_id == "528191"


@pytest.mark.parametrize("rate", [16000, "16000", 16000.0])
def test_sample_rate_may_be_text_or_number(rate: object) -> None:
    message = start(start={"mediaFormat": {"encoding": "AUDIO/X-L16", "sampleRate": rate}})
    assert message.media_format == MediaFormat("audio/x-l16", 16000)


@pytest.mark.parametrize("rate", ["junk", -1, True, None, 10**12, "", 0])
def test_sample_rate_that_makes_no_sense_counts_as_8000(rate: object) -> None:
    message = start(start={"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": rate}})
    assert message.media_format == MediaFormat("audio/x-mulaw", 8000)


def test_sample_rate_is_taken_from_the_content_type_when_it_stands_there_alone() -> None:
    message = start(start={"mediaFormat": {"encoding": "audio/x-l16;rate=16000"}})
    assert message.media_format == MediaFormat("audio/x-l16", 16000)


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        ("{}", {}),
        ('{"a":"1","n":2}', {"a": "1", "n": "2"}),
        ({"a": "1"}, {"a": "1"}),
        ("a=1;b=2", {"a": "1", "b": "2"}),
        ("a=1,b=x=y", {"a": "1", "b": "x=y"}),
        ("", {}),
        ("{broken", {}),
        ("[1]", {}),
        (7, {}),
        ("x" * 10_000, {}),
        ("{" * 1000, {}),
    ],
)
def test_extra_headers_are_read_as_object_as_json_or_as_pairs(
    value: object, headers: dict[str, str]
) -> None:
    assert start(extra_headers=value).extra_headers == headers
    assert start(start={"extraHeaders": value}).extra_headers == headers


def test_media_needs_nothing_but_a_payload() -> None:
    assert media(media={"payload": FRAME_64}) == Media(FRAME)


@pytest.mark.parametrize(
    "stamp", [1790921506412, "1790921506412", 1790921506412.0, " 1790921506412"]
)
def test_media_numbers_may_be_text_or_number(stamp: object) -> None:
    message = media(
        streamId=STREAM,
        sequenceNumber="5",
        media={"payload": "", "timestamp": stamp, "chunk": "5", "contentType": "audio/x-mulaw"},
    )
    assert message == Media(b"", STREAM, 1790921506412, 5, 5)


@pytest.mark.parametrize("stamp", ["soon", "", None, True, 1.5, [1], "１２", "1" * 400, 10**30])
def test_media_numbers_that_make_no_sense_count_as_absent(stamp: object) -> None:
    assert media(media={"payload": "", "timestamp": stamp}).timestamp_ms is None


def test_played_stream_may_name_its_stream() -> None:
    text = '{"event":"playedStream","name":"turn-3","streamId":"$STREAM","sequenceNumber":9}'
    assert parse_inbound(wire(text)) == PlayedStream("turn-3", STREAM)


def test_cleared_audio_may_come_without_a_number() -> None:
    assert parse_inbound('{"event":"clearedAudio"}') == ClearedAudio()


@pytest.mark.parametrize("digit", ["5", 5])
def test_dtmf_may_be_nested_or_flat_text_or_number(digit: object) -> None:
    nested = json.dumps({"event": "dtmf", "dtmf": {"digit": digit, "timestamp": "7"}})
    assert parse_inbound(nested) == Dtmf("5", None, 7)
    assert parse_inbound(json.dumps({"event": "dtmf", "digit": digit})) == Dtmf("5")


@pytest.mark.parametrize("digit", ["", "12", "x", None, "５", -1])
def test_dtmf_with_what_is_no_key_is_malformed(digit: object) -> None:
    with pytest.raises(MalformedMessage, match="dtmf: not a key"):
        parse_inbound(json.dumps({"event": "dtmf", "dtmf": {"digit": digit}}))


def test_stop_may_be_nested_flat_or_bare() -> None:
    assert parse_inbound('{"event":"stop"}') == Stop()
    nested = '{"event":"stop","stop":{"callId":"c","streamId":"s","reason":"hangup"}}'
    assert parse_inbound(nested) == Stop(CallId("c"), StreamId("s"), "hangup")


def test_unknown_events_are_named_and_passed_on() -> None:
    assert parse_inbound('{"event":"connected","protocol":"x"}') == UnknownEvent("connected")


def test_commands_are_read_as_sloppily_as_vobiz_reads_them() -> None:
    media = {"contentType": "Audio/X-L16;rate=8000", "sampleRate": "16000", "payload": ""}
    text = json.dumps({"event": "playAudio", "media": media})
    assert parse_command(text) == PlayAudio(b"", "audio/x-l16", 16000, None)
    bare = '{"event":"playAudio","media":{"contentType":"wav","payload":"AAAA"}}'
    assert parse_command(bare) == PlayAudio(b"\0\0\0", "wav", 8000, None)
    assert parse_command('{"event":"clearAudio"}') == ClearAudio()


# --- refusals -----------------------------------------------------------------------------------

BROKEN = [
    "",
    "null",
    "[]",
    "{}",
    "{",
    '"media"',
    "NaN",
    '{"event":null}',
    '{"event":""}',
    '{"event":"a\\nb"}',
    '{"event":"%s"}' % ("x" * 65),
    '{"event":"media"}',
    '{"event":"media","media":null}',
    '{"event":"media","media":{}}',
    '{"event":"media","media":{"payload":5}}',
    '{"event":"media","media":{"payload":"*"}}',
    '{"event":"media","media":{"payload":"AAA"}}',
    '{"event":"media","media":{"payload":"AAAA\\n"}}',
    '{"event":"media","media":{"payload":"\\ud800"}}',
    '{"event":"media","streamId":"a\\u0000b","media":{"payload":""}}',
    '{"event":"start","start":{"callId":"%s"}}' % ("x" * 513),
    '{"event":"start","callId":"\\ud800"}',
    '{"event":"playedStream"}',
    '{"event":"playedStream","name":""}',
    '{"event":"playedStream","name":{}}',
    "[" * 60_000,
    '{"a":' * 10_000,
    '{"event":"start","sequenceNumber":%s}' % ("9" * 5000),
]


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_broken_messages_are_malformed(text: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_inbound(text)


BROKEN_COMMANDS = [
    '{"event":"media","media":{"payload":""}}',
    '{"event":"playAudio"}',
    '{"event":"playAudio","media":{"contentType":"audio/x-mulaw"}}',
    '{"event":"playAudio","media":{"payload":""}}',
    '{"event":"playAudio","media":{"payload":"","contentType":""}}',
    '{"event":"playAudio","media":{"payload":"","contentType":"x","sampleRate":"x"}}',
    '{"event":"playAudio","media":{"payload":"","contentType":"x","sampleRate":0}}',
    '{"event":"checkpoint"}',
]


@pytest.mark.parametrize("text", BROKEN_COMMANDS)
def test_broken_commands_are_malformed(text: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_command(text)


def test_oversized_messages_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(OversizedMessage) as caught:
        parse_inbound("{" * 101, max_chars=100)
    assert (caught.value.length_chars, caught.value.limit_chars) == (101, 100)
    with pytest.raises(OversizedMessage):
        parse_command(" " * 65_537)


def test_errors_never_repeat_what_they_refuse() -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse_inbound('{"event":"media","media":{"payload":"secret!"}}')
    assert "secret" not in str(caught.value)


# --- anything at all ----------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=6,
)
FIELDS = [
    *("event", "streamId", "callId", "media", "start", "payload", "timestamp", "chunk", "name"),
    *("sequenceNumber", "mediaFormat", "encoding", "sampleRate", "extra_headers", "dtmf", "digit"),
    *("tracks", "metadata", "contentType", "stop", "reason", "accountId", "extraHeaders", "from"),
]
EVENTS = [
    *("start", "media", "playedStream", "clearedAudio", "dtmf", "stop"),
    *("playAudio", "clearAudio", "checkpoint"),
]
objects = st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=5)


def only_our_errors(text: str) -> None:
    for parse in (parse_inbound, parse_command):
        try:
            parse(text)
        except MalformedMessage:
            continue


@given(st.text())
def test_any_text_is_read_or_refused_as_ours(text: str) -> None:
    only_our_errors(text)


@given(st.binary())
def test_any_bytes_are_read_or_refused_as_ours(data: bytes) -> None:
    only_our_errors(data.decode("utf-8", "surrogateescape"))


@given(event=st.sampled_from(EVENTS), body=objects, inner=objects, place=st.sampled_from(FIELDS))
def test_any_json_in_the_right_places_is_read_or_refused_as_ours(
    event: str, body: dict[str, object], inner: dict[str, object], place: str
) -> None:
    only_our_errors(json.dumps({**body, place: inner, "event": event}))


def test_ten_thousand_damaged_messages_raise_nothing_but_our_errors() -> None:
    chance = random.Random(7)
    sound = [text for text, _ in DOCUMENTED_INBOUND] + [text for text, _ in DOCUMENTED_COMMANDS]
    refused = 0
    for _ in range(10_000):
        text = damage(chance.choice(sound), chance)
        try:
            parse_inbound(text, max_chars=4096)
        except MalformedMessage:
            refused += 1
        only_our_errors(text)
    # Most damage is fatal; where it is not, the message was still whole.
    assert 6_000 < refused < 10_000


def damage(text: str, chance: random.Random) -> str:
    """Cut, repeat, swap or spoil a message."""
    signs = list(text)
    at = chance.randrange(len(signs))
    match chance.randrange(6):
        case 0:
            return text[:at]
        case 1:
            return text[at:]
        case 2:
            return text * chance.randrange(2, 40)
        case 3:
            signs[at] = chr(chance.randrange(0x110000))
        case 4:
            for _ in range(8):
                one, other = chance.randrange(len(signs)), chance.randrange(len(signs))
                signs[one], signs[other] = signs[other], signs[one]
        case _:
            signs[at:at] = chance.choice(["\0", '"', "{", "\\", "null", "1e999", "\ud800"])
    return "".join(signs)


# --- the quick way ------------------------------------------------------------------------------

usual_numbers = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-(10**18), 10**18).map(str),
    st.sampled_from(["", " 12", "007", "-0", "x", "\u0663"]),
)
usual_texts = st.one_of(st.none(), st.integers(), st.text(max_size=20), st.just("a" * 600))


@given(
    payload=st.one_of(
        st.binary(max_size=400).map(lambda raw: base64.b64encode(raw).decode()),
        st.text("ABab01+/=_- \n", max_size=12),
        usual_numbers,
    ),
    timestamp=usual_numbers,
    chunk=usual_numbers,
    number=usual_numbers,
    stream=usual_texts,
    track=usual_texts,
)
def test_a_usual_media_message_is_read_as_the_long_way_would(
    payload: object, timestamp: object, chunk: object, number: object, stream: object, track: object
) -> None:
    media = {"payload": payload, "timestamp": timestamp, "chunk": chunk, "track": track}
    body = {"event": "media", "streamId": stream, "sequenceNumber": number, "media": media}
    text = json.dumps({key: value for key, value in body.items() if value is not None})
    quick = telephony._usual_media(text, telephony.MAX_MESSAGE_CHARS)
    if quick is not None:
        assert quick == telephony._media(json.loads(text))


def test_the_current_shape_of_media_goes_the_quick_way() -> None:
    for shape in (WireShape.CURRENT, WireShape.FLAT):
        text = serialize_inbound(Media(b"\x7f" * 160, StreamId("s"), 20, 1, 1), shape=shape)
        assert telephony._usual_media(text, telephony.MAX_MESSAGE_CHARS) == parse_inbound(text)
