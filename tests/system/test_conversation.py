"""Whole calls through every real part: gateway, worker, its ears, wits and voice, Redis.

The platform runs as processes, as `make up` starts them. Judged is what the caller heard, from the
handset's recording: recognised again, whole, continuous and unclipped.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.bench.rig.local_platform import bench_platform
from services.agent.providers.offline.sphinx_decoder import SphinxDecoder
from services.agent.turn.sentences import split_sentences
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.forms import CallFacts
from services.simulator.calls.knobs import WIRE_SHAPES, HangupKnob, Knobs, ReconnectKnob
from services.simulator.calls.plan import CallPlan, Target
from services.simulator.line.line import LineQuality
from services.simulator.person.caller import CallerScript
from services.simulator.person.script import Press, SayText, build_script
from services.simulator.results.call_report import build_report
from shared.audio.resample import resample
from shared.protocol.call import Direction
from shared.speech import open_voice
from tests.support.agents import parley_flow

PARLEY = parley_flow()

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

GREETING = " ".join(PARLEY.greeting)


@dataclass(frozen=True)
class Platform:
    ports: dict[str, int]

    def get(self, port: str, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[port]}{path}", timeout=5) as got:
            return json.load(got)

    def metric(self, name: str) -> float:
        url = f"http://127.0.0.1:{self.ports['AGENT_METRICS_PORT']}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def record(self, call_id: str) -> dict[str, Any]:
        """The call's record, once the worker has added what was said."""
        for _ in range(50):
            record: dict[str, Any] = self.get("HTTP_PORT", f"/calls/{call_id}")
            if record["transcript"] and record["ended_at"]:
                break
            time.sleep(0.1)
        return record


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with bench_platform(str(tmp_path_factory.mktemp("platform"))) as ports:
        yield Platform(ports)


@dataclass(frozen=True)
class Scene:
    """A call to be played."""

    turns: Sequence[str | Press] = ()
    barge_ins: Sequence[float | None] = ()
    knobs: Knobs = field(default_factory=Knobs)
    quality: LineQuality = field(default_factory=LineQuality)
    limits: CallerScript | None = None


@dataclass(frozen=True)
class Heard:
    """What came of it: the simulator's report, the platform's record, the caller's ear."""

    report: dict[str, Any]
    record: dict[str, Any]
    pcm: NDArray[np.int16]

    def said(self, who: str) -> list[str]:
        return [entry["text"] for entry in self.record["transcript"] if entry["who"] == who]


async def play(platform: Platform, scenes: dict[str, Scene]) -> dict[str, Heard]:
    """Play calls at the same time, as a worker holds them."""
    async with Cloud() as cloud:
        plans = {name: await _plan(platform, cloud, scene) for name, scene in scenes.items()}
        calls = {name: cloud.start(plan) for name, plan in plans.items()}
        for call in calls.values():
            await call.over.wait()
        return {
            name: Heard(
                build_report(call, cloud.lag),
                await asyncio.to_thread(platform.record, call.call_uuid),
                call.line.handset.heard(),
            )
            for name, call in calls.items()
        }


async def _plan(platform: Platform, cloud: Cloud, scene: Scene) -> CallPlan:
    gateway = f"http://127.0.0.1:{platform.ports['HTTP_PORT']}"
    facts = CallFacts(
        call_uuid=str(uuid.uuid4()),
        direction=Direction.INBOUND,
        from_number="+918000000001",
        to_number="+918000000002",
        auth_id="MA_LOCAL",
        session_start=datetime.now(UTC),
    )
    script = await build_script(
        [turn if isinstance(turn, Press) else SayText(turn) for turn in scene.turns],
        cloud.speaker,
        barge_ins=scene.barge_ins,
        limits=scene.limits,
    )
    return CallPlan(
        facts,
        Target(f"{gateway}/answer"),
        hangup=Target(f"{gateway}/hangup"),
        script=script,
        knobs=scene.knobs,
        quality=scene.quality,
    )


# Somebody who takes a silence of two seconds for the agent's: a busy machine may need them.
PATIENT = CallerScript(turn_silence_s=2.0)
TALKS = {
    "interrupted": Scene(
        ("How does this work?", "What can you do?", "Goodbye."), barge_ins=(None, 2.0, None)
    ),
    "number": Scene(("Take my number.", Press("8000000003#"), "Yes.", "Goodbye.")),
    "current": Scene(("Who are you?",), knobs=Knobs(shape=WIRE_SHAPES["current"])),
    "flat": Scene(
        ("Who are you?",),
        knobs=Knobs(shape=WIRE_SHAPES["flat"], hangup=HangupKnob.STOP_EVENT),
    ),
    "reconnect A": Scene(
        ("Is it free?", "Goodbye."),
        knobs=Knobs(reconnect=ReconnectKnob.A, drop_socket_at_s=(3.0,)),
        limits=PATIENT,
    ),
    "reconnect B": Scene(
        ("Is it free?", "Goodbye."),
        knobs=Knobs(reconnect=ReconnectKnob.B, drop_socket_at_s=(3.0,)),
        limits=PATIENT,
    ),
}
TROUBLE = {
    "flooded": Scene(
        knobs=Knobs(garbage_messages=10_000),
        limits=CallerScript(hangup_at_s=12.0, max_duration_s=15.0),
    ),
    "calm": Scene(("Is it free?", "Goodbye.")),
    "noisy": Scene(
        quality=LineQuality(noise_dbfs=-50.0, echo_db=-25.0),
        limits=CallerScript(hangup_at_s=20.0, max_duration_s=25.0),
    ),
}


@pytest.fixture(scope="module")
def talks(platform: Platform) -> dict[str, Heard]:
    return asyncio.run(play(platform, TALKS))


@pytest.fixture(scope="module")
def trouble(platform: Platform) -> dict[str, Heard]:
    return asyncio.run(play(platform, TROUBLE))


def test_agent_greets_understands_is_interrupted_and_hangs_up(
    platform: Platform, talks: dict[str, Heard]
) -> None:
    heard = talks["interrupted"]
    assert heard.said("caller") == ["how does this work", "what can you do", "goodbye"]
    agent = [entry for entry in heard.record["transcript"] if entry["who"] == "agent"]
    assert agent[0]["text"] == GREETING
    assert [entry["is_interrupted"] for entry in agent] == [False, True, False, False]
    assert heard.report["barge_ins"][0]["latency_ms"] is not None
    assert heard.record["state"] == "completed"
    assert heard.record["end_reason"] == "agent_hung_up"
    assert heard.record["end_class"] == "success"
    assert heard.record["hangup_cause"] == "NORMAL_CLEARING"
    assert platform.metric("voice_agent_barge_in_seconds_count") >= 1
    assert platform.metric("voice_agent_frame_jitter_seconds_count") > 500


def test_number_is_taken_by_keypad_and_confirmed_by_voice(talks: dict[str, Heard]) -> None:
    heard = talks["number"]
    assert "I have noted your number" in " ".join(heard.said("agent")), heard.record["transcript"]


@pytest.mark.parametrize("shape", ["current", "flat"])
def test_both_wire_shapes_complete_a_call(talks: dict[str, Heard], shape: str) -> None:
    heard = talks[shape]
    assert heard.said("caller") == ["who are you"]
    assert heard.record["end_reason"] == "caller_hung_up"


@pytest.mark.parametrize("mode", ["A", "B"])
def test_lost_socket_comes_back_to_the_same_conversation(
    talks: dict[str, Heard], mode: str
) -> None:
    heard = talks[f"reconnect {mode}"]
    assert heard.said("agent")[0] == GREETING
    assert heard.said("caller") == ["is it free", "goodbye"]
    assert len(heard.report["sockets"]) >= 3
    assert heard.record["end_reason"] == "agent_hung_up"


def test_ten_thousand_broken_messages_disturb_no_other_call(trouble: dict[str, Heard]) -> None:
    assert trouble["calm"].said("caller") == ["is it free", "goodbye"]
    assert trouble["calm"].record["end_reason"] == "agent_hung_up"
    assert trouble["flooded"].said("agent")[0] == GREETING


def test_noise_and_echo_do_not_stop_the_agent(trouble: dict[str, Heard]) -> None:
    heard = trouble["noisy"]
    assert heard.report["false_interruptions_ms"] == []
    assert heard.said("caller") == []
    assert not any(entry["is_interrupted"] for entry in heard.record["transcript"][:1])


def test_what_the_caller_hears_is_whole_and_unclipped(trouble: dict[str, Heard]) -> None:
    heard = trouble["calm"]
    assert np.abs(heard.pcm.astype(np.int32)).max() < 31_000
    assert heard.report["heard_level_dbfs"] == pytest.approx(-20, abs=5)
    first = heard.report["spans"]["agent"][0]
    greeting = heard.pcm[int(first["from_ms"] * 8) : int(first["to_ms"] * 8)]
    # As long as the voice takes for it: no first word lost, no gap put in.
    voice = open_voice()
    sentences = split_sentences(GREETING)
    spoken = sum(
        len(resample(voice.synthesise(text), voice.sample_rate_hz, 8000)) for text in sentences
    )
    voice.close()
    assert len(greeting) == pytest.approx(spoken, rel=0.05)
    # The recogniser hears the greeting's first words at its beginning, with none missing.
    beginning = np.concatenate([np.zeros(1600, np.int16), greeting[: int(2.9 * 8000)]])
    phrases = [
        "hello this is parley your voice agent",
        "this is parley your voice agent",
        "parley your voice agent",
        "goodbye and thank you for calling",
    ]
    found = SphinxDecoder().recognise(beginning, phrases, digits=False)
    assert found.text == phrases[0]


def test_no_session_has_crashed(
    platform: Platform, talks: dict[str, Heard], trouble: dict[str, Heard]
) -> None:
    assert all(heard.report["ok"] for heard in (*talks.values(), *trouble.values()))
    assert platform.metric("voice_agent_sessions_crashed_total") == 0
