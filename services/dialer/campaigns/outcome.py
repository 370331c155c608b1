"""PURE. What one try to reach a number came to, read from the call's record.

A try that may have been answered is never taken for one that was not: a record that tells of an
answer in any way (the time, the duration, an end that only talking calls have) counts as answered.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from shared.protocol.call import CallRecord, CallState, EndClass, EndReason


class Outcome(StrEnum):
    """What came of a try, or of a row that ended without one; labels a metric.

    ANSWERED: a person was talked to. MACHINE: an answering machine took the call. REJECTED: the
    person refused it. FAILED: the carrier, Vobiz or we failed before anybody answered. UNKNOWN: it
    was perhaps dialled, and nothing was heard of it. ANSWERED_THEN_FAILED: a person answered, and
    our or the provider's fault ended the call. CANCELLED: called off before an answer. REFUSED:
    Vobiz won't dial it. DO_NOT_CALL and OUT_OF_TIME: nobody was dialled.
    """

    ANSWERED = "answered"
    MACHINE = "machine"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    INVALID_NUMBER = "invalid_number"
    FAILED = "failed"
    UNKNOWN = "unknown"
    ANSWERED_THEN_FAILED = "answered_then_failed"
    CANCELLED = "cancelled"
    DO_NOT_CALL = "do_not_call"
    OUT_OF_TIME = "out_of_time"
    REFUSED = "refused"


ANSWERED_OUTCOMES: Final = frozenset(
    {Outcome.ANSWERED, Outcome.ANSWERED_THEN_FAILED, Outcome.MACHINE}
)
"""Somebody or something took the call."""

ERROR_OUTCOMES: Final = frozenset(
    {Outcome.FAILED, Outcome.UNKNOWN, Outcome.ANSWERED_THEN_FAILED, Outcome.REFUSED}
)
"""Not the doing of the person called."""

MACHINE_MARK: Final = "machine"
"""The key of a record's metadata that holds Vobiz's verdict, `true` or `false`."""

_BEFORE_ANSWER: Final = {
    EndReason.BUSY: Outcome.BUSY,
    EndReason.NO_ANSWER: Outcome.NO_ANSWER,
    EndReason.REJECTED: Outcome.REJECTED,
    EndReason.INVALID_NUMBER: Outcome.INVALID_NUMBER,
    EndReason.BARRED: Outcome.REFUSED,
    EndReason.CANCELLED: Outcome.CANCELLED,
    EndReason.API_HUNG_UP: Outcome.CANCELLED,
    EndReason.OUT_OF_CREDIT: Outcome.FAILED,
    EndReason.RATE_LIMITED: Outcome.FAILED,
    EndReason.PROVIDER_FAILED: Outcome.FAILED,
    EndReason.CARRIER_FAILED: Outcome.FAILED,
}
# The answer URL of an outbound call is asked for when the person has answered, and media flows
# after that alone: these ends tell of an answer even where the record has no other word of it.
_ONLY_AFTER_ANSWER: Final = frozenset(
    {
        EndReason.ANSWER_FAILED,
        EndReason.AGENT_FAILED,
        EndReason.POOL_FULL,
        EndReason.CARRIER_LOST,
        EndReason.TRANSFERRED,
        EndReason.TIME_LIMIT,
        EndReason.AGENT_HUNG_UP,
        EndReason.CALLER_HUNG_UP,
    }
)
_FAULTS: Final = frozenset({EndClass.PLATFORM, EndClass.PROVIDER})
_BY_STATE: Final = {
    CallState.BUSY: Outcome.BUSY,
    CallState.NO_ANSWER: Outcome.NO_ANSWER,
    CallState.TIMEOUT: Outcome.NO_ANSWER,
    CallState.CANCEL: Outcome.CANCELLED,
}


def outcome_of(record: CallRecord) -> Outcome:
    """Return what an outbound call that has ended came to."""
    if record.end_reason is EndReason.MACHINE or record.metadata.get(MACHINE_MARK) == "true":
        return Outcome.MACHINE
    if is_answered(record):
        is_fault = record.end_class in _FAULTS
        return Outcome.ANSWERED_THEN_FAILED if is_fault else Outcome.ANSWERED
    if record.end_reason in _BEFORE_ANSWER:
        return _BEFORE_ANSWER[record.end_reason]
    return _BY_STATE.get(record.state, Outcome.UNKNOWN)


def is_answered(record: CallRecord) -> bool:
    """Whether the phone may have been answered, by a person or a machine."""
    return (
        record.answered_at is not None
        or bool(record.duration_s)
        or record.end_reason in _ONLY_AFTER_ANSWER
        or (record.state is CallState.COMPLETED and record.end_reason not in _BEFORE_ANSWER)
        or record.state is CallState.IN_PROGRESS
    )
