"""Builds calls for tests of the simulator and of what it calls."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from services.simulator.calls.call import Call
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.forms import CallFacts
from services.simulator.calls.knobs import Knobs
from services.simulator.calls.plan import CallPlan, Target
from services.simulator.calls.wheel import SimulatedClock
from services.simulator.line.line import LineQuality
from services.simulator.person.caller import CallerScript, Utterance
from services.simulator.results.call_report import build_report
from shared.protocol.call import Direction
from shared.speech import Voice, VoiceUnavailable
from tests.support.vendor_server import VendorServer, tone

TOKEN = "test-token"


def no_voice() -> Voice:
    """An engine that is not installed, so that no test waits for one."""
    raise VoiceUnavailable("none in tests", ())


def words(seconds: float = 0.5, label: str = "words", **when: float) -> Utterance:
    """Something said: tone at a talker's level."""
    return Utterance(tone(seconds, hz=300.0, dbfs=-20.0), label, **when)


def quick(**changes: Any) -> CallerScript:
    """A script whose waits are short."""
    base = CallerScript(turn_silence_s=0.3, patience_s=3.0, linger_s=0.3, max_duration_s=15.0)
    return replace(base, **changes)


@dataclass
class Simulated:
    """A finished call and its report."""

    call: Call
    report: dict[str, Any] = field(default_factory=dict)

    def moments(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.report["events"] if event["event"] == name]

    def webhooks(self) -> list[str]:
        return [webhook["event"] for webhook in self.report["webhooks"]]


def plan_for(
    server: VendorServer,
    script: CallerScript | None = None,
    *,
    direction: Direction = Direction.INBOUND,
    knobs: Knobs | None = None,
    quality: LineQuality | None = None,
    **changes: Any,
) -> CallPlan:
    """A call into a vendor-shaped server."""
    knobs = knobs or Knobs(hangup_delay_s=0.02, retry_delay_s=0.05, reconnect_delay_s=0.2)
    facts = CallFacts(
        call_uuid=str(uuid.uuid4()),
        direction=direction,
        from_number="+918000000001",
        to_number="+918000000002",
        auth_id="MA_TEST",
        session_start=SimulatedClock().wall(),
        numbers=knobs.numbers,
    )
    plan = CallPlan(
        facts=facts,
        answer=Target(f"{server.url}/answer?c=7&d=8"),
        hangup=Target(f"{server.url}/hangup"),
        token=TOKEN,
        script=script or quick(),
        knobs=knobs,
        quality=quality or LineQuality(),
        dial_delay_s=0.05,
    )
    return replace(plan, **changes)


async def simulate(cloud: Cloud, plan: CallPlan, *, limit_s: float = 30.0) -> Simulated:
    """Play a call to its end."""
    call = cloud.start(plan)
    async with asyncio.timeout(limit_s):
        await call.over.wait()
    return Simulated(call, build_report(call, cloud.lag))
