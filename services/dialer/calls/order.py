"""PURE. An order to dial: its rules, and the request to Vobiz it becomes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from services.dialer.calls.machine import MachineRule
from services.dialer.errors import InvalidOrder
from services.dialer.numbers.e164 import NumberCheck, e164
from shared.protocol.call import CallChange, CallId, CallState, Direction, EndClass, EndReason
from shared.protocol.worker import VARIABLES_CHARS
from shared.vobiz.errors import Verdict

DEFAULT_AGENT = "default"
_AGENT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAX_VARIABLES = 50
_MAX_METADATA = 32
_MAX_KEY_CHARS = 64
_MAX_VALUE_CHARS = 512


@dataclass(frozen=True, slots=True)
class CallOrder:
    """A call that is wanted. Make it by `check_order`.

    `variables` fill the agent's own texts, `metadata` is what the call is filed under. Times None:
    as the installation says. `needs_agent`: not to be dialled while no agent is free.
    """

    to_number: str
    from_number: str
    agent: str = DEFAULT_AGENT
    metadata: Mapping[str, str] = field(default_factory=dict)
    machine_detection: MachineRule = field(default_factory=MachineRule)
    variables: Mapping[str, str] = field(default_factory=dict)
    ring_timeout_s: int | None = None
    time_limit_s: int | None = None
    needs_agent: bool = False


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
    machine_detection: MachineRule | None = None,
    variables: Mapping[str, str] | None = None,
    ring_timeout_s: int | None = None,
    time_limit_s: int | None = None,
    needs_agent: bool = False,
) -> CallOrder:
    """Return a sound order.

    Args:
        to: the number to dial, in international form.
        caller: the number to show, the account's own.
        agent: which agent talks; None for the default one.
        metadata: up to 32 short texts that stay with the call's record.
        check: how strictly numbers are judged.
        machine_detection: what is done about answering machines.
        variables: what fills the agent's own texts, see `check_variables`.
        ring_timeout_s: 5 to 600; None: as the installation says.
        time_limit_s: 10 to 86400; None: as the installation says.
        needs_agent: not to be dialled while no agent is free.

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
        machine_detection=machine_detection or MachineRule(),
        variables=dict(variables or {}),
        ring_timeout_s=ring_timeout_s,
        time_limit_s=time_limit_s,
        needs_agent=needs_agent,
    )
    _check_bounds(ring_timeout_s, "ring_timeout_s", 5, 600)
    _check_bounds(time_limit_s, "time_limit_s", 10, 86_400)
    check_variables(order.variables)
    if not _AGENT.fullmatch(order.agent):
        raise InvalidOrder("agent", "1 to 64 letters, digits, dots, - or _")
    if len(order.metadata) > _MAX_METADATA:
        raise InvalidOrder("metadata", f"at most {_MAX_METADATA} entries")
    for key, value in order.metadata.items():
        if not 0 < len(key) <= _MAX_KEY_CHARS or len(value) > _MAX_VALUE_CHARS:
            raise InvalidOrder(
                "metadata", f"keys of 1 to {_MAX_KEY_CHARS}, values of up to {_MAX_VALUE_CHARS}"
            )
        _check_unicode(key + value, "metadata")
    return order


def check_variables(variables: Mapping[str, str]) -> None:
    """Look at variables for an agent's texts.

    Raises:
        InvalidOrder: more than 50, names of more than 64 characters, values of more than 512, or
            more in all than a worker can be told.
    """
    if len(variables) > _MAX_VARIABLES:
        raise InvalidOrder("variables", f"at most {_MAX_VARIABLES} entries")
    for name, value in variables.items():
        if not 0 < len(name) <= _MAX_KEY_CHARS:
            raise InvalidOrder("variables", f"names of 1 to {_MAX_KEY_CHARS} characters")
        if len(value) > _MAX_VALUE_CHARS:
            raise InvalidOrder("variables", f"values of up to {_MAX_VALUE_CHARS} characters")
        _check_unicode(name + value, "variables")
    check_room(variables)


def check_room(variables: Mapping[str, str]) -> None:
    """Look whether a worker can be told all of some variables.

    Raises:
        InvalidOrder: they are more than that in all.
    """
    if (
        len(variables) * 6 + sum(len(k) + len(v) for k, v in variables.items()) * 6
        < VARIABLES_CHARS
    ):
        return  # even if JSON needs six characters for each of theirs
    if sum(len(json.dumps(pair)) for pair in variables.items()) > VARIABLES_CHARS:
        raise InvalidOrder("variables", f"at most {VARIABLES_CHARS} characters in all, as JSON")


def _check_unicode(text: str, field_name: str) -> None:
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise InvalidOrder(field_name, "holds text that is not Unicode")


def _check_bounds(value: int | None, field_name: str, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise InvalidOrder(field_name, f"must be {least} to {most}")


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
    ring_timeout_s = order.ring_timeout_s or limits.ring_timeout_s
    time_limit_s = order.time_limit_s or limits.time_limit_s
    if ring_timeout_s is not None:
        body["ring_timeout"] = ring_timeout_s
    if time_limit_s is not None:
        body["time_limit"] = time_limit_s
    verdict_url = gateway.url("machine-detection", **query)
    return body | order.machine_detection.fields(verdict_url)


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
            "variables": dict(order.variables),
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
