"""PURE. How calls end: the fields of the hang-up webhook and of the CDR for each way.

Source: vobiz.ai docs, hang-up causes page, read 2026-11; captured hang-up webhooks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.protocol.call import CallState, Direction


@dataclass(frozen=True, slots=True)
class Ending:
    """What Vobiz says of a call's end."""

    cause: str
    code: int
    name: str
    source: str
    status: CallState = CallState.COMPLETED


_DONE = "NORMAL_CLEARING"
_FAILED = CallState.FAILED

HANGUP_VERB = Ending(_DONE, 4000, "Normal Hangup", "Answer XML")
HANGUP_API = Ending(_DONE, 4000, "Normal Hangup", "API Request")
XML_RAN_OUT = Ending(_DONE, 4010, "End Of XML Instructions", "Vobiz")
TIME_LIMIT = Ending("ALLOTTED_TIMEOUT", 6000, "Scheduled Hangup", "Vobiz")
MEDIA_TIMEOUT = Ending("MEDIA_TIMEOUT", 6020, "Media Timeout", "Vobiz")
MACHINE = Ending(_DONE, 9100, "Machine Detected", "Vobiz")
BUSY = Ending("USER_BUSY", 3010, "Busy Line", "Carrier", CallState.BUSY)
REJECTED = Ending("CALL_REJECTED", 3020, "Rejected", "Carrier", _FAILED)
RANG_OUT = Ending("NO_ANSWER", 6010, "Ring Timeout Reached", "Vobiz", CallState.NO_ANSWER)
NO_ANSWER = Ending("NO_ANSWER", 3000, "No Answer", "Carrier", CallState.NO_ANSWER)
UNALLOCATED = Ending("UNALLOCATED_NUMBER", 3050, "Unallocated number", "Carrier", _FAILED)
INVALID = Ending("INVALID_NUMBER", 2000, "Invalid destination", "Vobiz", _FAILED)
CARRIER_FAILURE = Ending("SERVICE_UNAVAILABLE", 3080, "Carrier internal", "Carrier", _FAILED)
CONGESTION = Ending("SWITCH_CONGESTION", 3090, "Carrier congestion", "Carrier", _FAILED)
CANCELLED = Ending("ORIGINATOR_CANCEL", 1000, "Canceled", "API Request", CallState.CANCEL)
OVER_CONCURRENCY = Ending("SERVICE_UNAVAILABLE", 5030, "Concurrency exceeded", "Vobiz", _FAILED)
VERB_REJECTED = Ending("CALL_REJECTED", 3020, "Rejected", "Answer XML", _FAILED)
VERB_BUSY = Ending("USER_BUSY", 3010, "Busy Line", "Answer XML", CallState.BUSY)


class FetchStep:
    """Which URL was being fetched; the last digit of the codes 701x and 801x."""

    ANSWER = 1
    ACTION = 2
    TRANSFER = 3
    FALLBACK = 4


_STEP_NAMES = {1: "Answer", 2: "Action", 3: "Transfer", 4: "Fallback"}


def person_hung_up(direction: Direction, *, is_answered: bool = True) -> Ending:
    """Return the end by the person on the phone: Callee of an outbound call, Caller else."""
    if not is_answered:
        return replace(CANCELLED, source="Caller")
    source = "Callee" if direction is Direction.OUTBOUND else "Caller"
    return Ending(_DONE, 4000, "Normal Hangup", source)


def url_failed(step: int) -> Ending:
    """Return the end when a URL could not be fetched and there was no other."""
    name = f"{_STEP_NAMES[step]} URL fetch error"
    return Ending("SERVER_ERROR", 7010 + step, name, "Error", _FAILED)


def bad_xml(step: int) -> Ending:
    """Return the end when a URL gave XML that can't be used."""
    name = f"Invalid {_STEP_NAMES[step]} XML"
    return Ending("PROTOCOL_ERROR", 8010 + step, name, "Error", _FAILED)


OUTCOMES_BY_CODE: dict[int, Ending] = {
    ending.code: ending
    for ending in (
        BUSY,
        REJECTED,
        NO_ANSWER,
        RANG_OUT,
        UNALLOCATED,
        INVALID,
        CARRIER_FAILURE,
        CONGESTION,
        OVER_CONCURRENCY,
    )
}
"""Unanswered ends that a scripted outcome, or the last four digits of a number, can name."""
