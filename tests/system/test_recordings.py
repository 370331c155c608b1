"""Recordings of real calls, against what the simulator's handset heard.

The platform runs as processes: workers write into a folder, a gateway reads it.
"""

from __future__ import annotations

import asyncio
import io
import time
import uuid
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.local.install import ROOT
from services.simulator.calls.call import Call
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.forms import CallFacts
from services.simulator.calls.knobs import Knobs, ReconnectKnob
from services.simulator.calls.plan import CallPlan, Target
from services.simulator.person.caller import CallerScript
from services.simulator.person.script import SayText, build_script
from services.simulator.results.report import barge_ins
from shared.protocol.call import Direction
from tests.support.heard_alike import FRAME, Likeness, compare
from tests.support.processes import Crew
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


@dataclass(frozen=True)
class Scene:
    turns: tuple[str, ...] = ("Goodbye.",)
    barge_ins: tuple[float | None, ...] = (None,)
    knobs: Knobs = field(default_factory=Knobs)
    limits: CallerScript = field(default_factory=lambda: CallerScript(turn_silence_s=1.0))


@dataclass(frozen=True)
class Recorded:
    """A call and its recording."""

    call: Call
    index: dict[str, Any]
    pcm: NDArray[np.int16]

    @property
    def likeness(self) -> Likeness:
        line = self.call.line
        spans = [(span.start, span.end) for span in line.agent_spans]
        return compare(self.pcm, line.handset.stereo(), spans)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def crew(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    folder = tmp_path_factory.mktemp("crew")
    settings = {
        "RECORDINGS_URL": str(folder / "recordings"),
        "AGENT_RECORDING_SWEEP_S": "2",
    }
    crew = Crew(folder, server.url, settings=settings)
    # Of the shipped agents one is enough: each speaks its fixed sentences before calls are taken.
    for name in ("default.yaml", "flows/parley.yaml"):
        copy = folder / "agents" / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text((ROOT / "deploy" / "agents" / name).read_text())
    try:
        crew.start()
        yield crew
    finally:
        crew.stop()


async def plan_of(crew: Crew, cloud: Cloud, scene: Scene) -> CallPlan:
    facts = CallFacts(
        call_uuid=str(uuid.uuid4()),
        direction=Direction.INBOUND,
        from_number="+918000000001",
        to_number="+918000000002",
        auth_id="MA_LOCAL",
        session_start=datetime.now(UTC),
    )
    script = await build_script(
        [SayText(turn) for turn in scene.turns],
        cloud.speaker,
        barge_ins=scene.barge_ins,
        limits=scene.limits,
    )
    return CallPlan(
        facts,
        Target(f"{crew.url}/answer"),
        hangup=Target(f"{crew.url}/hangup"),
        script=script,
        knobs=scene.knobs,
    )


def read_index(crew: Crew, call_id: str, *, within_s: float = 15.0) -> dict[str, Any]:
    """What is known of a recording, once it is complete."""
    deadline_s = time.monotonic() + within_s
    while True:
        answer = httpx.get(f"{crew.url}/calls/{call_id}/recording", trust_env=False)
        if answer.status_code == 200 and answer.json()["is_complete"]:
            found: dict[str, Any] = answer.json()
            return found
        assert time.monotonic() < deadline_s, f"{answer.status_code}: {answer.text}"
        time.sleep(0.1)


def read_wav(crew: Crew, call_id: str) -> NDArray[np.int16]:
    answer = httpx.get(f"{crew.url}/calls/{call_id}/recording.wav", trust_env=False)
    with wave.open(io.BytesIO(answer.raise_for_status().content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)


async def play(crew: Crew, scenes: dict[str, Scene]) -> dict[str, Recorded]:
    async with Cloud() as cloud:
        plans = {name: await plan_of(crew, cloud, scene) for name, scene in scenes.items()}
        calls = {name: cloud.start(plan) for name, plan in plans.items()}
        for name, call in calls.items():
            if name == "killed":  # when the others are over: they may be the same worker's
                await asyncio.to_thread(kill_holder, crew, call.call_uuid)
            await call.over.wait()
    return {name: recorded(crew, call) for name, call in calls.items()}


def recorded(crew: Crew, call: Call) -> Recorded:
    index = read_index(crew, call.call_uuid)
    return Recorded(call, index, read_wav(crew, call.call_uuid))


SCENES = {
    "interrupted": Scene(barge_ins=(4.0,)),
    "reconnect A": Scene(
        barge_ins=(6.5,),
        knobs=Knobs(reconnect=ReconnectKnob.A, drop_socket_at_s=(3.0,)),
        limits=CallerScript(turn_silence_s=2.0),
    ),
    "reconnect B": Scene(
        barge_ins=(6.5,),
        knobs=Knobs(reconnect=ReconnectKnob.B, drop_socket_at_s=(3.0,)),
        limits=CallerScript(turn_silence_s=2.0),
    ),
    "killed": Scene((), (), limits=CallerScript(hangup_at_s=15.0, max_duration_s=20.0)),
}


@pytest.fixture(scope="module")
def talks(crew: Crew) -> dict[str, Recorded]:
    return asyncio.run(play(crew, SCENES))


def undisturbed(crew: Crew, heard: Recorded, is_fine: Callable[[Recorded], bool]) -> Recorded:
    """Where the machine was so busy that frames came late or played out: once more, alone."""
    for _ in range(2):
        if is_fine(heard):
            break
        heard = asyncio.run(play(crew, {"interrupted": SCENES["interrupted"]}))["interrupted"]
    return heard


def barge_in_heard_and_told(crew: Crew, call: Call) -> tuple[float, float]:
    """Onset of speech to silence, in ms: at the handset, and on the call's page."""
    (heard,) = [b.latency_ms for b in barge_ins(call.line.said_spans, call.line.agent_spans)]
    # By this name: an open console answers to no other.
    url = f"{crew.gateways[0].url}/console/api/calls/{call.call_uuid}".replace(
        "127.0.0.1", "localhost"
    )
    marks = httpx.get(url, trust_env=False).raise_for_status().json()["marks"]
    (told,) = [mark["ms"] for mark in marks if mark["kind"] == "barge_in"]
    assert heard is not None
    return heard, told


def test_a_recording_is_what_the_handset_heard_within_one_frame(
    crew: Crew, talks: dict[str, Recorded]
) -> None:
    heard = undisturbed(
        crew,
        talks["interrupted"],
        lambda one: one.likeness.worst_shift <= FRAME and one.likeness.strays <= FRAME,
    )
    likeness = heard.likeness
    assert any(str(span.ended_by) == "clear" for span in heard.call.line.agent_spans)
    assert likeness.said_differs == 0
    assert likeness.worst_shift <= FRAME, likeness
    assert all(differs <= FRAME for _, differs in likeness.spans), likeness
    assert likeness.strays <= FRAME, likeness
    assert heard.index["missing"] == []
    assert [part["is_whole"] for part in heard.index["parts"]] == [True]


@pytest.mark.parametrize("mode", ["A", "B"])
def test_a_call_whose_socket_was_lost_is_one_recording(
    talks: dict[str, Recorded], mode: str
) -> None:
    heard = talks[f"reconnect {mode}"]
    likeness = heard.likeness
    assert likeness.worst_shift <= 2 * FRAME, likeness
    assert likeness.strays <= 2 * FRAME, likeness
    assert len(heard.index["missing"]) == 1, "the time between the sockets"


def test_a_waveform_shows_where_each_side_speaks(crew: Crew, talks: dict[str, Recorded]) -> None:
    heard = talks["interrupted"]
    url = f"{crew.url}/calls/{heard.call.call_uuid}/waveform"
    shown = httpx.get(url, params={"bins": 300}, trust_env=False).json()
    assert shown["duration_ms"] == heard.index["duration_ms"]
    for side, name in enumerate(("caller", "agent")):
        assert len(shown[name]) == 300
        loudest = np.abs(heard.pcm[:, side].astype(np.int32)).max() / 32124
        assert max(shown[name]) == pytest.approx(loudest, abs=0.01)


def test_the_record_says_that_the_call_was_recorded(crew: Crew, talks: dict[str, Recorded]) -> None:
    heard = talks["interrupted"]
    record = httpx.get(f"{crew.url}/calls/{heard.call.call_uuid}", trust_env=False).json()
    assert record["recording"]["duration_ms"] == pytest.approx(heard.index["duration_ms"], abs=40)
    assert "stopped" not in record["recording"]


@pytest.mark.alone
def test_the_calls_page_tells_of_the_silence_after_barging_in_that_the_handset_heard(
    crew: Crew, talks: dict[str, Recorded]
) -> None:
    def differ_ms(one: Recorded) -> float:
        heard_ms, told_ms = barge_in_heard_and_told(crew, one.call)
        return abs(heard_ms - told_ms)

    assert (
        differ_ms(undisturbed(crew, talks["interrupted"], lambda one: differ_ms(one) <= 20)) <= 20
    )


def test_the_list_has_it_and_what_is_removed_is_gone(
    crew: Crew, talks: dict[str, Recorded]
) -> None:
    listed = httpx.get(f"{crew.url}/recordings", trust_env=False).json()
    ids = [one["call_id"] for one in listed["recordings"]]
    assert set(ids) >= {heard.call.call_uuid for heard in talks.values()}
    url = f"{crew.url}/calls/{talks['reconnect B'].call.call_uuid}/recording"
    assert httpx.delete(url, trust_env=False).status_code == 204
    assert httpx.get(url, trust_env=False).status_code == 404


def test_a_killed_worker_loses_the_last_second_or_two_alone(talks: dict[str, Recorded]) -> None:
    heard = talks["killed"]
    first, second = heard.index["parts"]
    assert (first["is_whole"], second["is_whole"]) == (False, True)
    assert first["worker_id"] != second["worker_id"]
    # The gateway gives the next worker the caller's last seconds again.
    assert heard.index["missing"] == []
    assert second["from_ms"] <= first["until_ms"]
    sound = [np.count_nonzero(s[:, 1]) for s in (heard.pcm, heard.call.line.handset.stereo())]
    assert 0 <= sound[1] - sound[0] <= 2 * 8000, "samples of the agent's that nobody has"
    assert sound[0] > 8000


def kill_holder(crew: Crew, call_id: str) -> None:
    record = httpx.get(f"{crew.url}/calls/{call_id}", trust_env=False).json()
    next(w for w in crew.workers if str(w.pid) in record["worker_id"]).kill()


def test_the_folder_holds_what_the_layout_says(crew: Crew, talks: dict[str, Recorded]) -> None:
    folder = Path(crew.settings["RECORDINGS_URL"])
    call_id = talks["interrupted"].call.call_uuid
    names = sorted(path.name for path in (folder / "calls" / call_id).iterdir())
    assert names == ["audio.ulaw", "index.json", "peaks.bin"]
    assert not (folder / "open" / call_id).exists()
