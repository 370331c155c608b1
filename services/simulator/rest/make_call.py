"""PURE. The body of Make Call: what is refused, and what it means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.simulator.calls.plan import MachineDetection, Target

MAX_DESTINATIONS = 1000
_NUMBER = re.compile(r"\+?[0-9]{7,15}")
_SIP = re.compile(r"sips?:[^\s@]+@[^\s@]+")
_MAX_TIME_LIMIT_S = 86400


class Refused(Exception):
    """A body that Make Call answers with 400; the text is the error."""


@dataclass(frozen=True, slots=True)
class CallRequest:
    """An accepted body. Destinations as given."""

    from_number: str
    destinations: tuple[str, ...]
    answer: Target
    hangup: Target | None
    ring: Target | None
    fallback: Target | None
    caller_name: str
    time_limit_s: float
    ring_timeout_s: float
    hangup_on_ring_s: float | None
    sip_headers: Mapping[str, str]
    machine_detection: MachineDetection | None


def parse_make_call(body: object, *, owns: bool) -> CallRequest:
    """Read a Make Call body in the order in which Vobiz checks it.

    Args:
        body: decoded JSON.
        owns: whether the account owns the `from` number.

    Raises:
        Refused: not an object, a required field missing, a URL that is none, a `from` that is
            not owned, a destination that can't be dialled or too many of them.
    """
    if not isinstance(body, dict):
        raise Refused("body must be a JSON object")
    from_number = _required(body, "from")
    to = _required(body, "to")
    answer = _target(body, "answer")
    if answer is None:
        raise Refused("answer_url is required")
    if not owns:
        raise Refused(f"from number {from_number} not owned")
    destinations = tuple(part.strip() for part in to.split("<") if part.strip())
    if not destinations or len(destinations) > MAX_DESTINATIONS:
        raise Refused(f"{len(destinations)} destinations, 1 to {MAX_DESTINATIONS} allowed")
    for destination in destinations:
        if not _NUMBER.fullmatch(destination) and not _SIP.fullmatch(destination):
            raise Refused("failed getting country code")
    name = str(body.get("caller_name") or "")
    if len(name) > 50:
        raise Refused("caller_name is longer than 50 characters")
    return CallRequest(
        from_number=from_number,
        destinations=destinations,
        answer=answer,
        hangup=_target(body, "hangup"),
        ring=_target(body, "ring"),
        fallback=_target(body, "fallback"),
        caller_name=name,
        time_limit_s=min(_number(body, "time_limit", 14400), _MAX_TIME_LIMIT_S),
        ring_timeout_s=_number(body, "ring_timeout", 120),
        hangup_on_ring_s=_number(body, "hangup_on_ring", 0) or None,
        sip_headers=_sip_headers(str(body.get("sip_headers") or "")),
        machine_detection=_machine_detection(body),
    )


def _required(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value.strip():
        raise Refused(f"{key} is required")
    return value.strip()


def _target(body: Mapping[str, Any], name: str) -> Target | None:
    url = body.get(f"{name}_url")
    if not url:
        return None
    if not isinstance(url, str) or not re.match(r"https?://[^\s/]+", url):
        raise Refused(f"{name}_url is not a URL")
    method = str(body.get(f"{name}_method") or "POST").upper()
    if method not in ("GET", "POST"):
        raise Refused(f"{name}_method must be GET or POST")
    return Target(url, method)


def _number(body: Mapping[str, Any], key: str, default: float) -> float:
    value = body.get(key)
    if value in (None, ""):
        return default
    try:
        number = float(str(value))
    except ValueError as exc:
        raise Refused(f"{key} must be a number") from exc
    if not 0 < number < 1e9:
        raise Refused(f"{key} must be positive")
    return number


def _sip_headers(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(","))
    return {f"X-PH-{key.strip()}": value.strip() for key, _, value in pairs if key.strip()}


def _machine_detection(body: Mapping[str, Any]) -> MachineDetection | None:
    """Detection is asked for by the texts true and hangup; a JSON boolean is not a text."""
    wanted = body.get("machine_detection")
    if wanted not in ("true", "hangup"):
        return None
    time_ms = min(max(_number(body, "machine_detection_time", 5000), 2000), 10000)
    callback = _target(body, "machine_detection")
    return MachineDetection(time_ms / 1000, hangs_up=wanted == "hangup", callback=callback)
