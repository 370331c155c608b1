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
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from deploy.bench.path import bench_platform
from services.agent.flows.parley import PARLEY
from services.agent.providers.sphinx_decoder import SphinxDecoder
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
class Heard:
    report: dict[str, Any]
    record: dict[str, Any]
    caller_heard: Any


async def play(
    platform: Platform,
    *turns: str | Press,
    barge_ins: Sequence[float | None] = (),
    knobs: Knobs | None = None,
    quality: LineQuality | None = None,
    limits: CallerScript | None = None,
) -> Heard:
    gateway = f"http://127.0.0.1:{platform.ports['HTTP_PORT']}"
    call_uuid = str(uuid.uuid4())
    facts = CallFacts(
        call_uuid=call_uuid,
        direction=Direction.INBOUND,
        from_number="+918000000001",
        to_number="+918000000002",
        auth_id="MA_LOCAL",
        session_start=datetime.now(UTC),
    )
    async with Cloud() as cloud:
        script = await build_script(
            [turn if isinstance(turn, Press) else SayText(turn) for turn in turns],
            cloud.speaker,
            barge_ins=barge_ins,
            limits=limits,
        )
        plan = CallPlan(
            facts,
            Target(f"{gateway}/answer"),
            hangup=Target(f"{gateway}/hangup"),
            script=script,
            knobs=knobs or Knobs(),
            quality=quality or LineQuality(),
        )
        call = cloud.start(plan)
        await call.over.wait()
        report = build_report(call, cloud.lag)
        recording = call.line.handset.stereo()
    assert report["ok"], report["failures"]
    return Heard(report, platform.record(call_uuid), recording[:, 1])


def said(record: dict[str, Any], who: str) -> list[str]:
    return [entry["text"] for entry in record["transcript"] if entry["who"] == who]


async def test_agent_greets_understands_is_interrupted_and_hangs_up(platform: Platform) -> None:
    heard = await play(
        platform,
        "How does this work?",
        "What can you do?",
        "Goodbye.",
        barge_ins=(None, 2.0, None),
    )
    assert said(heard.record, "caller") == ["how does this work", "what can you do", "goodbye"]
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
    assert platform.metric("voice_agent_sessions_crashed_total") == 0


async def test_what_the_caller_hears_is_whole_continuous_and_unclipped(platform: Platform) -> None:
    heard = await play(platform, "Is it free?", "Goodbye.")
    pcm = heard.caller_heard
    assert np.abs(pcm.astype(np.int32)).max() < 31_000
    assert heard.report["underruns"] == 0
    assert heard.report["heard_level_dbfs"] == pytest.approx(-20, abs=5)
    first = heard.report["spans"]["agent"][0]
    greeting = pcm[int(first["from_ms"] * 8) : int(first["to_ms"] * 8)]
    # As long as the voice takes for it: no first word lost, no gap put in.
    voice = open_voice()
    spoken = sum(
        len(resample(voice.synthesise(text), voice.sample_rate_hz, 8000))
        for text in GREETING.replace("? ", "?|").replace(". ", ".|").split("|")
    )
    voice.close()
    assert len(greeting) == pytest.approx(spoken, rel=0.05)
    # The recogniser hears the greeting's beginning as its first words, and as nothing else.
    beginning = np.concatenate([np.zeros(1600, np.int16), greeting[: int(2.9 * 8000)]])
    phrases = [
        "hello this is parley your voice agent",
        "this is parley your voice agent",
        "parley your voice agent",
        "goodbye and thank you for calling",
    ]
    found = SphinxDecoder().recognise(beginning, phrases, digits=False)
    assert found.text == phrases[0]


async def test_number_is_taken_by_keypad_and_confirmed_by_voice(platform: Platform) -> None:
    heard = await play(platform, "Take my number.", Press("8000000003#"), "Yes.", "Goodbye.")
    texts = " ".join(said(heard.record, "agent"))
    assert "I have noted your number" in texts, heard.record["transcript"]


@pytest.mark.parametrize("shape", ["current", "flat"])
async def test_both_wire_shapes_complete_a_call(platform: Platform, shape: str) -> None:
    knobs = Knobs(
        shape=WIRE_SHAPES[shape],
        hangup=HangupKnob.STOP_EVENT if shape == "flat" else HangupKnob.CLOSE_1000,
    )
    heard = await play(platform, "Who are you?", knobs=knobs)
    assert said(heard.record, "caller") == ["who are you"]
    assert heard.record["end_reason"] == "caller_hung_up"


@pytest.mark.parametrize("mode", [ReconnectKnob.A, ReconnectKnob.B])
async def test_lost_socket_comes_back_to_the_same_conversation(
    platform: Platform, mode: ReconnectKnob
) -> None:
    knobs = Knobs(reconnect=mode, drop_socket_at_s=(3.0,))
    heard = await play(platform, "Is it free?", "Goodbye.", knobs=knobs)
    assert said(heard.record, "agent")[0] == GREETING
    assert len(heard.report["sockets"]) >= 3
    assert heard.record["end_reason"] == "agent_hung_up"


async def test_noise_and_echo_do_not_stop_the_agent(platform: Platform) -> None:
    before = platform.metric("voice_agent_interruptions_total")
    quality = LineQuality(noise_dbfs=-50.0, echo_db=-25.0)
    limits = CallerScript(hangup_at_s=20.0, max_duration_s=25.0)
    heard = await play(platform, quality=quality, limits=limits)
    assert heard.report["false_interruptions_ms"] == []
    assert platform.metric("voice_agent_interruptions_total") == before
    assert said(heard.record, "caller") == []


async def test_ten_thousand_broken_messages_disturb_no_other_call(platform: Platform) -> None:
    flooding = Knobs(garbage_messages=10_000)
    limits = CallerScript(hangup_at_s=12.0, max_duration_s=15.0)
    flooded, calm = await asyncio.gather(
        play(platform, knobs=flooding, limits=limits),
        play(platform, "Is it free?", "Goodbye."),
    )
    assert said(calm.record, "caller") == ["is it free", "goodbye"]
    assert said(flooded.record, "agent")[0] == GREETING
    assert platform.metric("voice_agent_sessions_crashed_total") == 0
