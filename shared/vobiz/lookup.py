"""PURE. What Vobiz's REST answers say of calls: those that are up, and the records of others.

Source: vobiz.ai docs, live call, queued call and CDR pages, read 2026-11. A record's times are the
console's, India's, and have no zone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from shared.protocol.call import CallId, CallState, EndClass, EndReason
from shared.protocol.webhook import Webhook, call_end
from shared.vobiz.answers import read_failure
from shared.vobiz.errors import Verdict, VobizFailure

QUEUED_SHOWN: Final = 20
CALLS_OVER_A_PAGE: Final = 50
_INDIA: Final = timezone(timedelta(hours=5, minutes=30))
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_STATES: Final = {
    "answered": CallState.COMPLETED,
    "cancelled": CallState.CANCEL,
    "canceled": CallState.CANCEL,
    "no_answer": CallState.NO_ANSWER,
}


@dataclass(frozen=True, slots=True)
class CallsUp:
    """Vobiz's ids of calls; `is_complete` False: there may be more than it shows."""

    call_uuids: tuple[str, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class CallFacts:
    """A call as Vobiz knows it. Numbers are digits alone, as they are best compared.

    `started_at` None: not said, or not to be read. `end`: of a call that is over. `talk_s` counts
    from the answer.
    """

    call_uuid: str
    from_digits: str
    to_digits: str
    is_outbound: bool
    started_at: datetime | None = None
    talk_s: float = 0.0
    hangup_cause: str = ""
    hangup_cause_code: str = ""
    hangup_source: str = ""
    end: tuple[CallState, EndClass, EndReason] | None = None


def digits_of(number: str) -> str:
    """Return a number's digits without the zeros at its head that some pages add."""
    return re.sub(r"[^0-9]", "", number).lstrip("0")


def read_uuids(status: int, headers: Mapping[str, str], body: bytes) -> list[str]:
    """Return the ids of a list of live or queued calls: texts, or objects in older answers.

    Raises:
        VobizFailure: any status but 2xx; UNEXPECTED for an answer that holds no list.
    """
    calls = _object(status, headers, body).get("calls")
    if not isinstance(calls, list):
        raise _unreadable(status)
    found = (entry.get("call_uuid") if isinstance(entry, dict) else entry for entry in calls)
    return [name for name in found if isinstance(name, str) and _ID.fullmatch(name)]


def read_call_up(status: int, headers: Mapping[str, str], body: bytes) -> CallFacts:
    """Return what is said of a live or queued call.

    Raises:
        VobizFailure: any status but 2xx; UNEXPECTED for an answer that names no call.
    """
    data = _object(status, headers, body)
    call_uuid = data.get("call_uuid")
    if not isinstance(call_uuid, str) or not _ID.fullmatch(call_uuid):
        raise _unreadable(status)
    return CallFacts(
        call_uuid=call_uuid,
        from_digits=digits_of(_text(data, "from")),
        to_digits=digits_of(_text(data, "to")),
        is_outbound=_text(data, "direction").lower() != "inbound",
        started_at=_time(_text(data, "session_start"), UTC),
    )


def read_call_over(status: int, headers: Mapping[str, str], body: bytes) -> CallFacts:
    """Return a call's record.

    Raises:
        VobizFailure: any status but 2xx; UNEXPECTED for an answer that holds none.
    """
    data = _object(status, headers, body).get("data")
    found = _call_over(data[0] if isinstance(data, list) and data else data)
    if found is None:
        raise _unreadable(status)
    return found


def read_calls_over(status: int, headers: Mapping[str, str], body: bytes) -> list[CallFacts]:
    """Return a page of records; entries that name no call are passed over.

    Raises:
        VobizFailure: any status but 2xx; UNEXPECTED for an answer without a list.
    """
    data = _object(status, headers, body).get("data")
    if not isinstance(data, list):
        raise _unreadable(status)
    return [call for entry in data if (call := _call_over(entry)) is not None]


def _call_over(data: object) -> CallFacts | None:
    if not isinstance(data, dict):
        return None
    call_uuid = data.get("call_uuid")
    if not isinstance(call_uuid, str) or not _ID.fullmatch(call_uuid):
        return None
    talk = data.get("billsec")
    talk_s = float(talk) if isinstance(talk, int | float) and not isinstance(talk, bool) else 0.0
    cause, code = _text(data, "hangup_cause"), _text(data, "hangup_cause_code")
    source = _text(data, "hangup_source")
    # The record says of a call's end what the hang-up webhook says, so it is read as one.
    told = Webhook(
        event="Hangup",
        call_uuid=CallId(call_uuid),
        call_status=_state(_text(data, "call_status")),
        hangup_cause=cause,
        hangup_cause_code=code,
        hangup_source=source,
        duration_s=talk_s,
    )
    return CallFacts(
        call_uuid=call_uuid,
        from_digits=digits_of(_text(data, "caller_id_number")),
        to_digits=digits_of(_text(data, "destination_number")),
        is_outbound=_text(data, "call_direction").lower() != "inbound",
        started_at=_time(_text(data, "start_time"), _INDIA),
        talk_s=talk_s,
        hangup_cause=cause,
        hangup_cause_code=code,
        hangup_source=source,
        end=call_end(told),
    )


def _state(word: str) -> CallState | None:
    try:
        return _STATES.get(word.lower()) or CallState(word.lower())
    except ValueError:
        return None


def _time(text: str, zone: timezone) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    is_plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    return str(value).strip() if is_plain else ""


def _object(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    if not 200 <= status < 300:
        raise read_failure(status, headers, body)
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise _unreadable(status)
    return data


def _unreadable(status: int) -> VobizFailure:
    return VobizFailure(Verdict.UNEXPECTED, status=status, message="the answer can't be read")
