"""The record that a call leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.agent.after_call.record import (
    MAX_BYTES,
    MAX_ENTRIES,
    MAX_TEXT_CHARS,
    MAX_USAGES,
    RecordBuilder,
    clip,
    cut_middle,
    join_keys,
    retention_s,
)
from services.agent.after_call.redact import Redaction
from services.agent.agents.file import Data
from services.agent.providers.base import ToolUsed, Usage
from services.agent.turn.events import Measure, Stage, Tally
from shared.protocol.call import CallChange, CallId, CallRecord, merge_change

SAID = [
    {"who": "agent", "text": "Hello!", "at_ms": 100, "until_ms": 1100, "is_interrupted": False},
    {"who": "caller", "text": "hi", "at_ms": 2000, "until_ms": 2500, "is_understood": True},
    {"who": "agent", "text": "How are", "at_ms": 3000, "until_ms": 3500, "is_interrupted": True},
]


def builder(**redaction: bool) -> RecordBuilder:
    return RecordBuilder(Redaction(**redaction))


def tool(name: str = "look_up", **more: Any) -> ToolUsed:
    given: dict[str, Any] = {"arguments": {"id": 7}, "outcome": "ok", "result": "found"}
    return ToolUsed(name, seconds=0.25, **(given | more))


def entry(at_ms: int, **more: Any) -> dict[str, Any]:
    return {"who": "caller", "text": "", "at_ms": at_ms, **more}


def test_what_was_done_stands_between_what_was_said_in_order_of_time() -> None:
    record = builder()
    record.on_keys("1", 2600)
    record.on_note(tool(), 2950)
    transcript = record.fields(SAID)["transcript"]
    assert [e.get("kind", e["who"]) for e in transcript] == [
        *("agent", "caller", "keys", "tool", "agent")
    ]
    assert transcript[3] == {
        **{"kind": "tool", "who": "tool", "text": "", "at_ms": 2700, "name": "look_up"},
        **{"arguments": {"id": 7}, "outcome": "ok", "result": "found", "took_ms": 250.0},
    }
    assert SAID[0] == transcript[0]


def test_a_turns_latency_goes_to_the_reply_that_began_with_it() -> None:
    record = builder()
    record.on_measure(Measure(Stage.FIRST_AUDIO, 0.1), 100)
    for stage, seconds in ((Stage.BRAIN, 0.3), (Stage.TOTAL, 0.9)):
        record.on_measure(Measure(stage, seconds), 3002)
    fields = record.fields(SAID)
    assert fields["transcript"][2]["latency_ms"] == {"brain": 300.0, "total": 900.0}
    assert "latency_ms" not in fields["transcript"][0]
    assert "latency_ms" not in SAID[2], "the session's own transcript is not touched"


def test_a_latency_the_session_has_noted_itself_stays() -> None:
    record = builder()
    record.on_measure(Measure(Stage.TOTAL, 0.9), 3000)
    said = [*SAID[:2], {**SAID[2], "latency_ms": {"total": 5.0}}]
    fields = record.fields(said)
    assert fields["transcript"][2]["latency_ms"] == {"total": 5.0}
    assert fields["summary"]["turn_latency_max_ms"] == 5.0


def test_the_summary_counts_and_measures() -> None:
    record = builder()
    for tally in (
        *(Tally.TURN_UNDERSTOOD, Tally.TURN_UNDERSTOOD, Tally.TURN_NOT_UNDERSTOOD),
        *(Tally.INTERRUPTION_COMMITTED, Tally.INTERRUPTION_RESUMED, Tally.TURN_SILENCE),
    ):
        record.on_count(tally)
    record.on_note(tool(), 10)
    said = list[dict[str, Any]]()
    for number, total_s in enumerate((0.5, 0.7, 2.0)):
        record.on_measure(Measure(Stage.TOTAL, total_s), number * 1000)
        said.append({"who": "agent", "text": "x", "at_ms": number * 1000})
    assert record.fields(said)["summary"] == {
        **{"turns": 3, "interruptions": 1, "resumed": 1, "tools": 1},
        **{"turn_latency_median_ms": 700.0, "turn_latency_max_ms": 2000.0},
    }
    summary = builder().fields(SAID)["summary"]
    assert (summary["caller_talk_s"], summary["agent_talk_s"]) == (0.5, 1.5)
    assert "turn_latency_max_ms" not in summary


def test_usage_is_summed_by_provider_and_unit_and_bounded() -> None:
    record = builder()
    for amount in (10, 5):
        record.on_note(Usage("llm", "openai", "input_tokens", amount), 1)
    record.on_note(Usage("tts", "openai", "characters", 7), 2)
    assert record.fields([])["usage"] == [
        {"kind": "llm", "provider": "openai", "unit": "input_tokens", "amount": 15},
        {"kind": "tts", "provider": "openai", "unit": "characters", "amount": 7},
    ]
    for number in range(MAX_USAGES * 2):
        record.on_note(Usage("llm", f"p{number}", "input_tokens", 1), 1)
    record.on_note(Usage("tts", "openai", "characters", 1), 2)
    usage = record.usage()
    assert len(usage) == MAX_USAGES
    assert usage[-1]["amount"] == 8


def test_keys_in_a_row_are_one_entry_and_a_long_number_of_them_is_redacted() -> None:
    record = builder(numbers=True)
    for number, key in enumerate("4255#"):
        record.on_keys(key, 1000 + number * 300)
    record.on_keys("9", 60_000)
    record.on_keys("12", 60_100, by_agent=True)
    kept = record.fields([])["transcript"]
    assert [(e["who"], e["text"], e["count"]) for e in kept] == [
        ("caller", "[number]#", 5),
        ("caller", "9", 1),
        ("agent", "12", 2),
    ]


def test_keys_with_words_between_stay_apart() -> None:
    keys = [entry(n, kind="keys", text=f"{n}", count=1) for n in (1, 2)]
    assert [e["text"] for e in join_keys([keys[0], entry(1, text="so"), keys[1]])] == [
        *("1", "so", "2")
    ]
    assert [e["text"] for e in join_keys(keys)] == ["12"]
    assert keys[0]["text"] == "1"


def test_no_words_are_left_where_none_are_to_be_kept() -> None:
    record = builder(keep_text=False)
    record.on_keys("4255", 10)
    record.on_note(tool(arguments={"name": "secretword"}, result="secretword"), 20)
    fields = record.fields([{"who": "caller", "text": "secretword", "at_ms": 0, "until_ms": 9}])
    assert "secretword" not in json.dumps(fields)
    assert "4255" not in json.dumps(fields)
    assert [e["at_ms"] for e in fields["transcript"]] == [0, 0, 10]
    assert fields["transcript"][2]["count"] == 4


def test_a_transcript_of_ten_thousand_entries_loses_its_middle_and_says_so() -> None:
    said = [{"who": "caller", "text": f"{n}", "at_ms": n} for n in range(10_000)]
    kept = builder().fields(said)["transcript"]
    assert len(kept) == MAX_ENTRIES + 1
    (mark,) = [e for e in kept if e.get("kind") == "cut"]
    assert mark["entries"] == 10_000 - MAX_ENTRIES
    assert (kept[0]["text"], kept[-1]["text"]) == ("0", "9999")
    assert kept.index(mark) == MAX_ENTRIES // 2


def test_a_transcript_of_a_megabyte_is_cut_to_its_bound() -> None:
    said = [{"who": "caller", "text": "न" * 700, "at_ms": n} for n in range(1500)]
    kept = builder().fields(said)["transcript"]
    assert len(json.dumps(kept)) <= MAX_BYTES + 500 + 2 * len(kept)
    (mark,) = [e for e in kept if e.get("kind") == "cut"]
    assert mark["entries"] + len(kept) - 1 == 1500


def test_the_middle_of_a_short_transcript_is_left_alone() -> None:
    entries = [entry(n) for n in range(MAX_ENTRIES)]
    assert cut_middle(entries) == entries
    assert cut_middle([]) == []


def test_a_flood_of_tools_is_bounded_while_the_call_goes_on() -> None:
    record = builder()
    for number in range(3 * MAX_ENTRIES):
        record.on_note(tool(), number * 1000)
        record.on_measure(Measure(Stage.TOTAL, 1.0), number * 1000)
    assert len(record._events) <= 2 * MAX_ENTRIES
    assert len(record._latencies) <= MAX_ENTRIES
    kept = record.fields([])["transcript"]
    (mark,) = [e for e in kept if e.get("kind") == "cut"]
    assert mark["entries"] + len(kept) - 1 == 3 * MAX_ENTRIES
    assert record.fields([])["summary"]["tools"] == 3 * MAX_ENTRIES
    few = cut_middle([entry(0), entry(1)], already_lost=3)
    assert [e.get("entries") for e in few] == [None, 3, None]
    assert [e.get("entries") for e in cut_middle([], already_lost=3)] == [3]


def test_long_texts_are_clipped_and_odd_arguments_made_json() -> None:
    clipped = clip(entry(0, text="x" * 20_000, result="y" * 20_000, arguments={"z": "z" * 20_000}))
    assert len(clipped["text"]) == len(clipped["result"]) == MAX_TEXT_CHARS + 4
    assert set(clipped["arguments"]) == {"cut"}
    assert clip(entry(0, arguments={"a": CallId, 1: [2]}))["arguments"]["1"] == [2]


@pytest.mark.parametrize(("keep_s", "kept_s"), [(None, None), (0, 60), (3600, 3600)])
def test_a_record_is_kept_as_long_as_the_file_says_and_the_platform_needs(
    keep_s: float | None, kept_s: float | None
) -> None:
    assert retention_s(Data(keep_s=keep_s)) == kept_s


def test_the_fields_are_the_records_and_survive_its_json() -> None:
    record = builder()
    record.on_note(tool(), 10)
    record.on_note(Usage("llm", "openai", "input_tokens", 1), 1)
    fields = record.fields(SAID) | {"agent_version": "ab12", "language": "hi"}
    merged, _, _ = merge_change(
        None, CallChange(CallId("c"), None, fields, retention_s=60), now_iso="2026-01-01T00:00:00Z"
    )
    read = CallRecord.from_json(json.loads(json.dumps(merged.to_json())))
    assert read == merged
    assert (read.language, read.retention_s, len(read.usage)) == ("hi", 60, 1)
