"""Call detail records. They differ from the hang-up webhook on purpose, as Vobiz's do."""

from __future__ import annotations

import math
from typing import Any

from services.simulator.calls.call import Call
from services.simulator.calls.forms import console_time, whole_seconds
from services.simulator.calls.timeline import Moment
from shared.protocol.call import CallState

_WORDS = {
    CallState.COMPLETED: "answered",
    CallState.BUSY: "busy",
    CallState.NO_ANSWER: "no-answer",
    CallState.CANCEL: "cancelled",
}


def detail_record(call: Call) -> dict[str, Any]:
    """Return the CDR of a call that is over.

    `duration` includes ringing; `billsec` counts from the answer. The caller's number keeps its
    `+`, the destination's loses it.
    """
    facts, times, ending = call.plan.facts, call.times, call.ending
    assert ending is not None and times.ended is not None  # noqa: PT018 - asked for after the end
    return {
        "call_uuid": facts.call_uuid,
        "account_id": facts.auth_id,
        "caller_id_number": facts.from_number,
        "destination_number": facts.to_number.removeprefix("+"),
        "call_direction": facts.direction.value,
        "call_status": _WORDS.get(ending.status, "failed"),
        "start_time": console_time(times.began),
        "answer_time": console_time(times.answered) if times.answered else None,
        "end_time": console_time(times.ended),
        "duration": whole_seconds(times.began, times.ended),
        "billsec": call.duration_s,
        "hangup_cause": ending.cause,
        "hangup_cause_code": ending.code,
        "hangup_cause_name": ending.name,
        "hangup_source": "API" if ending.source == "API Request" else ending.source,
        "stream_termination_reason": _stream_end(call),
        "codec": "PCMU",
        "currency": "INR",
        "total_cost": round(math.ceil(call.duration_s / 60) * 0.65, 5),
    }


def _stream_end(call: Call) -> str | None:
    closed = call.timeline.of(Moment.SOCKET_CLOSED)
    if not closed:
        return None
    reasons = {"application": "Connection error", "stop": "Stopped by application"}
    return reasons.get(str(closed[-1].detail.get("by")), "Call ended")
