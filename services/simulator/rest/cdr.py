"""Call detail records. They differ from the hang-up webhook on purpose, as Vobiz's do.

Records outlive the calls they are of: a day of dialling is more than what is kept of each call.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
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


MAX_RECORDS = 100_000


@dataclass(frozen=True, slots=True)
class CdrQuery:
    """Which records are wanted; what is empty asks for nothing.

    Args:
        from_number: digits of the caller's number.
        to_number: digits of the destination.
        direction: inbound or outbound.
        status: answered, busy and so on, as records have it.
        start: console time, or a date, from which calls began.
        end: the last such time, or date.
    """

    from_number: str = ""
    to_number: str = ""
    direction: str = ""
    status: str = ""
    start: str = ""
    end: str = ""

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> CdrQuery:
        """Read the parameters of a request, in the names that clients are seen to use."""

        def first(*names: str) -> str:
            return next((parameters[name] for name in names if parameters.get(name)), "")

        return cls(
            from_number=_digits(first("from_number", "from", "caller_id_number")),
            to_number=_digits(first("to_number", "to", "destination_number")),
            direction=first("call_direction", "direction"),
            status=first("call_status", "status"),
            start=first("start_date", "start_time"),
            end=first("end_date", "end_time"),
        )

    def wants(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is one of them."""
        began = str(record["start_time"])
        return (
            self.from_number in ("", _digits(record["caller_id_number"]))
            and self.to_number in ("", _digits(record["destination_number"]))
            and self.direction in ("", record["call_direction"])
            and self.status in ("", record["call_status"])
            and began[: len(self.start)] >= self.start
            and (not self.end or began[: len(self.end)] <= self.end)
        )


class DetailRecords:
    """Keeps the newest records.

    Args:
        most: the oldest beyond these are forgotten.
    """

    def __init__(self, most: int = MAX_RECORDS) -> None:
        self._most = most
        self._records: OrderedDict[str, tuple[datetime, dict[str, Any]]] = OrderedDict()

    def add(self, call: Call) -> None:
        """Keep the record of a call that is over; it can be read a while after the end."""
        self._records[call.call_uuid] = (call.recorded_at, detail_record(call))
        while len(self._records) > self._most:
            self._records.popitem(last=False)

    def get(self, call_uuid: str, now: datetime) -> dict[str, Any] | None:
        """Return a record, None when there is none yet."""
        readable_at, record = self._records.get(call_uuid, (None, {}))
        return record if readable_at is not None and readable_at <= now else None

    def find(self, query: CdrQuery, now: datetime) -> Iterator[dict[str, Any]]:
        """Yield the records asked for, newest first."""
        for readable_at, record in reversed(self._records.values()):
            if readable_at <= now and query.wants(record):
                yield record


def _digits(number: str) -> str:
    return "".join(character for character in number if character.isdigit())


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
