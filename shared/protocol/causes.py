"""PURE. Vobiz's hang-up causes as this platform's ends of calls: a table and nothing else.

The code decides; where it is missing, 0 or new, the cause's name does. Who is to blame follows
one rule: CALLER for what the person called or their number did, PLATFORM for what our operators
can put right (our XML, our URLs, our account), PROVIDER for Vobiz and the carriers.

Source: vobiz.ai docs, hang-up causes page, read 2026-11; captured hang-up webhooks.
"""

from __future__ import annotations

from typing import Final

from shared.protocol.call import CallState, EndClass, EndReason

End = tuple[CallState, EndClass, EndReason]

HANGUP: Final[End] = (CallState.COMPLETED, EndClass.SUCCESS, EndReason.UNKNOWN)
"""An answered call's ordinary end; the source says who ended it."""
UNKNOWN: Final[End] = (CallState.FAILED, EndClass.UNKNOWN, EndReason.UNKNOWN)

_CANCELLED: Final[End] = (CallState.CANCEL, EndClass.CALLER, EndReason.CANCELLED)
_OUT_OF_CREDIT: Final[End] = (CallState.FAILED, EndClass.PLATFORM, EndReason.OUT_OF_CREDIT)
_LIMITED: Final[End] = (CallState.FAILED, EndClass.PLATFORM, EndReason.RATE_LIMITED)
_INVALID: Final[End] = (CallState.FAILED, EndClass.CALLER, EndReason.INVALID_NUMBER)
_BARRED: Final[End] = (CallState.FAILED, EndClass.PLATFORM, EndReason.BARRED)
_CARRIER: Final[End] = (CallState.FAILED, EndClass.PROVIDER, EndReason.CARRIER_FAILED)
_LOST: Final[End] = (CallState.COMPLETED, EndClass.PROVIDER, EndReason.CARRIER_LOST)
_NO_ANSWER: Final[End] = (CallState.NO_ANSWER, EndClass.CALLER, EndReason.NO_ANSWER)
_BUSY: Final[End] = (CallState.BUSY, EndClass.CALLER, EndReason.BUSY)
_REJECTED: Final[End] = (CallState.FAILED, EndClass.CALLER, EndReason.REJECTED)
_TIMEOUT: Final[End] = (CallState.TIMEOUT, EndClass.PROVIDER, EndReason.CARRIER_FAILED)
_TIME_LIMIT: Final[End] = (CallState.COMPLETED, EndClass.SUCCESS, EndReason.TIME_LIMIT)
_OUR_ANSWER: Final[End] = (CallState.FAILED, EndClass.PLATFORM, EndReason.ANSWER_FAILED)
_MACHINE: Final[End] = (CallState.COMPLETED, EndClass.CALLER, EndReason.MACHINE)
_NOT_CONFIRMED: Final[End] = (CallState.COMPLETED, EndClass.CALLER, EndReason.REJECTED)

BY_CODE: Final[dict[int, End]] = {
    1000: _CANCELLED,
    1010: _OUT_OF_CREDIT,
    1020: _LIMITED,
    2000: _INVALID,
    2010: _INVALID,  # out of service
    2020: _INVALID,  # endpoint not registered
    2030: _BARRED,
    2040: _BARRED,
    2050: _BARRED,
    2060: _CARRIER,  # loop detected
    2070: _CARRIER,  # media anchoring failed
    3000: _NO_ANSWER,
    3010: _BUSY,
    3020: _REJECTED,
    3030: _BARRED,  # unknown caller id
    3040: _BARRED,  # forbidden
    3050: _INVALID,
    3070: _TIMEOUT,
    3080: _CARRIER,
    3090: _CARRIER,
    3100: _BUSY,
    3110: _REJECTED,
    3120: _INVALID,
    3130: _BARRED,  # our number is taken for spam
    3140: _BARRED,  # do-not-originate list
    4000: HANGUP,
    4010: HANGUP,
    4020: HANGUP,
    4030: HANGUP,
    5000: _CARRIER,
    5010: _CARRIER,
    5020: _CARRIER,
    5030: _LIMITED,
    6000: _TIME_LIMIT,
    6010: _NO_ANSWER,
    6020: _LOST,
    **dict.fromkeys((7011, 7012, 7013, 7014), _OUR_ANSWER),
    **dict.fromkeys((7022, 7023, 7024, 7032, 7033, 7034), _OUR_ANSWER),
    **dict.fromkeys((8011, 8012, 8013, 8014), _OUR_ANSWER),
    9000: _CANCELLED,
    9100: _MACHINE,
    9110: _NOT_CONFIRMED,
}

BY_CAUSE: Final[dict[str, End]] = {
    "NORMAL_CLEARING": HANGUP,
    "USER_BUSY": _BUSY,
    "NO_ANSWER": _NO_ANSWER,
    "NO_USER_RESPONSE": _NO_ANSWER,
    "ORIGINATOR_CANCEL": _CANCELLED,
    "CALL_REJECTED": _REJECTED,
    "REJECTED": _REJECTED,
    "INVALID_NUMBER": _INVALID,
    "INVALID_NUMBER_FORMAT": _INVALID,
    "UNALLOCATED_NUMBER": _INVALID,
    "SERVICE_UNAVAILABLE": _CARRIER,
    "SERVER_ERROR": _CARRIER,
    "MEDIA_TIMEOUT": _LOST,
    "ALLOTTED_TIMEOUT": _TIME_LIMIT,
    "LOSE_RACE": _CANCELLED,
    "PROTOCOL_ERROR": _CARRIER,
    "NETWORK_OUT_OF_ORDER": _CARRIER,
    "DESTINATION_OUT_OF_ORDER": _CARRIER,
    "NORMAL_TEMPORARY_FAILURE": _CARRIER,
    "SWITCH_CONGESTION": _CARRIER,
}

BY_STATUS: Final[dict[CallState, End]] = {
    CallState.COMPLETED: HANGUP,
    CallState.BUSY: _BUSY,
    CallState.FAILED: UNKNOWN,
    CallState.TIMEOUT: (CallState.TIMEOUT, EndClass.CALLER, EndReason.NO_ANSWER),
    CallState.NO_ANSWER: _NO_ANSWER,
    CallState.CANCEL: _CANCELLED,
}

BY_SOURCE: Final[dict[str, EndReason]] = {
    "caller": EndReason.CALLER_HUNG_UP,
    "callee": EndReason.CALLER_HUNG_UP,
    "call recipient": EndReason.CALLER_HUNG_UP,
    "api request": EndReason.API_HUNG_UP,
    "api": EndReason.API_HUNG_UP,
    "answer xml": EndReason.AGENT_HUNG_UP,
    "vobiz": EndReason.AGENT_HUNG_UP,  # 4010: our stream was stopped and no verb was left
}
"""Who ended an answered call: always the person on the phone, an API client, or our agent."""
