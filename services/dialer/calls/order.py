"""PURE. An order to dial: its rules, and the request to Vobiz it becomes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlencode

import phonenumbers

from services.dialer.errors import InvalidOrder
from shared.protocol.call import CallChange, CallId, CallState, Direction, EndClass, EndReason
from shared.vobiz.errors import Verdict

DEFAULT_AGENT = "default"
_AGENT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAX_METADATA = 32
_MAX_KEY_CHARS = 64
_MAX_VALUE_CHARS = 512


class NumberCheck(StrEnum):
    """How strictly numbers are judged.

    `POSSIBLE` looks at the country code and the length, `VALID` also at the ranges in use, which
    are younger than any list of them.
    """

    POSSIBLE = "possible"
    VALID = "valid"


class MachineDetection(StrEnum):
    """Whether Vobiz listens for an answering machine, and what it does about one.

    `DETECT` tells the agent, who decides; `HANGUP` ends the call. Either way the call goes on
    meanwhile: the verdict takes some seconds, which the person called must not hear as silence.
    """

    OFF = "off"
    DETECT = "detect"
    HANGUP = "hangup"


@dataclass(frozen=True, slots=True)
class CallOrder:
    """A call that is wanted. Make it by `check_order`."""

    to_number: str
    from_number: str
    agent: str = DEFAULT_AGENT
    metadata: Mapping[str, str] = field(default_factory=dict)
    machine_detection: MachineDetection = MachineDetection.OFF


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """How Vobiz reaches the gateway: URL without a slash at its end, secret first path part."""

    base: str
    path_secret: str | None = None

    def url(self, name: str, **query: str) -> str:
        """Return the URL of one of the gateway's webhooks."""
        secret = f"/{self.path_secret}" if self.path_secret else ""
        return f"{self.base}{secret}/{name}?{urlencode(query)}"


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What Vobiz is to enforce; None leaves its own default."""

    ring_timeout_s: int | None = None
    time_limit_s: int | None = None


def check_order(
    *,
    to: str,
    caller: str | None,
    agent: str | None,
    metadata: Mapping[str, str] | None,
    check: NumberCheck = NumberCheck.POSSIBLE,
    machine_detection: MachineDetection = MachineDetection.OFF,
) -> CallOrder:
    """Return a sound order.

    Args:
        to: the number to dial, in international form.
        caller: the number to show, the account's own.
        agent: which agent talks; None for the default one.
        metadata: up to 32 short texts that stay with the call's record.
        check: how strictly numbers are judged.
        machine_detection: what is done about answering machines.

    Raises:
        InvalidOrder: the first field that is wrong.
    """
    if caller is None:
        raise InvalidOrder("from", "give a caller number, or set FROM_NUMBER")
    order = CallOrder(
        to_number=e164(to, "to", check),
        from_number=e164(caller, "from", check),
        agent=agent or DEFAULT_AGENT,
        metadata=dict(metadata or {}),
        machine_detection=machine_detection,
    )
    if not _AGENT.fullmatch(order.agent):
        raise InvalidOrder("agent", "1 to 64 letters, digits, dots, - or _")
    if len(order.metadata) > _MAX_METADATA:
        raise InvalidOrder("metadata", f"at most {_MAX_METADATA} entries")
    for key, value in order.metadata.items():
        if not 0 < len(key) <= _MAX_KEY_CHARS or len(value) > _MAX_VALUE_CHARS:
            raise InvalidOrder(
                "metadata", f"keys of 1 to {_MAX_KEY_CHARS}, values of up to {_MAX_VALUE_CHARS}"
            )
        if any("\ud800" <= sign <= "\udfff" for sign in key + value):
            raise InvalidOrder("metadata", "holds text that is not Unicode")
    return order


def e164(text: str, field_name: str, check: NumberCheck = NumberCheck.POSSIBLE) -> str:
    """Return a number as +E.164; blanks, dots, dashes and brackets may be in it.

    Raises:
        InvalidOrder: not international, of a country code or length that can't be, or (VALID)
            of no known range.
    """
    digits = re.sub(r"[\s().-]", "", text)
    if not re.fullmatch(r"\+[0-9]{7,15}", digits):
        raise InvalidOrder(field_name, "must be an international number such as +918000000001")
    try:
        number = phonenumbers.parse(digits, None)
    except phonenumbers.NumberParseException as exc:
        raise InvalidOrder(field_name, "has no country code that is in use") from exc
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if written != digits or not phonenumbers.is_possible_number(number):
        raise InvalidOrder(field_name, "is too short, too long or otherwise no number there")
    if check is NumberCheck.VALID and not phonenumbers.is_valid_number(number):
        raise InvalidOrder(field_name, "is in no number range that is in use")
    return digits


def make_call_body(
    order: CallOrder, call_id: CallId, gateway: GatewayAddress, limits: CallLimits
) -> dict[str, str | int]:
    """Return the JSON body of Make Call.

    Every URL carries our id as `c`, because webhooks can come before Vobiz's answer does.
    """
    query = {"c": str(call_id)}
    if order.agent != DEFAULT_AGENT:
        query["agent"] = order.agent
    body: dict[str, str | int] = {"from": order.from_number, "to": order.to_number}
    for name, path in (
        ("answer", "answer"),
        ("ring", "ring"),
        ("hangup", "hangup"),
        ("fallback", "fallback"),
    ):
        body[f"{name}_url"] = gateway.url(path, **query)
        body[f"{name}_method"] = "POST"
    if limits.ring_timeout_s is not None:
        body["ring_timeout"] = limits.ring_timeout_s
    if limits.time_limit_s is not None:
        body["time_limit"] = limits.time_limit_s
    if order.machine_detection is not MachineDetection.OFF:
        # Texts: a JSON boolean is not understood. The URL makes it asynchronous.
        is_hangup = order.machine_detection is MachineDetection.HANGUP
        body["machine_detection"] = "hangup" if is_hangup else "true"
        body["machine_detection_url"] = gateway.url("machine-detection", **query)
        body["machine_detection_method"] = "POST"
    return body


def queued_change(order: CallOrder, call_id: CallId) -> CallChange:
    """Return the news that a call is wanted: to be recorded before Vobiz is asked."""
    return CallChange(
        call_id,
        CallState.QUEUED,
        {
            "direction": Direction.OUTBOUND,
            "from_number": order.from_number,
            "to_number": order.to_number,
            "agent": order.agent,
            "metadata": dict(order.metadata),
        },
    )


def refused_change(call_id: CallId, verdict: Verdict, error: str) -> CallChange:
    """Return the news that Vobiz did not accept a call.

    Where the phone may be ringing all the same, the call is left as it is, with the error noted.
    """
    if verdict.may_have_dialled:
        return CallChange(call_id, None, {"error": error})
    end_class, end_reason = _ENDS.get(verdict, (EndClass.PLATFORM, EndReason.UNKNOWN))
    return CallChange(
        call_id,
        CallState.FAILED,
        {"end_class": end_class, "end_reason": end_reason, "error": error},
    )


def lost_change(call_id: CallId) -> CallChange:
    """Return the news that nothing was ever heard of a call that may have been dialled."""
    return CallChange(
        call_id,
        CallState.FAILED,
        {"end_class": EndClass.UNKNOWN, "end_reason": EndReason.UNKNOWN},
    )


_ENDS = {
    Verdict.INVALID: (EndClass.CALLER, EndReason.INVALID_NUMBER),
    Verdict.UNAUTHORIZED: (EndClass.PLATFORM, EndReason.BARRED),
    Verdict.FORBIDDEN: (EndClass.PLATFORM, EndReason.BARRED),
    Verdict.NO_BALANCE: (EndClass.PLATFORM, EndReason.OUT_OF_CREDIT),
    Verdict.RATE_LIMITED: (EndClass.PLATFORM, EndReason.RATE_LIMITED),
    Verdict.UNREACHABLE: (EndClass.PROVIDER, EndReason.CARRIER_FAILED),
}
