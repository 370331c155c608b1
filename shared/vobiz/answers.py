"""PURE. What Vobiz's REST answers mean.

Source: vobiz.ai docs, make-call, hang-up and errors pages, read 2026-11; the SDKs' OpenAPI.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.vobiz.errors import Verdict, VobizFailure

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_MAX_MESSAGE_CHARS = 300
_MAX_WAIT_S = 3600
_VERDICTS = {
    400: Verdict.INVALID,
    401: Verdict.UNAUTHORIZED,
    402: Verdict.NO_BALANCE,
    403: Verdict.FORBIDDEN,
    404: Verdict.NOT_FOUND,
    408: Verdict.OUTCOME_UNKNOWN,
    409: Verdict.INVALID,
    422: Verdict.INVALID,
    429: Verdict.RATE_LIMITED,
}


def read_make_call(status: int, headers: Mapping[str, str], body: bytes) -> str | None:
    """Return the call's UUID from an answer to Make Call.

    Any 2xx is a yes. The id is `request_uuid` or `call_uuid`, a text or a list of one; None when
    the answer names none, which webhooks make good.

    Args:
        status: of the answer.
        headers: looked up in lower case.
        body: as received, perhaps cut short.

    Raises:
        VobizFailure: every other status; OUTCOME_UNKNOWN for a 2xx that isn't JSON.
    """
    data = _json_object(body)
    if not 200 <= status < 300:
        raise read_failure(status, headers, body)
    if data is None:
        raise VobizFailure(
            Verdict.OUTCOME_UNKNOWN, status=status, message="the answer can't be read"
        )
    for key in ("request_uuid", "call_uuid"):
        if name := _first_id(data.get(key)):
            return name
    return None


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account can spend, in its currency, with its credit where it pays afterwards.

    `low` is what the account itself calls a low balance, None where it says nothing of it.
    """

    available: float
    low: float | None


def read_balance(status: int, headers: Mapping[str, str], body: bytes) -> Balance:
    """Return the balance from an answer to Get Balance.

    Source: vobiz.ai docs, account balance page, read 2026-11.

    Raises:
        VobizFailure: any status but 2xx; UNEXPECTED for an answer without the figure.
    """
    if not 200 <= status < 300:
        raise read_failure(status, headers, body)
    data = _json_object(body) or {}
    available = _number(data.get("available_balance"))
    if available is None:
        available = _number(data.get("balance"))
    if available is None:
        raise VobizFailure(Verdict.UNEXPECTED, status=status, message="the answer can't be read")
    credit = _number(data.get("credit_limit")) if data.get("is_postpaid") is True else None
    return Balance(available + (credit or 0.0), _number(data.get("low_balance_threshold")))


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> VobizFailure:
    """Return what an answer that is not 2xx comes down to."""
    verdict = _VERDICTS.get(status)
    if verdict is None:
        verdict = Verdict.PLATFORM_ERROR if status >= 500 else Verdict.UNEXPECTED
    data = _json_object(body)
    wait_s = _retry_after(headers.get("retry-after"), data) if status in {429, 503} else None
    return VobizFailure(verdict, status=status, message=_message(data), retry_after_s=wait_s)


def is_already_over(statuses: Sequence[int]) -> bool:
    """Whether the answers about a call (one for each form of a path tried) say that it is over."""
    return 404 in statuses


def _first_id(value: object) -> str | None:
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) else None


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _message(data: Mapping[str, Any] | None) -> str:
    """Return Vobiz's words from any of its four shapes: error.message, error, message, detail."""
    if data is None:
        return ""
    error = data.get("error")
    inner = error if isinstance(error, dict) else {}
    for text in (inner.get("message"), error, data.get("message"), data.get("detail")):
        if isinstance(text, str) and text.strip():
            line = " ".join(text.split())
            return "".join(sign for sign in line if sign.isprintable())[:_MAX_MESSAGE_CHARS]
    return ""


def _retry_after(header: str | None, data: Mapping[str, Any] | None) -> int:
    """Return seconds to wait, at least one: from the header, else the body, else one."""
    error = (data or {}).get("error")
    details = error.get("details") if isinstance(error, dict) else None
    inner = details.get("retryAfter") if isinstance(details, dict) else None
    for value in (header, inner):
        text = str(value).strip() if isinstance(value, str | int | float) else ""
        if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
            return min(_MAX_WAIT_S, max(1, -int(-float(text) // 1)))
    return 1
