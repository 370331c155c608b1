"""Whole calls by Deepgram and OpenAI: gateway, worker, vendors' stand-ins, tools, the record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from services.agent.turn.sentences import split_sentences
from tests.support.standins import CallTool, PhraseEar, World
from tests.support.tool_server import ToolServer, answer
from tests.support.vendor_platform import (
    KEYS,
    Line,
    PlayedCall,
    Vendors,
    platform_with,
    play,
    running_vendors,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

GREETING = "Good day, this is Lotus Travels."
GOODBYE = "Thank you. Goodbye!"
LONG = (
    "The trip begins early in the morning. "
    "On the second day you will see the old harbour, and there is time for a swim. "
    "On the third day the train takes you up into the mountains, where it is cool. "
    "You will be back on Sunday evening."
)
PRICE = "It costs ninety euros. Shall I book it?"
CHAT, SPEECH, LISTEN = "/v1/chat/completions", "/v1/audio/speech", "/v1/listen"
AGENT = f"""\
description: Sells trips.
greeting: {GREETING}
goodbye: {GOODBYE}
prompt: You are the desk of Lotus Travels. The caller is {{call.from}}.
providers:
  stt: [deepgram]
  llm: [openai]
  tts: [openai]
turn_taking: {{ filler: {{ texts: [] }} }}
tools:
  - hang_up
  - name: price
    description: Returns the price of a trip.
    url: http://127.0.0.1:%d/price
    query: {{ to: "{{to}}" }}
    parameters: {{ type: object, properties: {{ to: {{ type: string }} }}, required: [to] }}
    acts: false
    allow_private: true
"""


def lotus() -> World:
    """Vendors that know this agent's callers."""
    phrases = ("how much does it cost", "tell me more", "who are you", "goodbye")
    world = World(ear=PhraseEar(phrases))
    world.talker.first_s, world.talker.token_s = 0.1, 0.02
    world.mouth.first_s = 0.05
    world.talker.rules = [
        ("cost", CallTool("price", '{"to": "Goa"}')),
        ("more", LONG),
        ("who are you", "I can tell you about our trips."),
        ("goodbye", CallTool("hang_up", text=GOODBYE)),
    ]
    return world


@pytest.fixture(scope="module")
def vendors() -> Iterator[Vendors]:
    world = lotus()
    other = world.talker.answer

    def read_tool(body: dict[str, Any]) -> Any:
        return PRICE if body["messages"][-1]["role"] == "tool" else other(body)

    world.talker.answer = read_tool  # type: ignore[method-assign, assignment]
    tools = ToolServer([answer(json.dumps({"euros": 90}).encode())])
    with running_vendors(world, tools) as serving:
        yield serving


@pytest.fixture(scope="module")
def calls(
    vendors: Vendors, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, PlayedCall]]:
    settings = KEYS | {
        "DEEPGRAM_BASE_URL": vendors.standins.http_url,
        "OPENAI_BASE_URL": vendors.standins.openai_base_url,
    }
    agent = AGENT % vendors.tools.port
    with platform_with(tmp_path_factory.mktemp("platform"), agent, **settings) as ports:
        port = ports["HTTP_PORT"]
        lines = {
            "buys": Line(("How much does it cost?", "Goodbye."), port=port),
            "interrupts": Line(
                ("Tell me more.", "Who are you?", "Goodbye."), (None, 3.0, None), port
            ),
        }
        yield asyncio.run(play(lines))


def chats(vendors: Vendors, last_words: str) -> list[list[dict[str, Any]]]:
    """The messages of requests whose newest words of the caller are these."""
    found = [asked["messages"] for asked in vendors.asked(CHAT)]
    return [m for m in found if m[-1]["role"] == "user" and last_words in m[-1]["content"]]


def test_a_caller_is_greeted_answered_with_a_tools_help_and_bidden_goodbye(
    vendors: Vendors, calls: dict[str, PlayedCall]
) -> None:
    call = calls["buys"]
    assert call.report["ok"], call.report["failures"]
    assert call.said("caller") == ["how much does it cost", "goodbye"]
    greeting, *_, price, goodbye = call.said("agent")
    assert (greeting, goodbye) == (GREETING, GOODBYE)
    assert price.endswith(PRICE)
    assert call.record["end_reason"] == "agent_hung_up"
    assert call.record["end_class"] == "success"
    assert "/price?to=Goa" in [asked.target for asked in vendors.tools.asked]
    spoken = [asked["input"] for asked in vendors.asked(SPEECH)]
    assert spoken.count(GREETING) == 1  # made in advance, for every call
    assert {asked.query["encoding"] for asked in vendors.world.asked[LISTEN]} == {"mulaw"}


def test_the_model_is_told_who_calls_and_what_its_tool_brought(
    vendors: Vendors, calls: dict[str, PlayedCall]
) -> None:
    assert "+918000000001" in chats(vendors, "how much does it cost")[0][0]["content"]
    told = [m["messages"] for m in vendors.asked(CHAT) if m["messages"][-1]["role"] == "tool"]
    assert [json.loads(messages[-1]["content"]) for messages in told] == [{"euros": 90}]


def test_the_first_audio_leaves_before_the_models_last_token(
    vendors: Vendors, calls: dict[str, PlayedCall]
) -> None:
    tokens_s = [
        at_s for at_s, route, data in vendors.sent if route == CHAT and "Sunday" in str(data)
    ]
    assert tokens_s, "the long answer was not given"
    begun_s = calls["interrupts"].audio_begins_s()
    # The greeting is the first; the long answer's audio comes next.
    assert begun_s[1] < tokens_s[0]


def test_every_answer_has_its_latency_in_the_record(calls: dict[str, PlayedCall]) -> None:
    for name, answers in (("buys", 2), ("interrupts", 3)):
        entries = [entry for entry in calls[name].entries("agent") if "latency_ms" in entry]
        assert len(entries) == answers, calls[name].record["transcript"]
        for entry in entries:
            stages = entry["latency_ms"]
            parts = ("endpointing", "transcription", "brain", "synthesis", "platform")
            assert stages["total"] == pytest.approx(sum(stages[part] for part in parts), abs=1.0)
            assert stages["endpointing"] >= 200
        assert calls[name].record["summary"]["turn_latency_median_ms"] > 200


def test_the_record_has_the_tools_and_what_the_vendors_will_charge(
    calls: dict[str, PlayedCall],
) -> None:
    record = calls["buys"].record
    tools = [entry for entry in record["transcript"] if entry.get("kind") == "tool"]
    assert [(tool["name"], tool["outcome"]) for tool in tools] == [
        ("price", "ok"),
        ("hang_up", "ok"),
    ]
    assert tools[0]["arguments"] == {"to": "Goa"}
    usage = {(use["kind"], use["provider"], use["unit"]): use["amount"] for use in record["usage"]}
    assert usage["llm", "openai", "input_tokens"] > 0
    assert usage["llm", "openai", "output_tokens"] > 0
    assert usage["tts", "openai", "characters"] >= len(PRICE) - 1  # the space between its sentences
    assert usage["stt", "deepgram", "audio_seconds"] == pytest.approx(record["duration_s"], abs=3)


def test_what_was_not_heard_is_neither_remembered_nor_told_to_the_model(
    vendors: Vendors, calls: dict[str, PlayedCall]
) -> None:
    call = calls["interrupts"]
    assert call.report["barge_ins"][0]["how"] == "cleared"
    cut = next(entry for entry in call.entries("agent") if entry["is_interrupted"])
    assert LONG.startswith(cut["text"])
    assert len(split_sentences(LONG)[0]) <= len(cut["text"]) < len(LONG)
    (messages, *_) = chats(vendors, "who are you")
    heard = [message["content"] for message in messages if message["role"] == "assistant"]
    assert heard == [GREETING, cut["text"]]
    # The handset's own view: as much of the answer was played as the history holds.
    span = next(s for s in call.report["spans"]["agent"] if s["ended_by"] == "clear")
    assert cut["heard_ms"] == pytest.approx(span["to_ms"] - span["from_ms"], abs=150)
    assert call.record["end_reason"] == "agent_hung_up"
