"""PURE. The form fields of every webhook, as Vobiz fills them.

`SessionStart` is UTC with microseconds; the other times are in the account's console zone, which
is India's here, without a zone mark. Numbers lose their `+` (or more, by a knob).

Source: vobiz.ai docs, callback pages, read 2026-11; captured webhooks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

from services.simulator.calls.endings import Ending
from services.simulator.calls.knobs import NumberKnob
from shared.protocol.call import CallState, Direction

INDIA = timezone(timedelta(hours=5, minutes=30))
_NOT_APPLICABLE = "Not Applicable"
Form = dict[str, str]


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What every webhook of a call says. Numbers as configured, with their `+`."""

    call_uuid: str
    direction: Direction
    from_number: str
    to_number: str
    auth_id: str
    session_start: datetime
    caller_name: str = ""
    numbers: NumberKnob = NumberKnob.DIGITS
    extra: Mapping[str, str] = field(default_factory=dict)  # X-PH-* and X-VH-*

    @property
    def is_outbound(self) -> bool:
        """Whether Vobiz placed the call."""
        return self.direction is Direction.OUTBOUND


def written_number(number: str, knob: NumberKnob, *, country_code: str = "91") -> str:
    """Return a number as webhooks write it; what is not a number stays."""
    digits = number.removeprefix("+")
    if not digits.isdigit() or knob is NumberKnob.PLUS:
        return number
    national = digits.removeprefix(country_code) if len(digits) > 10 else digits
    match knob:
        case NumberKnob.LEADING_ZERO:
            return f"0{national}"
        case NumberKnob.NATIONAL:
            return national
        case _:
            return digits


def start_app(facts: CallFacts, event: str = "StartApp") -> Form:
    """Return the answer webhook; other XML requests (Redirect, Transfer) look alike."""
    is_ringing = event == "StartApp" and not facts.is_outbound
    status = CallState.RINGING if is_ringing else CallState.IN_PROGRESS
    return {"Event": event, **_call(facts, status), **_session(facts), **facts.extra}


def ring(facts: CallFacts) -> Form:
    """Return the ring webhook."""
    form = {"Event": "Ring", **_call(facts, CallState.RINGING)}
    return form | {"SessionStart": _utc(facts.session_start), "STIRAttestation": _NOT_APPLICABLE}


def hangup(
    facts: CallFacts, ending: Ending, answered_at: datetime | None, ended_at: datetime
) -> Form:
    """Return the hang-up webhook. Durations count from the answer; without one they are 0."""
    duration_s = whole_seconds(answered_at, ended_at) if answered_at else 0
    return {
        "Event": "Hangup",
        **_call(facts, ending.status),
        **_session(facts),
        "StartTime": console_time(facts.session_start),
        "AnswerTime": console_time(answered_at) if answered_at else "",
        "EndTime": console_time(ended_at),
        "Duration": str(duration_s),
        "BillDuration": str(math.ceil(duration_s / 60) * 60),
        "TotalCost": "0.00000",
        "HangupCause": ending.cause,
        "HangupCauseCode": str(ending.code),
        "HangupCauseName": ending.name,
        "HangupSource": ending.source,
        **facts.extra,
    }


def machine_detection(facts: CallFacts, *, is_machine: bool, hangs_up: bool) -> Form:
    """Return the verdict of asynchronous answering-machine detection."""
    return {
        "Event": "MachineDetection",
        **_call(facts, CallState.IN_PROGRESS),
        "Machine": "true" if is_machine else "false",
        "IfMachine": "hangup" if hangs_up else "continue",
    }


def stream_status(
    facts: CallFacts,
    event: str,
    stream_id: str,
    at: datetime,
    callback: tuple[str, str],
    more: Mapping[str, str],
) -> Form:
    """Return a stream status callback; `callback` is its URL and method, `more` is the event's."""
    return {
        "Event": event,
        "StreamID": stream_id,
        "CallUUID": facts.call_uuid,
        "From": written_number(facts.from_number, facts.numbers),
        "To": written_number(facts.to_number, facts.numbers),
        "Timestamp": console_time(at),
        "ParentAuthID": facts.auth_id,
        "status_callback_url": callback[0],
        "status_callback_method": callback[1],
        "Error": "",
        **more,
    }


def _call(facts: CallFacts, status: CallState) -> Form:
    form = {
        "CallUUID": facts.call_uuid,
        "RequestUUID": facts.call_uuid,
        "From": written_number(facts.from_number, facts.numbers),
        "To": written_number(facts.to_number, facts.numbers),
        "CallerName": facts.caller_name or written_number(facts.from_number, facts.numbers),
        "Direction": facts.direction.value,
        "CallStatus": status.value,
    }
    if facts.is_outbound:
        form |= {"ALegUUID": facts.call_uuid, "ALegRequestUUID": facts.call_uuid}
    return form


def _session(facts: CallFacts) -> Form:
    return {
        "SessionStart": _utc(facts.session_start),
        "STIRAttestation": _NOT_APPLICABLE,
        "STIRVerification": _NOT_APPLICABLE,
        "ParentAuthID": facts.auth_id,
        "BillRate": "0.00000",
        "CountryCode": "",
        "RouteType": "Not_Domestic",
    }


def whole_seconds(start: datetime, end: datetime) -> int:
    """Return the time between, to the nearest second, as webhooks and CDRs count."""
    return round((end - start).total_seconds())


def console_time(at: datetime) -> str:
    """Return a time as the console shows it: India's, to the second."""
    return at.astimezone(INDIA).strftime("%Y-%m-%d %H:%M:%S")


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
