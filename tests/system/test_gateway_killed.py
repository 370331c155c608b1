"""A gateway is killed under calls: each comes back by another one, to its own session.

Processes as operators run them: two gateways, two workers, a Redis; the cloud is the simulator,
which takes the same URL to the other gateway as a balancer does. The agent tells a story, so that a
sentence lost, told again, or a second greeting shows in the call's record.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from services.simulator.calls.call import Call
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.forms import CallFacts
from services.simulator.calls.knobs import Knobs, ReconnectKnob
from services.simulator.calls.plan import CallPlan, Target
from services.simulator.calls.timeline import Moment
from services.simulator.person.caller import CallerScript
from shared.protocol.call import Direction
from tests.support.ports import free_ports
from tests.support.redis_server import RedisServer
from tests.system.test_gateway_process import Process, gateway_process

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / ".parley" / "gateway_killed.json"
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_RECONNECT_DELAY_S = 1.0
_WORKER_READY_S = 30.0
_TRIES, _STOOD_STILL_MS = 3, 300.0


def story(sentences: int) -> list[str]:
    return [f"This is sentence number {number} of a story." for number in _NUMBERS[:sentences]]


@dataclass(frozen=True)
class Pass:
    """What is played: so many calls, begun within `over_s`, the gateway killed `kill_s` later."""

    calls: int
    over_s: float
    kill_s: float
    hangup_s: float
    sentences: int
    modes: Sequence[ReconnectKnob]


@dataclass(frozen=True)
class Back:
    """One call after it all: the simulator's times, in seconds, and the platform's record.

    Each is from when the cloud tried again first; `refused` tries came before the good one.
    """

    mode: str
    open_s: float
    audio_s: float
    silence_s: float
    refused: int
    worker_before: str
    record: dict[str, Any]

    @property
    def told(self) -> list[str]:
        said = " ".join(e["text"] for e in self.record["transcript"] if e["who"] == "agent")
        return [f"{part.strip()}." for part in said.split(".") if part.strip()]


@asynccontextmanager
async def worker_process(log: Path, **environment: str) -> AsyncIterator[None]:
    """`python -m services.agent`, ready for calls; what it says goes to a file."""
    port, metrics_port = free_ports(2)
    ours = {
        **{"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
        **{"WS_HOST": "127.0.0.1", "AGENT_ADVERTISE_HOST": "127.0.0.1"},
        **{"AGENT_WS_PORT": str(port), "AGENT_METRICS_PORT": str(metrics_port)},
        **{"AGENT_CAPACITY": "30", "AGENT_LATENESS_BUDGET_S": "2"},
    }
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "services.agent"),
            env=ours | environment,
            cwd=ROOT,
            stdout=out,
            stderr=out,
        )
    try:
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(_WORKER_READY_S):
            while not await _is_ready(client, f"http://127.0.0.1:{metrics_port}/readyz"):
                assert process.returncode is None, "the worker did not start"
                await asyncio.sleep(0.1)
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False


@asynccontextmanager
async def platform(
    redis: RedisServer, folder: Path, told: Sequence[str]
) -> AsyncIterator[list[Process]]:
    """Two workers and two gateways."""
    agents = folder / "agents"
    agents.mkdir()
    agent = {
        "greeting": " ".join(told),
        "greeting_interruptible": False,
        "prompt": "Tell a story.",
        "providers": {"stt": ["offline"], "llm": ["offline"], "tts": ["offline"]},
        "turn_taking": {"silence": {"after_s": 60}},
        "flow": {"steps": {"menu": {"prompt": "What else?", "intents": {}}}},
    }
    (agents / "default.yaml").write_text(yaml.safe_dump(agent))
    async with AsyncExitStack() as stack:
        settings = {"REDIS_URL": redis.url, "AGENT_FILES": str(agents)}
        for name in ("worker-a.log", "worker-b.log"):
            await stack.enter_async_context(worker_process(folder / name, **settings))
        gateways = [
            await stack.enter_async_context(gateway_process(REDIS_URL=redis.url)) for _ in range(2)
        ]
        for gateway in gateways:
            await gateway.until_up()
            await gateway.until_status("/readyz", 200)
        yield gateways


def plan(first: Process, other: Process, mode: ReconnectKnob, hangup_s: float) -> CallPlan:
    """A caller who listens; what the cloud asks after the loss, it asks the other gateway."""
    facts = CallFacts(
        call_uuid=str(uuid.uuid4()),
        direction=Direction.INBOUND,
        from_number="+918000000001",
        to_number="+918000000002",
        auth_id="MA_LOCAL",
        session_start=datetime.now(UTC),
    )
    knobs = Knobs(
        reconnect=mode,
        reconnect_delay_s=_RECONNECT_DELAY_S,
        reconnect_to=other.base.removeprefix("http://"),
    )
    return CallPlan(
        facts,
        Target(f"{first.base}/answer"),
        hangup=Target(f"{other.base}/hangup"),
        script=CallerScript(hangup_at_s=hangup_s, max_duration_s=hangup_s + 5),
        knobs=knobs,
    )


async def play(name: str, one: Pass, gateways: Sequence[Process]) -> tuple[list[Back], float]:
    """Play the calls, kill the first gateway under them, and gather what came of each.

    The figures are kept under `name`, for people.

    Returns:
        the calls, and how late the simulator itself was, 99th percentile, in milliseconds.
    """
    first, other = gateways
    async with Cloud() as cloud:
        calls: list[tuple[Call, ReconnectKnob]] = []
        for n in range(one.calls):
            mode = one.modes[n % len(one.modes)]
            calls.append((cloud.start(plan(first, other, mode, one.hangup_s)), mode))
            await asyncio.sleep(one.over_s / one.calls)
        await asyncio.sleep(one.kill_s)
        before = [await record_of(first, call) for call, _ in calls]
        first.signal(signal.SIGKILL)
        for call, _ in calls:
            await call.over.wait()
        lag_ms = cloud.lag.percentile_ms(99)
    backs = [
        back_of(call, mode, known["worker_id"], await record_of(other, call, is_final=True))
        for (call, mode), known in zip(calls, before, strict=True)
    ]
    note(name, backs, lag_ms)
    return backs, lag_ms


async def record_of(gateway: Process, call: Call, *, is_final: bool = False) -> dict[str, Any]:
    for _ in range(100):
        record: dict[str, Any] = (await gateway.client.get(f"/calls/{call.call_uuid}")).json()
        if not is_final or (record.get("ended_at") and record.get("transcript")):
            break
        await asyncio.sleep(0.1)
    return record


def back_of(call: Call, mode: ReconnectKnob, worker: str, record: dict[str, Any]) -> Back:
    events = call.timeline
    opened = [event.at_s for event in events.of(Moment.SOCKET_OPEN)]
    closed = [event.at_s for event in events.of(Moment.SOCKET_CLOSED)]
    audio = [event.at_s for event in events.of(Moment.FIRST_PLAY_AUDIO)]
    assert (len(opened), len(audio)) == (2, 2), events.to_json()
    tried_s = closed[0] + _RECONNECT_DELAY_S
    return Back(
        mode=mode.value,
        open_s=opened[1] - tried_s,
        audio_s=audio[1] - tried_s,
        silence_s=audio[1] - closed[0],
        refused=len(events.of(Moment.SOCKET_FAILED)),
        worker_before=worker,
        record=record,
    )


def note(name: str, backs: Sequence[Back], lag_ms: float) -> None:
    """Keep figures; `lag_ms` is how late the simulator itself was, 99th percentile."""

    def three(values: Sequence[float]) -> dict[str, float]:
        ordered = sorted(values)
        p95 = ordered[int(0.95 * (len(ordered) - 1))]
        figures = {"median": statistics.median(ordered), "p95": p95, "max": ordered[-1]}
        return {key: round(value, 3) for key, value in figures.items()}

    figures = {
        "calls": len(backs),
        "reconnect_to_socket_open_s": three([back.open_s for back in backs]),
        "reconnect_to_first_agent_audio_s": three([back.audio_s for back in backs]),
        "loss_to_first_agent_audio_s": three([back.silence_s for back in backs]),
        "sentences_told": sorted(len(back.told) for back in backs),
        "tries_refused": sum(back.refused for back in backs),
        "simulator_lag_p99_ms": round(lag_ms, 1),
    }
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps({**known, name: figures}, indent=1) + "\n")


def check(one: Pass, backs: Sequence[Back]) -> None:
    told = story(one.sentences)
    assert [(back.mode, len(back.told)) for back in backs if back.told != told] == []
    moved = [b for b in backs if b.record["worker_id"] != b.worker_before]
    assert moved == [], "a call is at another worker than it was"
    assert [back for back in backs if back.record["end_reason"] != "caller_hung_up"] == []
    late = [(back.mode, round(back.audio_s, 2)) for back in backs if back.audio_s > 2.0]
    assert late == []


A_AND_B = (ReconnectKnob.A, ReconnectKnob.B)


async def test_calls_come_back_to_their_own_session_when_their_gateway_is_killed(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    one = Pass(calls=6, over_s=0.6, kill_s=1.5, hangup_s=13.0, sentences=3, modes=A_AND_B)
    async with platform(redis_server, tmp_path, story(one.sentences)) as gateways:
        backs, _ = await play("six_calls", one, gateways)
    check(one, backs)


@pytest.mark.soak
@pytest.mark.timeout(240)
@pytest.mark.parametrize("mode", A_AND_B)
async def test_forty_calls_come_back_within_two_seconds(
    redis_server: RedisServer, tmp_path: Path, mode: ReconnectKnob
) -> None:
    """A machine that stands still for a second has workers taken for lost, which is another test's
    matter: then it is played again."""
    one = Pass(calls=40, over_s=6.0, kill_s=3.0, hangup_s=36.0, sentences=9, modes=(mode,))
    for turn in range(_TRIES):
        folder = tmp_path / str(turn)
        folder.mkdir()
        async with platform(redis_server, folder, story(one.sentences)) as gateways:
            backs, lag_ms = await play(f"forty_calls_mode_{mode.value}", one, gateways)
        if lag_ms < _STOOD_STILL_MS:
            break
    check(one, backs)
    assert len({back.worker_before for back in backs}) == 2
