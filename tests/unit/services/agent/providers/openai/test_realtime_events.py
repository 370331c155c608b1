from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.providers.base import ToolSpec
from services.agent.providers.openai import realtime_events as rt

IDS = {"response_id": "r", "item_id": "i"}
CALL = {"id": "i", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}


def event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, "event_id": "e", **fields})


TRANSCRIPTION = "conversation.item.input_audio_transcription"
READ = [
    (event("input_audio_buffer.speech_started", item_id="i"), rt.SpeechStarted("i")),
    (event("input_audio_buffer.speech_stopped", item_id="i"), rt.SpeechStopped("i")),
    (event("input_audio_buffer.committed", item_id="i"), rt.Committed("i")),
    (
        event(f"{TRANSCRIPTION}.delta", item_id="i", delta="he"),
        rt.InputTranscript("i", "he", False),
    ),
    (event(f"{TRANSCRIPTION}.delta", item_id="i"), rt.InputTranscript("i", "", False)),
    (
        event(f"{TRANSCRIPTION}.completed", item_id="i", transcript="hello"),
        rt.InputTranscript("i", "hello", True),
    ),
    (event(f"{TRANSCRIPTION}.failed", item_id="i"), rt.InputTranscript("i", "", True)),
    (event(f"{TRANSCRIPTION}.segment"), rt.Other(f"{TRANSCRIPTION}.segment")),
    (event("response.created", response={"id": "r"}), rt.ResponseCreated("r")),
    (
        event("response.output_item.added", response_id="r", item={"id": "i"}),
        rt.ItemAdded("r", "i"),
    ),
    (
        event("response.output_item.done", response_id="r", item={"id": "i", "type": "message"}),
        rt.SpeechDone("r", "i"),
    ),
    (
        event("response.output_item.done", response_id="r", item=CALL),
        rt.CallDone("r", "i", "c", "f", "{}"),
    ),
    (
        event("response.output_item.done", response_id="r", item={"id": "i", "type": "mcp"}),
        rt.Other("response.output_item.done"),
    ),
    (
        event("response.output_audio.delta", **IDS, delta=base64.b64encode(b"\xff\x00").decode()),
        rt.OutputAudio("r", "i", b"\xff\x00"),
    ),
    (event("response.audio.delta", **IDS, delta=""), rt.OutputAudio("r", "i", b"")),
    (
        event("response.output_audio_transcript.delta", **IDS, delta="hi"),
        rt.OutputText("r", "i", "hi"),
    ),
    (event("response.audio_transcript.delta", **IDS, delta="hi"), rt.OutputText("r", "i", "hi")),
    (
        event("response.done", response={"id": "r", "status": "completed"}),
        rt.ResponseDone("r", "completed"),
    ),
    (
        event(
            "response.done",
            response={
                "id": "r",
                "status": "failed",
                "status_details": {"error": {"type": "t", "code": "rate_limit_exceeded"}},
                "usage": {
                    "input_tokens": 3,
                    "output_tokens": 2,
                    "input_token_details": {"cached_tokens": 1},
                },
            },
        ),
        rt.ResponseDone("r", "failed", "rate_limit_exceeded", 3, 1, 2),
    ),
    (
        event("error", error={"type": "t", "code": None, "event_id": None, "message": "m"}),
        rt.ServerError("t", "t", ""),
    ),
    (event("error", error={"code": "c", "event_id": "mine"}), rt.ServerError("c", "", "mine")),
    (event("rate_limits.updated"), rt.Other("rate_limits.updated")),
]


@pytest.mark.parametrize(("text", "read"), READ, ids=[type(r).__name__ for _, r in READ])
def test_what_the_server_says_is_read(text: str, read: rt.ServerEvent) -> None:
    assert rt.parse_event(text) == read
    assert rt.parse_event(text.encode()) == read


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"type": 1}',
        "[" * 100_000,
        event("input_audio_buffer.committed"),
        event("response.created", response="r"),
        event("response.output_audio.delta", **IDS, delta="*"),
        event("response.output_audio.delta", **IDS, delta="é"),
        event("response.done", response={"id": "r", "status": "completed", "usage": 3}),
        event(f"{TRANSCRIPTION}.delta", item_id="i", delta=5),
        event("response.output_item.done", response_id="r", item={**CALL, "arguments": None}),
        event("x", padding="x" * rt.MOST_BYTES),
    ],
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(rt.MalformedEvent):
        rt.parse_event(text)


KINDS = sorted({json.loads(text)["type"] for text, _ in READ})
NAMES = ("item_id", "response_id", "response", "item", "delta", "error", "transcript", "usage")
INNER = ("id", "type", "status", "status_details", "usage", "code", "event_id", "error")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(("id", "type", "status", "status_details", "usage", "code")), inner
        )
    ),
    max_leaves=6,
)


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_anything_at_all_is_read_or_refused(kind: str, fields: dict[str, Any]) -> None:
    with contextlib.suppress(rt.MalformedEvent):
        event = rt.parse_event(json.dumps({"type": kind, **fields}))
        for name in ("item_id", "response_id", "text", "code", "kind", "event_id", "status"):
            assert isinstance(getattr(event, name, ""), str)


def sent(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    return value


def test_a_session_hears_and_speaks_mu_law_and_leaves_the_turns_to_us() -> None:
    tool = ToolSpec("f", "Does.", {"type": "object"})
    config = rt.SessionConfig("Be kind.", "marin", "en-IN", (tool,), "whisper-1")
    event = sent(rt.serialize_session(config, "e1"))
    session = event["session"]
    assert (event["type"], event["event_id"]) == ("session.update", "e1")
    assert session["audio"] == {
        "input": {
            "format": {"type": "audio/pcmu"},
            "transcription": {"model": "whisper-1", "language": "en"},
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "silence_duration_ms": 300,
                "create_response": False,
                "interrupt_response": False,
            },
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.0},
    }
    assert session["tools"] == [
        {
            "type": "function",
            "name": "f",
            "description": "Does.",
            "parameters": {"type": "object"},
        }
    ]
    assert "max_output_tokens" not in session


def test_other_ways_to_detect_and_no_transcription() -> None:
    config = rt.SessionConfig("x", "v", turn_detection="semantic_vad", max_output_tokens=99)
    session = sent(rt.serialize_session(config, ""))["session"]
    assert session["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
    assert session["audio"]["input"]["transcription"] is None
    assert session["max_output_tokens"] == 99
    off = rt.SessionConfig("x", "v", transcription_model="w", turn_detection="none")
    session = sent(rt.serialize_session(off, ""))["session"]
    assert session["audio"]["input"]["turn_detection"] is None
    assert session["audio"]["input"]["transcription"] == {"model": "w"}


def test_what_we_say_has_the_vendors_form() -> None:
    audio = sent(rt.serialize_audio(b"\x00\xff"))
    assert audio["type"] == "input_audio_buffer.append"
    assert base64.b64decode(audio["audio"]) == b"\x00\xff"
    assert sent(rt.serialize_commit()) == {"type": "input_audio_buffer.commit"}
    assert sent(rt.serialize_cancel()) == {"type": "response.cancel"}
    assert sent(rt.serialize_response("e")) == {"type": "response.create", "event_id": "e"}
    assert sent(rt.serialize_response("e", "Hi"))["response"] == {"instructions": "Hi"}
    assert sent(rt.serialize_delete("i"))["item_id"] == "i"
    output = sent(rt.serialize_call_output("c", "done"))["item"]
    assert output == {"type": "function_call_output", "call_id": "c", "output": "done"}
    for role, kind in (("user", "input_text"), ("assistant", "output_text")):
        item = sent(rt.serialize_message(role, "t"))["item"]  # type: ignore[arg-type] # both are
        assert item["content"] == [{"type": kind, "text": "t"}]


def test_an_answer_is_cut_where_it_was_cut_and_the_rest_forgotten() -> None:
    items = [("a", 1000), ("b", 500), ("c", 700)]

    def told(heard_ms: int) -> list[tuple[str, str, int | None]]:
        events = [sent(text) for text in rt.cut_to_heard(items, heard_ms)]
        return [(e["type"].rpartition(".")[2], e["item_id"], e.get("audio_end_ms")) for e in events]

    assert told(1200) == [("truncate", "b", 200), ("delete", "c", None)]
    assert told(1000) == [("delete", "b", None), ("delete", "c", None)]
    assert told(5000) == []
    assert [kind for kind, _, _ in told(-5)] == ["delete"] * 3
