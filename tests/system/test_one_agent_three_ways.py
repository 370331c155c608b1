"""One agent's file, to the byte the same: offline, by vendors, and through LiveKit's plugins.

Its chains hold all of them, each with its options; the settings AGENT_STT, AGENT_LLM and AGENT_TTS
say which are used. The same conversation is expected to come of each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.support.standins import CallTool, PhraseEar, World
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

GREETING = "Good day, this is the town library."
HOURS = "We are open from nine to five."
GOODBYE = "Thank you. Goodbye!"
WAYS = {
    "offline": {"AGENT_STT": "offline", "AGENT_LLM": "offline", "AGENT_TTS": "offline"},
    "vendors": {"AGENT_STT": "deepgram", "AGENT_LLM": "openai", "AGENT_TTS": "openai"},
    "plugins": {
        "AGENT_STT": "livekit:deepgram",
        "AGENT_LLM": "livekit:openai",
        "AGENT_TTS": "livekit:openai",
    },
}
AGENT = f"""\
description: The desk of a library.
greeting: {GREETING}
goodbye: {GOODBYE}
prompt: You are the desk of the town library. It is open every day from nine to five.
providers:
  stt:
    - deepgram: {{base_url: "%(url)s"}}
    - livekit:deepgram: {{base_url: "%(url)s/v1/listen", endpointing_ms: 300}}
    - offline
  llm:
    - openai: {{base_url: "%(url)s/v1"}}
    - livekit:openai: {{base_url: "%(url)s/v1", model: gpt-4.1-mini}}
    - offline
  tts:
    - openai: {{base_url: "%(url)s/v1"}}
    - livekit:openai: {{base_url: "%(url)s/v1"}}
    - offline
turn_taking: {{filler: {{texts: []}}}}
tools: [hang_up]
flow:
  steps:
    desk:
      prompt: What else?
      no_input: Are you still there?
      no_match: Sorry, I did not understand that.
      intents:
        hours:
          phrases: [when are you open, what are your hours]
          say: {HOURS}
          then: stay
        goodbye:
          phrases: [goodbye, bye bye]
          say: {GOODBYE}
          then: hang_up
"""


def library() -> World:
    """Vendors that know this agent's callers."""
    world = World(ear=PhraseEar(("when are you open", "goodbye")))
    world.talker.rules = [("open", HOURS), ("goodbye", CallTool("hang_up", text=GOODBYE))]
    return world


@pytest.fixture(scope="module")
def vendors() -> Iterator[Vendors]:
    with running_vendors(library()) as serving:
        yield serving


@pytest.fixture(scope="module")
def calls(
    vendors: Vendors, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, PlayedCall]]:
    agent = AGENT % {"url": vendors.standins.http_url}
    platforms = {
        way: platform_with(tmp_path_factory.mktemp(way), agent, **KEYS, **chosen)
        for way, chosen in WAYS.items()
    }
    with ThreadPoolExecutor(len(WAYS)) as side_by_side, ExitStack() as stack:
        starting = {
            way: side_by_side.submit(platform.__enter__) for way, platform in platforms.items()
        }
        lines = {}
        for way, started in starting.items():
            lines[way] = Line(
                ("When are you open?", "Goodbye."), port=started.result()["HTTP_PORT"]
            )
            stack.push(platforms[way].__exit__)
        yield asyncio.run(play(lines))


@pytest.mark.parametrize("way", WAYS)
def test_the_same_conversation_comes_of_every_way(
    vendors: Vendors, calls: dict[str, PlayedCall], way: str
) -> None:
    call = calls[way]
    assert call.report["ok"], call.report["failures"]
    greeting, hours, goodbye = call.said("agent")
    assert greeting == GREETING
    assert hours.startswith(HOURS)
    assert goodbye == GOODBYE
    assert call.said("caller") == ["when are you open", "goodbye"]
    assert not any(entry["is_interrupted"] for entry in call.entries("agent"))
    assert call.record["end_reason"] == "agent_hung_up"
    assert call.record["state"] == "completed"
    assert call.report["heard_level_dbfs"] == pytest.approx(-20, abs=6)


def test_each_way_is_by_its_own_providers(calls: dict[str, PlayedCall]) -> None:
    used = {
        way: {(use["kind"], use["provider"]) for use in call.record["usage"]}
        for way, call in calls.items()
    }
    own = {
        "vendors": {("stt", "deepgram"), ("llm", "openai"), ("tts", "openai")},
        "plugins": {("llm", "livekit:openai"), ("tts", "livekit:openai")},
    }
    assert own["vendors"] <= used["vendors"]
    assert own["plugins"] <= used["plugins"]
    for provider in ("deepgram", "openai", "livekit"):
        assert not any(provider in name for _, name in used["offline"])
