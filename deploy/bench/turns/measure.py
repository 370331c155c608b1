"""Turns with vendors: what the platform itself adds to the time until a caller is answered.

The platform runs as processes, its agent on Deepgram and OpenAI; both are stand-ins in this
process, with stated latencies, and note their own times. The calls are the simulator's, in this
process too, so all times but the worker's are of one clock.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from deploy.bench.interruptions.sounds import said
from deploy.bench.rig.callers import inbound_plan
from deploy.bench.rig.local_platform import bench_platform
from deploy.bench.turns.costs import Seen, TurnCost, cost_of, first_frame, summaries
from deploy.bench.turns.tape import Tape, TurnTimes, frames_came, trip_of
from services.simulator.calls.call import Call
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.timeline import Moment
from services.simulator.line.handset import FRAME_SAMPLES, SAMPLE_RATE_HZ
from services.simulator.line.line import LineQuality, SaidSpan
from services.simulator.person.caller import CallerScript, Utterance
from services.simulator.results.report import first_sound
from shared.speech import open_voice
from tests.support.standins import DEEPGRAM_KEY, OPENAI_KEY, ScriptedEar, StandIns, World
from tests.support.standins.speaking import Mouth, Pcm

STT_FINAL_S = 0.06
FIRST_TOKEN_S = 0.12
TOKEN_S = 0.015
FIRST_CHUNK_S = 0.09
_TONE_HZ = 440.0
_TONE_S_PER_CHAR = 0.02
_SAID = ("Can you tell me more?", "How much does it cost?", "And what about that?")
_RECORD_WAIT_S = 5.0
_NEVER_S = 1e6
_LATE_MS = 10.0
MOST_OVERHEAD_MS = {"p50": 15.0, "p95": 40.0}
_AGENT = """\
description: Answers about trips, by stand-ins of the vendors.
greeting: Hello, ask me about a trip.
prompt: You know trips by their numbers.
providers:
  stt: [{{deepgram: {{base_url: "{http}"}}}}]
  llm: [{{openai: {{base_url: "{http}/v1"}}}}]
  tts: [{{openai: {{base_url: "{http}/v1"}}}}]
turn_taking: {{filler: {{texts: []}}}}
"""


@dataclass(frozen=True, slots=True)
class VendorTurns:
    """The turns of so many calls at once.

    Attributes:
        calls: at once.
        turns: that could be taken apart.
        left_out: turns without an answer, or whose answer did not come the usual way.
        parts_ms: by part of TurnCost: count, p50, p95, max.
        late_first_audio: turns whose first audio did not leave before the model's last token.
        is_client_the_bottleneck: this process was late itself.
        costs: each turn.
    """

    calls: int
    turns: int
    left_out: int
    parts_ms: dict[str, dict[str, Any]]
    late_first_audio: int
    is_client_the_bottleneck: bool
    costs: tuple[TurnCost, ...]

    @property
    def is_quick(self) -> bool:
        """Whether the platform's overhead is within what it may be."""
        overhead = self.parts_ms["overhead"]
        return all(overhead[name] <= most for name, most in MOST_OVERHEAD_MS.items())


class _TripEar(ScriptedEar):
    """Hears a question about another trip in each utterance."""

    def __init__(self) -> None:
        super().__init__()
        self._trips = count(1)

    def begin(self) -> str:
        return f"Tell me about trip {next(self._trips)}, please."

    def give_back(self, text: str) -> None:
        """A number is not used twice."""


class _ToneMouth(Mouth):
    """A tone that is made at once and streamed faster than it sounds."""

    async def speak(self, text: str, rate_hz: int) -> AsyncIterator[Pcm]:
        times = np.arange(int(_TONE_S_PER_CHAR * len(text) * rate_hz)) / rate_hz
        tone = np.rint(4600 * np.sin(2 * np.pi * _TONE_HZ * times)).astype(np.int16)
        step = int(self.chunk_s * rate_hz)
        for at in range(0, len(tone), step):
            yield tone[at : at + step]


def _answer(body: Mapping[str, Any]) -> str:
    trip = trip_of(str(body["messages"][-1]["content"]))
    return (
        f"Trip {trip} begins early and goes by the sea. It is a long way, so take a book with you."
        f" Trip {trip} ends when the lights are on."
    )


def measure_turns(at_once: Sequence[int], turns: int) -> list[VendorTurns]:
    """Play calls of so many turns each, at each number of calls at once.

    Raises:
        StartFailed: the platform did not start.
        RuntimeError: no turn could be taken apart.
    """
    return asyncio.run(_measure(at_once, turns))


async def _measure(at_once: Sequence[int], turns: int) -> list[VendorTurns]:
    tape = Tape(STT_FINAL_S)
    script, warm_up = _script(turns), _script(1)
    found = []
    async with StandIns(_world(tape)) as standins, _platform(standins) as ports:
        async with Cloud() as cloud:
            await _play(cloud, ports, [warm_up])  # what loads at a first call
        for number in at_once:
            async with Cloud() as cloud:
                calls = await _play(cloud, ports, [script] * number)
                is_late = cloud.lag.percentile_ms(99) > _LATE_MS
            found.append(await _take_apart(calls, turns, tape, ports, is_late=is_late))
    return found


def _world(tape: Tape) -> World:
    # Each question is settled in one piece, by which the turn is known.
    world = World(
        ear=_TripEar(), mouth=_ToneMouth(), answers_delay_s=STT_FINAL_S, final_every_s=_NEVER_S
    )
    world.talker.first_s, world.talker.token_s = FIRST_TOKEN_S, TOKEN_S
    world.mouth.first_s, world.mouth.pace_s = FIRST_CHUNK_S, 0.02
    world.talker.answer = _answer  # type: ignore[method-assign]

    def watch(route: str, number: int, goes_out: bool, data: bytes | str) -> None:
        tape.note(time.monotonic(), route, number, data, goes_out=goes_out)

    world.watch = watch
    return world


@asynccontextmanager
async def _platform(standins: StandIns) -> AsyncIterator[dict[str, int]]:
    """Run the platform; it is started and stopped beside the loop, which it needs for vendors."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-bench-")))
        files = folder / "agents"
        files.mkdir()
        (files / "default.yaml").write_text(_AGENT.format(http=standins.http_url))
        settings = {
            "AGENT_FILES": str(files),
            "DEEPGRAM_API_KEY": DEEPGRAM_KEY,
            "OPENAI_API_KEY": OPENAI_KEY,
            **dict.fromkeys(("AGENT_STT", "AGENT_LLM", "AGENT_TTS", "AGENT_SYSTEM_PROMPT"), ""),
        }
        platform = bench_platform(str(folder), settings)
        ports = await asyncio.to_thread(platform.__enter__)
        try:
            yield ports
        finally:
            await asyncio.to_thread(platform.__exit__, None, None, None)


def _script(turns: int) -> CallerScript:
    voice = open_voice()
    sounds = [said(text, voice, -20.0) for text in _SAID]
    voice.close()
    return CallerScript(
        turns=tuple(
            Utterance(sounds[n % len(sounds)], _SAID[n % len(_SAID)]) for n in range(turns)
        ),
        max_duration_s=30.0 + 12.0 * turns,
    )


async def _play(
    cloud: Cloud, ports: Mapping[str, int], scripts: Sequence[CallerScript]
) -> list[Call]:
    calls = []
    for script in scripts:
        calls.append(
            cloud.start(inbound_plan(ports["HTTP_PORT"], script, LineQuality(noise_dbfs=-60.0)))
        )
        await asyncio.sleep(0.37)  # nobody begins at the same moment
    for call in calls:
        await call.over.wait()
    return calls


# --- taking apart -------------------------------------------------------------------------------


async def _take_apart(
    calls: Sequence[Call], turns: int, tape: Tape, ports: Mapping[str, int], *, is_late: bool
) -> VendorTurns:
    costs: list[TurnCost] = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports['HTTP_PORT']}") as gateway:
        for call in calls:
            costs += _costs(call, await _transcript(gateway, call.call_uuid), tape)
    if not costs:
        raise RuntimeError("no turn with vendors was answered as it should be")
    return VendorTurns(
        calls=len(calls),
        turns=len(costs),
        left_out=turns * len(calls) - len(costs),
        parts_ms=summaries(costs),
        late_first_audio=sum(cost.before_last_token <= 0 for cost in costs),
        is_client_the_bottleneck=is_late,
        costs=tuple(costs),
    )


async def _transcript(gateway: httpx.AsyncClient, call_id: str) -> list[dict[str, Any]]:
    deadline_s = time.monotonic() + _RECORD_WAIT_S
    while time.monotonic() < deadline_s:
        record = (await gateway.get(f"/calls/{call_id}")).json()
        if record.get("transcript") and record.get("ended_at"):
            return list(record["transcript"])
        await asyncio.sleep(0.1)
    return []


def _costs(call: Call, transcript: Sequence[dict[str, Any]], tape: Tape) -> list[TurnCost]:
    """Take the turns of a call apart; those that took another way are left out."""
    asked = [trip_of(entry["text"]) for entry in transcript if entry["who"] == "caller"]
    if len(asked) != len(call.line.said_spans):
        return []
    answers = {
        trip_of(entry["text"]): entry
        for entry in transcript
        if entry["who"] == "agent" and "total" in entry.get("latency_ms", {})
    }
    turns = [
        turn
        for trip, span in zip(asked, call.line.said_spans, strict=True)
        if trip in answers and (turn := _heard_turn(call, span, answers[trip], trip or 0, tape))
    ]
    if not turns:
        return []
    # The worker's clock, by the first audio of the call that was the quickest to arrive.
    worker_s = min(turn.audio_s - turn.entry["at_ms"] / 1000 for turn in turns)
    return [cost_of(turn.seen(worker_s), turn.vendors) for turn in turns]


@dataclass(frozen=True, slots=True)
class _HeardTurn:
    """A turn as the cloud heard it, with the worker's entry of the answer."""

    speech_end_s: float
    frame_end_s: float
    frame_had_s: float
    audio_s: float
    sound_s: float
    entry: dict[str, Any]
    vendors: TurnTimes

    def seen(self, worker_s: float) -> Seen:
        """Return it with the worker's times; `worker_s` is when the worker's clock began."""
        stages = self.entry["latency_ms"]
        ended_s = worker_s + (self.entry["at_ms"] - stages["total"]) / 1000
        return Seen(
            speech_end_s=self.speech_end_s,
            frame_end_s=self.frame_end_s,
            frame_had_s=self.frame_had_s,
            decided_s=ended_s + stages["endpointing"] / 1000,
            audio_s=self.audio_s,
            sound_s=self.sound_s,
            stages_ms=stages,
        )


def _heard_turn(
    call: Call, span: SaidSpan, entry: dict[str, Any], trip: int, tape: Tape
) -> _HeardTurn | None:
    socket, vendors = tape.socket_of(trip), tape.turn(trip)
    audio_s = _audio_begins_s(call, span.speech_end)
    sound = first_sound(call.line.handset, span.speech_end)
    if socket is None or vendors is None or audio_s is None or sound is None:
        return None
    came_s = frames_came(socket)
    frame = span.speech_end // FRAME_SAMPLES
    return _HeardTurn(
        speech_end_s=_time_s(call, span.speech_end),
        frame_end_s=_time_s(call, (frame + 1) * FRAME_SAMPLES),
        frame_had_s=came_s[frame - first_frame(came_s, call.leg.origin_s)],
        audio_s=audio_s,
        sound_s=_time_s(call, sound),
        entry=entry,
        vendors=vendors,
    )


def _time_s(call: Call, sample: int) -> float:
    return call.leg.origin_s + sample / SAMPLE_RATE_HZ


def _audio_begins_s(call: Call, sample: int) -> float | None:
    """When the first audio arrived after a moment of the recording."""
    after_s = sample / SAMPLE_RATE_HZ
    events = call.timeline.of(Moment.AUDIO_BEGINS)
    at_s = next((event.at_s for event in events if event.at_s > after_s), None)
    return None if at_s is None else call.leg.origin_s + at_s
