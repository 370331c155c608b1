"""Calls to agents whose vendors fail: one stand-in for each, the platform as processes, a caller.

What a caller notices of a fault is silence. So each call is judged by the handset's recording: how
long until the agent was heard first, how long after the caller's own words, how long in between.
"""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from deploy.bench.rig.local_platform import bench_platform
from services.simulator.calls.call import Call
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.forms import CallFacts
from services.simulator.calls.plan import CallPlan, Target
from services.simulator.calls.timeline import Moment
from services.simulator.person.caller import CallerScript
from services.simulator.person.script import SayText, build_script
from services.simulator.person.speech_span import STEP_SAMPLES, step_levels_dbfs
from shared.protocol.call import Direction
from tests.support.standins import (
    DEEPGRAM_KEY,
    OPENAI_KEY,
    CallTool,
    Fault,
    StandIns,
    World,
)
from tests.support.standins.hearing import HeardWord, Pcm, spread

RATE_HZ = 8000
QUESTION, GOODBYE = "How does this work?", "Goodbye."
ANSWER = "You talk and I answer. It all runs on one machine."
FLOW_ANSWER = "Without a model I know little. Yet I answer."
FLOW_GOODBYE = "Thanks and goodbye."
APOLOGY = "I am sorry, something has gone wrong."
PATIENT = CallerScript(turn_silence_s=2.4, patience_s=8.0, linger_s=5.0, max_duration_s=40.0)
"""A caller who takes a silence of up to 2.4 s for the agent's, to be measured, and leaves the end
of the call to the agent."""
_AUDIBLE_DBFS = -50.0
_STEP_S = STEP_SAMPLES / RATE_HZ
_TONE_HZ = 440
_QUESTION_S, _LOUD = 0.8, 400
_AT_ONCE, _APART_S, _TRIES = 14, 0.4, 3
_BRIEF = {
    "filler": {"texts": ["One moment."]},
    "silence": {"prompts": [], "goodbye": ""},
    "time_limit": "",
}
_FLOW = {
    "steps": {
        "menu": {
            "prompt": "What else?",
            "intents": {"how": {"phrases": ["how does this work"], "say": FLOW_ANSWER}},
        }
    },
    "common": {"bye": {"phrases": ["goodbye"], "say": FLOW_GOODBYE, "then": "hang_up"}},
}


@dataclass(frozen=True)
class Trouble:
    """A fault of a route; see Faults.plan. `is_early`: it is there when the worker starts."""

    route: str
    fault: Fault
    after_events: int = 0
    count: int = 999
    is_early: bool = False


@dataclass(frozen=True)
class Scene:
    """A call to an agent of its own, whose vendors are a stand-in of its own.

    Attributes:
        trouble: what goes wrong.
        stt, llm, tts: its chains; `{url}` stands for the stand-in.
        answer: of its language model to the question.
        more: further fields of the agent's file.
        limits: of its providers.
    """

    trouble: Sequence[Trouble] = ()
    stt: Sequence[Any] = ("deepgram", "offline")
    llm: Sequence[Any] = ("openai", "offline")
    tts: Sequence[Any] = ("openai", "offline")
    greeting: str = "Hello, who is there?"
    answer: str = ANSWER
    more: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)

    def file(self, standins: StandIns) -> dict[str, Any]:
        """Return the agent's file."""

        def at(choice: Any) -> Any:
            if choice == "offline":
                return choice
            name, options = next(iter(choice.items())) if isinstance(choice, dict) else (choice, {})
            url = standins.http_url if name == "deepgram" else standins.openai_base_url
            return {name: {"base_url": url, **options}}

        return {
            "greeting": self.greeting,
            "prompt": "Answer in a sentence.",
            "goodbye": "Goodbye!",
            "failure": {"apology": APOLOGY},
            "flow": _FLOW,
            "providers": {
                kind: [at(choice) for choice in getattr(self, kind)]
                for kind in ("stt", "llm", "tts")
            },
            "limits": dict(self.limits),
            "turn_taking": _BRIEF,
            **self.more,
        }


class LengthEar:
    """Knows the caller's two sentences apart by their length, in whatever pieces they come."""

    def begin(self) -> str:
        return ""

    def give_back(self, text: str) -> None:
        pass

    def words(self, pcm: Pcm, start_s: float, text: str, *, is_over: bool) -> list[HeardWord]:
        loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > _LOUD)
        seconds = float(loud[-1] - loud[0]) / RATE_HZ if len(loud) else 0.0
        if seconds < _QUESTION_S:
            return spread(GOODBYE, start_s, seconds) if is_over and len(loud) else []
        words = spread(QUESTION, start_s, seconds)
        return words if is_over else words[:2]


def world_of(scene: Scene) -> World:
    """Return what a scene's vendors hear, think and say; speech is a tone, told from a voice."""
    world = World(ear=LengthEar())
    world.talker.rules = [("work", scene.answer), ("bye", CallTool("hang_up"))]
    world.talker.first_s, world.talker.token_s = 0.05, 0.01
    world.mouth.is_tone = True
    return world


# --- what was heard -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Heard:
    """What came of a call: its recording, its record and what the cloud noted."""

    pcm: NDArray[np.int16]
    said: Sequence[tuple[float, float]]
    record: dict[str, Any]
    call: Call

    def _sounds(self) -> NDArray[np.bool_]:
        loud: NDArray[np.bool_] = step_levels_dbfs(self.pcm) > _AUDIBLE_DBFS
        return loud

    @property
    def first_s(self) -> float:
        """When the agent was heard first, from the answer on."""
        loud = np.flatnonzero(self._sounds())
        answered_s = self.call.timeline.first(Moment.ANSWERED) or 0.0
        return float(loud[0]) * _STEP_S - answered_s if len(loud) else float("inf")

    @property
    def waits_s(self) -> list[float]:
        """For each thing the caller said: how long until the agent was heard."""
        loud = np.flatnonzero(self._sounds()) * _STEP_S
        waits = []
        for _, end_s in self.said:
            later = loud[loud >= end_s]
            waits.append(float(later[0]) - end_s if len(later) else float("inf"))
        return waits

    @property
    def longest_gap_s(self) -> float:
        """The longest silence of the agent within what it said in a turn."""
        longest = 0.0
        borders = [0.0, *(s for span in self.said for s in span), len(self.pcm) / RATE_HZ]
        loud = np.flatnonzero(self._sounds()) * _STEP_S
        for begin_s, end_s in zip(borders[::2], borders[1::2], strict=True):
            turn = loud[(loud >= begin_s) & (loud < end_s)]
            if len(turn) > 1:
                longest = max(longest, float(np.diff(turn).max()))
        return longest

    @property
    def dead_air_s(self) -> float:
        """The longest silence where the agent should have been heard."""
        return max(self.first_s, *self.waits_s, self.longest_gap_s)

    def transcript(self, who: str) -> list[str]:
        """What one side said, by the record."""
        return [entry["text"] for entry in self.record["transcript"] if entry["who"] == who]

    @property
    def caller_words(self) -> list[str]:
        """What the caller said, by the record, without signs."""
        return [re.sub(r"[^a-z ]", "", text.lower()) for text in self.transcript("caller")]

    def is_tone(self, turn: int) -> bool:
        """Whether the last thing heard in a turn, 0 the greeting, is the vendor's voice: a tone."""
        until = [int(onset_s * RATE_HZ) for onset_s, _ in self.said] + [len(self.pcm)]
        loud = np.flatnonzero(self._sounds()) * STEP_SAMPLES
        last = loud[loud < until[turn]][-1]
        part = self.pcm[max(0, last - RATE_HZ // 3) : last].astype(np.float64)
        power = np.abs(np.fft.rfft(part)) ** 2
        hz = np.fft.rfftfreq(len(part), 1 / RATE_HZ)
        return float(power[np.abs(hz - _TONE_HZ) < 15].sum()) > 0.8 * float(power[1:].sum())


# --- the platform -------------------------------------------------------------------------------


class Stage:
    """The platform with a stand-in for each scene."""

    def __init__(self, folder: Path, ports: dict[str, int], standins: dict[str, StandIns]) -> None:
        self._folder = folder
        self._ports = ports
        self.standins = standins

    @property
    def worker_log(self) -> list[dict[str, Any]]:
        """What the worker has logged."""
        lines = (self._folder / "logs" / "agent-1.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def _get(self, port: str, path: str) -> bytes:
        url = f"http://127.0.0.1:{self._ports[port]}{path}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            got: bytes = answer.read()
        return got

    async def metrics(self) -> dict[str, float]:
        """The worker's metrics, each line's name with its labels."""
        text = (await asyncio.to_thread(self._get, "AGENT_METRICS_PORT", "/metrics")).decode()
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    async def _stalls(self) -> float:
        """How often the worker's loop was late by a fifth of a second or more."""
        metrics, name = await self.metrics(), "voice_runtime_loop_lag_seconds"
        return metrics[f"{name}_count"] - metrics[f'{name}_bucket{{le="0.2"}}']

    async def _record(self, call_uuid: str) -> dict[str, Any]:
        for _ in range(50):
            path = f"/calls/{call_uuid}"
            record: dict[str, Any] = json.loads(
                await asyncio.to_thread(self._get, "HTTP_PORT", path)
            )
            if record["ended_at"] and "transcript" in record:
                break
            await asyncio.sleep(0.1)
        return record

    async def play(
        self, cloud: Cloud, names: Sequence[str], *, most_s: float = 2.0
    ) -> dict[str, Heard]:
        """Call scenes' agents, so many at once, one after another begun.

        A call that did not go well, or had more silence than `most_s`, is played again where the
        machine has stood still meanwhile, by the worker's own measure: what was heard then was
        not the fault. One that was, is heard again.
        """
        gate, stalls = asyncio.Semaphore(_AT_ONCE), await self._stalls()

        async def one(place: int, name: str) -> Heard:
            await asyncio.sleep(place * _APART_S)
            async with gate:
                for _ in range(_TRIES):
                    heard = await self._call(cloud, name)
                    is_well = heard.record["end_reason"] == "agent_hung_up"
                    is_well = is_well and heard.dead_air_s <= most_s
                    if is_well or await self._stalls() == stalls:
                        break
                return heard

        heard = await asyncio.gather(*(one(*pair) for pair in enumerate(names)))
        return dict(zip(names, heard, strict=True))

    async def _call(self, cloud: Cloud, name: str) -> Heard:
        gateway = f"http://127.0.0.1:{self._ports['HTTP_PORT']}"
        facts = CallFacts(
            call_uuid=str(uuid.uuid4()),
            direction=Direction.INBOUND,
            from_number="+918000000001",
            to_number="+918000000002",
            auth_id="MA_LOCAL",
            session_start=datetime.now(UTC),
        )
        turns = [SayText(QUESTION), SayText(GOODBYE)]
        script = await build_script(turns, cloud.speaker, limits=PATIENT)
        call = cloud.start(
            CallPlan(
                facts,
                Target(f"{gateway}/answer?agent={name}"),
                hangup=Target(f"{gateway}/hangup"),
                script=script,
            )
        )
        await call.over.wait()
        said = [(s.onset / RATE_HZ, s.speech_end / RATE_HZ) for s in call.line.said_spans]
        record = await self._record(call.call_uuid)
        return Heard(call.line.handset.heard(), said, record, call)


@asynccontextmanager
async def on_stage(folder: Path, scenes: Mapping[str, Scene]) -> AsyncIterator[Stage]:
    """Start a stand-in for each scene and the platform with all their agents; then come faults."""
    async with AsyncExitStack() as stack:
        standins = {}
        files = folder / "agents"
        files.mkdir(parents=True)
        for name, scene in scenes.items():
            standin = standins[name] = await stack.enter_async_context(StandIns(world_of(scene)))
            _plan(standin, scene, is_early=True)
            (files / f"{name}.yaml").write_text(yaml.safe_dump(scene.file(standin)))
        default = {"greeting": "Hello.", "flow": _FLOW}
        (files / "default.yaml").write_text(yaml.safe_dump(default))
        settings = {
            "AGENT_FILES": str(files),
            "OPENAI_API_KEY": OPENAI_KEY,
            "DEEPGRAM_API_KEY": DEEPGRAM_KEY,
            "LOG_FORMAT": "json",
        }
        platform = bench_platform(str(folder / "platform"), settings)
        ports = await asyncio.to_thread(platform.__enter__)
        stack.push_async_callback(asyncio.to_thread, platform.__exit__, None, None, None)
        for name, scene in scenes.items():
            standins[name].world.mouth.first_s, standins[name].world.mouth.pace_s = 0.05, 0.02
            standins[name].world.requests.clear()
            _plan(standins[name], scene, is_early=False)
        yield Stage(folder / "platform", ports, standins)


def _plan(standin: StandIns, scene: Scene, *, is_early: bool) -> None:
    for one in scene.trouble:
        if one.is_early == is_early:
            standin.world.faults.plan(
                one.route, one.fault, one.count, after_events=one.after_events
            )
