"""The platform as processes with a folder of agents of its own, and calls played through it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from services.simulator.calls.cloud import Cloud
from services.simulator.calls.forms import CallFacts
from services.simulator.calls.plan import CallPlan, MachineDetection, Outcome, Target
from services.simulator.person.caller import CallerScript
from services.simulator.person.script import Press, SayText, build_script
from services.simulator.results.call_report import build_report
from shared.protocol.call import Direction
from tests.support.path_agents import number


@dataclass
class Platform:
    """The running processes, seen from outside."""

    ports: dict[str, int]
    folder: Path
    agents: Path

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.ports['HTTP_PORT']}"

    @property
    def simulator(self) -> str:
        return f"http://127.0.0.1:{self.ports['SIMULATOR_PORT']}"

    def log(self) -> list[dict[str, Any]]:
        lines = (self.folder / "logs" / "agent-1.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def log_text(self) -> str:
        return (self.folder / "logs" / "agent-1.log").read_text()

    def metric(self, name: str) -> float:
        url = f"http://127.0.0.1:{self.ports['AGENT_METRICS_PORT']}/metrics"
        with urllib.request.urlopen(url, timeout=5) as got:
            lines = got.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    async def until_logged(self, is_it: Callable[[dict[str, Any]], bool], count: int = 1) -> None:
        """Wait until so many lines of the worker's log are as they should be."""
        async with asyncio.timeout(30):
            # A file has no event to wait for.
            while sum(map(is_it, self.log())) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def until_ready(self, agent: str, versions: int = 1) -> None:
        """Wait until an agent takes calls, in its n-th version."""
        await self.until_logged(
            lambda line: line["event"] == "agent_ready" and line["agent"] == agent, versions
        )

    def write(self, name: str, text: str) -> None:
        """Write a file as an editor does: beside it, then in its place."""
        part = self.agents / f".{name}.part"
        part.write_text(text)
        part.replace(self.agents / f"{name}.yaml")


@dataclass(frozen=True)
class Scene:
    """A call to be played."""

    called: str = number(199)
    turns: Sequence[str | Press] = ()
    barge_ins: Sequence[float | None] = ()
    limits: CallerScript = field(default_factory=lambda: CallerScript(max_duration_s=60.0))
    agent: str = ""
    is_outbound: bool = False
    is_machine: bool | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Heard:
    """What came of it: the simulator's report and the platform's record."""

    report: dict[str, Any]
    record: dict[str, Any]

    def said(self, who: str) -> list[str]:
        return [e["text"] for e in self.record["transcript"] if e["who"] == who and "kind" not in e]

    @property
    def verbs(self) -> list[str]:
        return [event["verb"] for event in self.report["events"] if event["event"] == "verb"]

    @property
    def ends(self) -> tuple[str, str]:
        return (self.record["end_class"], self.record["end_reason"])


async def plan_of(platform: Platform, cloud: Cloud, scene: Scene) -> CallPlan:
    direction = Direction.OUTBOUND if scene.is_outbound else Direction.INBOUND
    ours, theirs = scene.called, "+918000000001"
    facts = CallFacts(
        call_uuid=str(uuid.uuid4()),
        direction=direction,
        from_number=ours if scene.is_outbound else theirs,
        to_number=theirs if scene.is_outbound else ours,
        auth_id="MA_LOCAL",
        session_start=datetime.now(UTC),
        extra=scene.headers,
    )
    script = await build_script(
        [turn if isinstance(turn, Press) else SayText(turn) for turn in scene.turns],
        cloud.speaker,
        barge_ins=scene.barge_ins,
        limits=scene.limits,
    )
    query = f"?agent={scene.agent}" if scene.agent else ""
    detection = MachineDetection(2.0, callback=Target(f"{platform.gateway}/machine-detection"))
    return CallPlan(
        facts,
        Target(f"{platform.gateway}/answer{query}"),
        hangup=Target(f"{platform.gateway}/hangup"),
        script=script,
        outcome=Outcome(0.2, is_machine=bool(scene.is_machine)),
        machine_detection=None if scene.is_machine is None else detection,
    )


async def record_of(client: httpx.AsyncClient, platform: Platform, call_id: str) -> dict[str, Any]:
    """The call's record once both worker and hang-up webhook have written theirs."""
    deadline_s = time.monotonic() + 20
    while True:
        record: dict[str, Any] = (await client.get(f"{platform.gateway}/calls/{call_id}")).json()
        is_written = record.get("ended_at") and record.get("summary")
        if is_written or time.monotonic() > deadline_s:
            return record
        await asyncio.sleep(0.1)


async def play(platform: Platform, cloud: Cloud, scene: Scene) -> Heard:
    call = cloud.start(await plan_of(platform, cloud, scene))
    await call.over.wait()
    async with httpx.AsyncClient(timeout=10) as client:
        return Heard(
            build_report(call, cloud.lag), await record_of(client, platform, call.call_uuid)
        )


async def play_by_rest(platform: Platform, called: str, person: dict[str, Any]) -> Heard:
    """Play a call of the platform's own simulated cloud, whose REST API the worker knows."""
    body = {
        "answer_url": f"{platform.gateway}/answer",
        "hangup_url": f"{platform.gateway}/hangup",
        "to_number": called,
        "person": {"max_duration_s": 45.0, "linger_s": 6.0, **person},
    }
    async with httpx.AsyncClient(timeout=10) as client:
        placed = await client.post(f"{platform.simulator}/simulator/inbound", json=body)
        call_uuid = placed.json()["call_uuid"]
        url = f"{platform.simulator}/simulator/calls/{call_uuid}"
        # The report is asked for: it has no event to wait for.
        while (report := (await client.get(url)).json())["ending"] is None:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        return Heard(report, await record_of(client, platform, call_uuid))
