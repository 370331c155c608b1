"""Each fault of each vendor at each stage of a call: what the caller hears of it.

One platform, one stand-in of the vendors for each fault, one call each: the caller asks something
and says goodbye. Wherever the fault strikes, no silence where the agent should be heard is longer
than two seconds, the talk goes on as if nothing were amiss, and the fault is counted.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from services.simulator.calls.cloud import Cloud
from services.simulator.calls.timeline import Moment
from tests.support.fault_calls import (
    ANSWER,
    APOLOGY,
    FLOW_ANSWER,
    FLOW_GOODBYE,
    Heard,
    Scene,
    Stage,
    Trouble,
    on_stage,
)
from tests.support.standins import Fault

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

DEAD_AIR_S = 2.0
SLACK_S = 0.3
"""For a machine that has other things to do than these calls."""
CHAT, SPEECH, AURA = "/v1/chat/completions", "/v1/audio/speech", "/v1/speak"
LISTEN, REALTIME, FILES = "/v1/listen", "/v1/realtime", "/v1/audio/transcriptions"
OPERATOR = "+918000000009"
BEFORE = (Fault.REFUSED, Fault.STATUS_401, Fault.STATUS_429, Fault.STATUS_500, Fault.TIMEOUT)
WITHIN = (Fault.STALL, Fault.CUT, Fault.GARBAGE)
FAULTS = (*BEFORE, *WITHIN)
KEY_AND_WITHIN = (Fault.STATUS_401, *WITHIN)
"""Of a model on its own; the others it shows as a part of a whole vendor."""
CAUSES = {
    Fault.REFUSED: "unreachable",
    Fault.STATUS_401: "unauthorized",
    Fault.STATUS_429: "rate_limited",
    Fault.STATUS_500: "server_error",
    Fault.TIMEOUT: "timeout",
    Fault.STALL: "timeout",
    Fault.CUT: "cut",
    Fault.GARBAGE: "garbage",
}


def trouble(route: str, fault: Fault, *, within: int, is_early: bool = False) -> Trouble:
    """A fault of a route; those of a stream strike after so many pieces of it."""
    after = within if fault in WITHIN else 0
    return Trouble(route, fault, after_events=after, is_early=is_early)


def whole_vendor(fault: Fault) -> Scene:
    """A vendor that hears, thinks and speaks, and does none of it any more."""
    return Scene(
        [
            trouble(FILES, fault, within=1),
            trouble(CHAT, fault, within=9),
            trouble(SPEECH, fault, within=3, is_early=True),
        ],
        stt=({"openai": {"mode": "file"}}, "offline"),
        greeting="Hello {metadata.nobody}, who is there?",  # so that it is not made in advance
        limits={"breaker_failures": 100},
    )


EARS = {
    f"{name}-{fault}": Scene([trouble(route, fault, within=8)], stt=(vendor, "offline"))
    for name, route, vendor in (("deepgram", LISTEN, "deepgram"), ("realtime", REALTIME, "openai"))
    for fault in FAULTS
}
MODELS = {f"model-{fault}": Scene([trouble(CHAT, fault, within=0)]) for fault in KEY_AND_WITHIN}
CUT_SHORT = {f"later-{fault}": Scene([trouble(CHAT, fault, within=9)]) for fault in WITHIN}
STALLED = {"short": Scene([trouble(CHAT, Fault.STALL, within=4)], answer="Sure. It all runs here.")}
VOICES = {
    f"aura-{fault}": Scene([trouble(AURA, fault, within=3)], tts=("deepgram", "offline"))
    for fault in FAULTS
}
WHOLE = {f"vendor-{fault}": whole_vendor(fault) for fault in FAULTS}
FALLBACKS = {**WHOLE, **EARS, **MODELS, **CUT_SHORT, **STALLED, **VOICES}
DOWN = Fault.STATUS_500
LAST = {
    "deaf": Scene([trouble(LISTEN, Fault.STATUS_401, within=0)], stt=["deepgram"]),
    "mindless": Scene([trouble(CHAT, DOWN, within=0)], llm=["openai"]),
    "mute": Scene([trouble(SPEECH, Fault.REFUSED, within=0)], tts=["openai"]),
    "handed-over": Scene(
        [trouble(CHAT, DOWN, within=0)],
        llm=["openai"],
        more={
            "transfer": {"operator": OPERATOR},
            "failure": {"apology": APOLOGY, "then": "transfer"},
        },
    ),
}
TIRED = {
    "left-alone": Scene(
        [trouble(CHAT, Fault.TIMEOUT, within=0)],
        limits={"breaker_failures": 1, "breaker_open_s": 300},
    ),
    "busy-once": Scene([Trouble(CHAT, Fault.STATUS_429, count=1)]),
}


@dataclass(frozen=True)
class Played:
    """All calls, and what the worker says of itself afterwards."""

    heard: dict[str, Heard]
    again: Heard
    requests: dict[str, Counter[str]]
    metrics: dict[str, float]
    log: list[dict[str, Any]]

    def count(self, name: str, **labels: str) -> float:
        """The sum of a metric's values that have these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            value
            for line, value in self.metrics.items()
            if line.startswith(name) and all(label in line for label in wanted)
        )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return uvloop.run(_play(tmp_path_factory.mktemp("faults")))


async def _play(folder: Path) -> Played:
    scenes = {**FALLBACKS, **TIRED, **LAST}
    async with on_stage(folder, scenes) as stage, Cloud() as cloud:
        others = [name for name in scenes if name != "left-alone"]
        heard, twice = await asyncio.gather(stage.play(cloud, others), _twice(stage, cloud))
        heard["left-alone"], again, before = twice
        requests = {name: Counter(one.world.requests) for name, one in stage.standins.items()}
        requests["again"], requests["left-alone"] = requests["left-alone"], before
        metrics = await stage.metrics()
        return Played(heard, again, requests, metrics, stage.worker_log)


async def _twice(stage: Stage, cloud: Cloud) -> tuple[Heard, Heard, Counter[str]]:
    """Call the agent whose model is left alone after one failure, and call it once more."""
    name = "left-alone"
    first = (await stage.play(cloud, [name]))[name]
    before = Counter(stage.standins[name].world.requests)
    return first, (await stage.play(cloud, [name]))[name], before


# --- what the caller hears ----------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FALLBACKS, *TIRED])
def test_a_fault_brings_no_dead_air_and_the_talk_goes_on(played: Played, name: str) -> None:
    heard = played.heard[name]
    assert heard.first_s <= DEAD_AIR_S + SLACK_S
    assert max(heard.waits_s) <= DEAD_AIR_S + SLACK_S
    # Where ear, model and voice hang all at once, a second filler waits for the voice too.
    most_s = 3.0 if name == "vendor-timeout" else DEAD_AIR_S
    assert heard.longest_gap_s <= most_s + SLACK_S
    assert heard.caller_words == ["how does this work", "goodbye"]
    assert heard.record["end_reason"] == "agent_hung_up"


@pytest.mark.parametrize("name", [*EARS, *VOICES, "busy-once"])
def test_the_model_answers_whoever_hears_and_speaks(played: Played, name: str) -> None:
    answer, goodbye = played.heard[name].transcript("agent")[1:]
    assert answer.endswith(ANSWER)
    assert goodbye.endswith("Goodbye!")


@pytest.mark.parametrize("name", [*MODELS, *WHOLE, "left-alone"])
def test_the_flow_answers_for_a_model_that_does_not(played: Played, name: str) -> None:
    answer, goodbye = played.heard[name].transcript("agent")[1:]
    assert answer.endswith(FLOW_ANSWER)
    assert goodbye.endswith((FLOW_GOODBYE, "Goodbye!"))


@pytest.mark.parametrize("name", [*CUT_SHORT, *STALLED])
def test_what_a_model_had_said_stands_and_is_gone_on_from(played: Played, name: str) -> None:
    said = "Sure." if name in STALLED else "You talk and I answer."
    answer = played.heard[name].transcript("agent")[1]
    assert f"{said} " in answer
    assert answer.endswith(FLOW_ANSWER)


@pytest.mark.parametrize("name", VOICES)
def test_another_voice_speaks_for_one_that_does_not(played: Played, name: str) -> None:
    assert not played.heard[name].is_tone(1)


@pytest.mark.parametrize("name", [*EARS, *MODELS])
def test_a_voice_that_works_is_kept(played: Played, name: str) -> None:
    assert played.heard[name].is_tone(1)


# --- when all of a kind have failed -------------------------------------------------------------


@pytest.mark.parametrize("name", LAST)
def test_without_any_provider_the_caller_hears_the_apology(played: Played, name: str) -> None:
    heard = played.heard[name]
    assert heard.transcript("agent")[-1].endswith(APOLOGY)
    assert max(heard.first_s, *heard.waits_s[:1], heard.longest_gap_s) <= DEAD_AIR_S + SLACK_S


@pytest.mark.parametrize("name", ["deaf", "mindless", "mute"])
def test_then_the_call_ends_by_the_agents_rule(played: Played, name: str) -> None:
    heard = played.heard[name]
    assert heard.record["end_reason"] == "provider_failed"
    assert heard.record["end_class"] == "provider"


def test_or_the_caller_is_handed_over(played: Played) -> None:
    heard = played.heard["handed-over"]
    verbs = [event.detail["verb"] for event in heard.call.timeline.of(Moment.VERB)]
    assert "Dial" in verbs
    assert heard.record["end_reason"] == "transferred"


# --- whom nobody asks again ---------------------------------------------------------------------


def test_a_provider_that_failed_too_often_is_left_alone(played: Played) -> None:
    assert played.count("voice_agent_provider_breaker_open", kind="llm", provider="openai") >= 1
    assert played.requests["left-alone"][CHAT] <= 2  # a guess that was dropped is one, too
    assert played.requests["again"][CHAT] == played.requests["left-alone"][CHAT]
    assert max(played.again.waits_s) < 0.9 + SLACK_S  # no time is lost with it, no filler needed
    assert played.again.transcript("agent")[1] == FLOW_ANSWER


def test_a_wrong_key_is_shown_once(played: Played) -> None:
    assert played.requests["model-401"][CHAT] == 1
    assert played.requests["aura-401"][AURA] <= 2  # two sentences are made side by side
    assert played.requests["deepgram-401"][LISTEN] == 1


def test_one_that_is_busy_is_asked_again(played: Played) -> None:
    assert played.requests["busy-once"][CHAT] >= 3
    assert played.count("voice_agent_provider_retries_total", kind="llm", provider="openai") >= 1


# --- what is counted ----------------------------------------------------------------------------


def expected_errors() -> Counter[tuple[str, str, str]]:
    """The least that must have been counted: one a scene and trouble."""
    kinds = {
        **{LISTEN: ("stt", "deepgram"), REALTIME: ("stt", "openai"), FILES: ("stt", "openai")},
        **{CHAT: ("llm", "openai"), SPEECH: ("tts", "openai"), AURA: ("tts", "deepgram")},
    }
    return Counter(
        (*kinds[one.route], CAUSES[one.fault])
        for scene in {**FALLBACKS, **LAST, **TIRED}.values()
        for one in scene.trouble
    )


@pytest.mark.parametrize(("kind", "provider", "cause"), expected_errors())
def test_every_fault_is_counted_by_its_cause(
    played: Played, kind: str, provider: str, cause: str
) -> None:
    name = "voice_agent_provider_errors_total"
    counted = played.count(name, kind=kind, provider=provider, cause=cause)
    assert counted >= expected_errors()[kind, provider, cause]


@pytest.mark.parametrize(
    ("kind", "provider", "scenes"),
    [
        ("stt", "deepgram", len(BEFORE) + 1),
        ("stt", "openai", len(FAULTS)),
        ("tts", "openai", len(FAULTS)),
        ("tts", "deepgram", len(FAULTS)),
        ("brain", "llm", len(FAULTS)),
    ],
)
def test_every_fallback_is_counted(played: Played, kind: str, provider: str, scenes: int) -> None:
    name = "voice_agent_provider_fallbacks_total"
    assert played.count(name, kind=kind, provider=provider) >= scenes


def test_a_call_opens_one_socket_of_a_recogniser_that_works(played: Played) -> None:
    """One that is opened after the call's end would be nobody's to close."""
    assert {played.requests[name][LISTEN] for name in MODELS} == {1}


def test_apologies_are_counted_and_no_call_has_crashed(played: Played) -> None:
    assert played.count("voice_agent_apologies_total") >= len(LAST)
    assert played.count("voice_agent_sessions_crashed_total") == 0
    bad = [line for line in played.log if line["level"] in ("error", "critical")]
    assert {(line["event"], line.get("reason")) for line in bad} <= {
        ("call_ended", "provider_failed")
    }
