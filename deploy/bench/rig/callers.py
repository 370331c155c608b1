"""Calls of the simulator into a gateway of this machine."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from services.simulator.calls.forms import CallFacts
from services.simulator.calls.plan import CallPlan, Target
from services.simulator.line.line import LineQuality
from services.simulator.person.caller import CallerScript
from shared.protocol.call import Direction


def inbound_plan(port: int, script: CallerScript, quality: LineQuality) -> CallPlan:
    """Return a call to the gateway at a port of loopback, by somebody on a line."""
    gateway = f"http://127.0.0.1:{port}"
    facts = CallFacts(
        call_uuid=str(uuid.uuid4()),
        direction=Direction.INBOUND,
        from_number="+918000000001",
        to_number="+918000000002",
        auth_id="MA_LOCAL",
        session_start=datetime.now(UTC),
    )
    return CallPlan(
        facts,
        Target(f"{gateway}/answer"),
        hangup=Target(f"{gateway}/hangup"),
        script=script,
        quality=quality,
    )
