"""PURE. Vobiz's webhooks: form fields in, one dataclass out; and how a call ended.

Fields are looked up by their documented names, then without regard to case and underscores.
Webhooks may repeat, come out of order and come after the hang-up: nothing here depends on order.

Source: vobiz.ai docs, callbacks and hang-up pages, read 2026-11; captured webhooks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.protocol import causes
from shared.protocol.call import CallId, CallState, Direction, EndClass, EndReason
from shared.protocol.errors import MalformedWebhook

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_EVENT = re.compile(r"[A-Za-z]{0,64}")
_MAX_FIELDS = 256
_MAX_VALUE_CHARS = 8192
_STATUS_ALIASES = {"canceled": "cancel", "cancelled": "cancel", "in_progress": "in-progress"}


@dataclass(frozen=True, slots=True)
class Webhook:
    """One callback.

    `call_uuid` is Vobiz's id. `event` is empty when the request did not say: then the URL called
    decides. Numbers are normalised (`normalize_number`); as sent they are in `fields`, which
    holds everything, the unknown included. Absent texts are empty. `duration_s` counts answered
    seconds; `name` is a checkpoint's; `error` is a stream's; `machine` is the verdict of
    answering-machine detection; `digits` are the keys a Gather collected, None when the webhook
    says nothing of keys; `dial_status` is how a Dial went, `dial_action` what happens in one, and
    `dial_b_leg` Vobiz's id of its far leg, None when the webhook does not name the field.
    """

    event: str
    call_uuid: CallId
    request_uuid: str = ""
    from_number: str = ""
    to_number: str = ""
    direction: Direction | None = None
    call_status: CallState | None = None
    hangup_cause: str = ""
    hangup_cause_code: str = ""
    hangup_source: str = ""
    duration_s: float | None = None
    stream_id: str = ""
    name: str = ""
    error: str = ""
    machine: bool | None = None
    digits: str | None = None
    dial_status: str = ""
    dial_action: str = ""
    dial_b_leg: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


def parse_webhook(fields: Mapping[str, str]) -> Webhook:
    """Read a webhook's form fields, or query parameters when it came by GET.

    A status, direction, duration or machine verdict that can't be read counts as absent.

    Raises:
        MalformedWebhook: no CallUUID and no RequestUUID, either with other characters than a
            UUID may have, an event that is no word, or too many or too long fields.
    """
    if len(fields) > _MAX_FIELDS:
        raise MalformedWebhook(f"{len(fields)} fields, {_MAX_FIELDS} allowed")
    for name, value in fields.items():
        if len(name) + len(value) > _MAX_VALUE_CHARS:
            raise MalformedWebhook("a field is too long")
    find = _Finder(fields)
    request_uuid = find("RequestUUID")
    call_uuid = find("CallUUID") or request_uuid
    if not _ID.fullmatch(call_uuid):
        raise MalformedWebhook("missing or not an id", field="CallUUID")
    event = find("Event")
    if not _EVENT.fullmatch(event):
        raise MalformedWebhook("not an event's name", field="Event")
    return Webhook(
        event=event,
        call_uuid=CallId(call_uuid),
        request_uuid=request_uuid,
        from_number=normalize_number(find("From")),
        to_number=normalize_number(find("To")),
        direction=_direction(find("Direction")),
        call_status=_status(find("CallStatus")),
        hangup_cause=find("HangupCause"),
        hangup_cause_code=find("HangupCauseCode"),
        hangup_source=find("HangupSource"),
        duration_s=_seconds(find("Duration")),
        stream_id=find("StreamID"),
        name=find("Name"),
        error=find("Error"),
        machine=_machine(find("Machine"), find("AnsweredBy")),
        digits=re.sub(r"[^0-9*#A-D]", "", find("Digits"))[:64] if "Digits" in find else None,
        dial_status=_STATUS_ALIASES.get(find("DialStatus").lower(), find("DialStatus").lower()),
        dial_action=find("DialAction").lower(),
        dial_b_leg=find("DialBLegUUID") if "DialBLegUUID" in find else None,
        fields=dict(fields),
    )


def normalize_number(text: str, *, country_code: str = "91") -> str:
    """Return a number as +E.164 where its form allows, else as given.

    Vobiz strips the `+`, and names Indian callers also by a leading 0 or by ten bare digits, so
    ten digits are a number of `country_code`. SIP addresses, short codes and what is not a
    number stay as they are. Whether the number exists is not looked at.
    """
    digits = re.sub(r"[\s().-]", "", text)
    has_plus = digits.startswith("+")
    digits = digits.removeprefix("+")
    if not digits.isascii() or not digits.isdigit():
        return text
    if has_plus:
        return f"+{digits}" if 7 <= len(digits) <= 15 else text
    if digits.startswith("00") and 9 <= len(digits) <= 17:
        return f"+{digits[2:]}"
    if digits.startswith("0"):
        return f"+{country_code}{digits[1:]}" if len(digits) == 11 else text
    if len(digits) == 10:
        return f"+{country_code}{digits}"
    return f"+{digits}" if 11 <= len(digits) <= 15 else text


def call_end(webhook: Webhook) -> tuple[CallState, EndClass, EndReason]:
    """Return how a call ended, from a hang-up webhook.

    The cause's code decides, then its name, then the status (which some accounts always send as
    completed). Always a final state, whatever the webhook holds.
    """
    end = _known_end(webhook)
    if end is causes.HANGUP:
        source = webhook.hangup_source.strip().lower()
        return (*causes.HANGUP[:2], causes.BY_SOURCE.get(source, EndReason.UNKNOWN))
    if end is not None:
        return end
    if webhook.duration_s:
        return (CallState.COMPLETED, EndClass.UNKNOWN, EndReason.UNKNOWN)
    return causes.UNKNOWN


def _known_end(webhook: Webhook) -> causes.End | None:
    code = webhook.hangup_cause_code.strip()
    if code.isascii() and code.isdigit() and len(code) <= 6 and int(code) in causes.BY_CODE:
        return causes.BY_CODE[int(code)]
    if end := causes.BY_CAUSE.get(webhook.hangup_cause.strip().upper()):
        return end
    return causes.BY_STATUS.get(webhook.call_status) if webhook.call_status else None


class _Finder:
    """Looks fields up by name: as documented, else in any case and with any underscores."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._exact = fields
        self._loose = {name.replace("_", "").lower(): value for name, value in fields.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._exact or name.lower() in self._loose

    def __call__(self, name: str) -> str:
        value = self._exact.get(name)
        return (self._loose.get(name.lower(), "") if value is None else value).strip()


def _machine(verdict: str, answered_by: str) -> bool | None:
    """Read who answered: `Machine`, or `AnsweredBy` as other clouds of this kind say it."""
    if (known := {"true": True, "false": False}.get(verdict.lower())) is not None:
        return known
    if answered_by.lower().startswith(("machine", "fax")):
        return True
    return False if answered_by.lower() == "human" else None


def _status(text: str) -> CallState | None:
    word = text.lower()
    try:
        return CallState(_STATUS_ALIASES.get(word, word))
    except ValueError:
        return None


def _direction(text: str) -> Direction | None:
    for direction in Direction:
        if text.lower().startswith(direction):
            return direction
    return None


def _seconds(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) else None
