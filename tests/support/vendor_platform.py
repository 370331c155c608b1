"""The platform as processes, the vendors' stand-ins and a tool's server beside it, and calls."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.bench.rig.local_platform import bench_platform
from services.simulator.calls.call import Call
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.forms import CallFacts
from services.simulator.calls.plan import CallPlan, Target
from services.simulator.calls.timeline import Moment
from services.simulator.person.script import SayText, build_script
from services.simulator.results.call_report import build_report
from shared.protocol.call import Direction
from tests.support.standins import DEEPGRAM_KEY, OPENAI_KEY, StandIns, World
from tests.support.tool_server import ToolServer

KEYS = {"DEEPGRAM_API_KEY": DEEPGRAM_KEY, "OPENAI_API_KEY": OPENAI_KEY}
_START_S = 10.0


@dataclass
class Vendors:
    """Stand-ins and a tool's server in a thread of their own, for what starts in this one.

    Attributes:
        sent: what the stand-ins sent, with the monotonic time: route, data.
    """

    world: World
    tools: ToolServer
    standins: StandIns
    sent: list[tuple[float, str, bytes | str]] = field(default_factory=list)

    def asked(self, route: str) -> list[Any]:
        """The JSON of a route's requests."""
        return [asked.json for asked in self.world.asked.get(route, ())]


@asynccontextmanager
async def _serving(world: World, tools: ToolServer) -> AsyncIterator[Vendors]:
    async with tools, StandIns(world) as standins:
        vendors = Vendors(world, tools, standins)

        def watch(route: str, _number: int, goes_out: bool, data: bytes | str) -> None:
            if goes_out:
                vendors.sent.append((time.monotonic(), route, data))

        world.watch = watch
        yield vendors


@contextmanager
def running_vendors(world: World, tools: ToolServer | None = None) -> Iterator[Vendors]:
    """Serve while the context lasts."""
    found: list[Vendors] = []
    loop = asyncio.new_event_loop()
    over, ready = asyncio.Event(), threading.Event()

    async def serve() -> None:
        async with _serving(world, tools or ToolServer()) as vendors:
            found.append(vendors)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="vendors")
    thread.start()
    try:
        assert ready.wait(_START_S), "the stand-ins did not start"
        yield found[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(_START_S)
        loop.close()


@dataclass(frozen=True)
class PlayedCall:
    """What came of a call: the cloud's side of it, its report, the platform's record."""

    call: Call
    report: dict[str, Any]
    record: dict[str, Any]

    def entries(self, who: str) -> list[dict[str, Any]]:
        return [entry for entry in self.record["transcript"] if entry["who"] == who]

    def said(self, who: str) -> list[str]:
        return [entry["text"] for entry in self.entries(who)]

    def audio_begins_s(self) -> list[float]:
        """Monotonic times at which agent audio came after a silence."""
        events = self.call.timeline.of(Moment.AUDIO_BEGINS)
        return [self.call.leg.origin_s + event.at_s for event in events]


@dataclass(frozen=True)
class Line:
    """A caller: what is said, and how long after the agent began (None: in turn)."""

    texts: Sequence[str]
    barge_ins: Sequence[float | None] = ()
    port: int = 0


@contextmanager
def platform_with(folder: Path, agent: str, **settings: str) -> Iterator[dict[str, int]]:
    """Run the platform with one agent's file; yields its ports by their settings' names."""
    files = folder / "agents"
    files.mkdir(parents=True)
    (files / "default.yaml").write_text(agent)
    with bench_platform(str(folder), {"AGENT_FILES": str(files), **settings}) as ports:
        yield ports


async def play(lines: Mapping[str, Line]) -> dict[str, PlayedCall]:
    """Play calls at the same time, each to the platform whose gateway is at its port."""
    async with Cloud() as cloud:
        plans = {name: await _plan(cloud, line) for name, line in lines.items()}
        calls = {name: cloud.start(plan) for name, plan in plans.items()}
        for call in calls.values():
            await call.over.wait()
        return {
            name: PlayedCall(
                call,
                build_report(call, cloud.lag),
                await asyncio.to_thread(_record, lines[name].port, call.call_uuid),
            )
            for name, call in calls.items()
        }


async def _plan(cloud: Cloud, line: Line) -> CallPlan:
    gateway = f"http://127.0.0.1:{line.port}"
    facts = CallFacts(
        call_uuid=str(uuid.uuid4()),
        direction=Direction.INBOUND,
        from_number="+918000000001",
        to_number="+918000000002",
        auth_id="MA_LOCAL",
        session_start=datetime.now(UTC),
    )
    turns = [SayText(text) for text in line.texts]
    script = await build_script(turns, cloud.speaker, barge_ins=line.barge_ins)
    return CallPlan(
        facts, Target(f"{gateway}/answer"), hangup=Target(f"{gateway}/hangup"), script=script
    )


def _record(port: int, call_id: str) -> dict[str, Any]:
    """The call's record, once the worker has added what was said."""
    record: dict[str, Any] = {}
    for _ in range(50):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/calls/{call_id}", timeout=5) as got:
            record = json.load(got)
        if record["transcript"] and record["ended_at"]:
            break
        time.sleep(0.1)
    return record
