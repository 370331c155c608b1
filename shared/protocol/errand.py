"""PURE. Errands: what the network does with a caller while the agent's media stream is left.

A worker writes one down on the bus, leaves the stream, and a gateway turns it into XML. It ends
with the caller back at the agent (keys collected, nobody to be reached) or with somebody else. An
errand's id tells it from the errands before it in the same call: webhooks about it may repeat and
come late.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from shared.protocol.call import CallId
from shared.protocol.errors import ProtocolError

MAX_SAID_CHARS = 1000
ERRAND_LIFE_S = 14_400.0
"""How long an errand is remembered: as long as Vobiz lets two people talk."""
EVENT_GATHERED = "gathered"
EVENT_TRANSFER_ANSWERED = "transfer_answered"
EVENT_TRANSFER_FAILED = "transfer_failed"
EVENT_MACHINE = "machine"
"""Kinds of events on the bus's channel `calls`; the first three carry the errand's id as `errand`,
then `digits` or `status`, the last `is_machine`, true or false."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUMBER = re.compile(r"\+?[0-9]{3,15}")
_KEY = re.compile(r"[0-9*#]?")
_ILLEGAL_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class InvalidErrand(ProtocolError):
    """An errand that the network can't run, or a text that is none."""


def _check_said(text: str, name: str) -> None:
    if len(text) > MAX_SAID_CHARS:
        raise InvalidErrand(f"{name} is longer than {MAX_SAID_CHARS} characters")
    if _ILLEGAL_IN_XML.search(text):
        raise InvalidErrand(f"{name} holds a character that XML forbids")


def _check_id(errand_id: str) -> None:
    if not is_errand_id(errand_id):
        raise InvalidErrand("the errand's id must be 1 to 64 letters, digits, - or _")


def is_errand_id(text: str) -> bool:
    """Whether a text has the form of an errand's id."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class TransferErrand:
    """Hand the caller to `to`; who is not reached in time leaves the caller to the agent.

    `caller_id` is the number the far party sees, one of the account's own; empty: Vobiz's choice.
    `say` is read to the caller first, by Vobiz's voice.

    Raises:
        InvalidErrand: on making one that the network would refuse.
    """

    errand_id: str
    to: str
    caller_id: str = ""
    ring_timeout_s: int = 30
    say: str = ""

    def __post_init__(self) -> None:
        _check_id(self.errand_id)
        if not _NUMBER.fullmatch(self.to):
            raise InvalidErrand("the number to transfer to must be 3 to 15 digits")
        if self.caller_id and not _NUMBER.fullmatch(self.caller_id):
            raise InvalidErrand("the caller's number to show must be 3 to 15 digits")
        if not 5 <= self.ring_timeout_s <= 120:
            raise InvalidErrand("a transfer may ring 5 to 120 s")
        _check_said(self.say, "what is said before a transfer")

    @property
    def longest_away_s(self) -> float:
        """After which the caller is back, or is talking to somebody else."""
        return self.ring_timeout_s + _speaking_s(self.say) + _SLACK_S


@dataclass(frozen=True, slots=True)
class GatherErrand:
    """Collect keys, at most `most`, until `finish_on_key` or until none comes for `timeout_s`.

    `prompt` is read meanwhile, by Vobiz's voice; `finish_on_key` empty: no key ends it.

    Raises:
        InvalidErrand: on making one that the network would refuse.
    """

    errand_id: str
    prompt: str = ""
    most: int = 32
    finish_on_key: str = "#"
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        _check_id(self.errand_id)
        if not 1 <= self.most <= 32:
            raise InvalidErrand("1 to 32 keys can be collected")
        if not _KEY.fullmatch(self.finish_on_key):
            raise InvalidErrand("the key that ends collecting must be one of 0-9 * # or empty")
        if not 1 <= self.timeout_s <= 60:
            raise InvalidErrand("keys are waited for 1 to 60 s")
        _check_said(self.prompt, "the prompt")

    @property
    def longest_away_s(self) -> float:
        """After which the caller is back."""
        waits_s = max(self.timeout_s, 5.0) + self.most * self.timeout_s
        return waits_s + _speaking_s(self.prompt) + _SLACK_S


Errand = TransferErrand | GatherErrand
_KINDS: dict[str, type[TransferErrand] | type[GatherErrand]] = {
    "transfer": TransferErrand,
    "gather": GatherErrand,
}
_SLACK_S = 15.0  # for two webhooks, a dialling network, a slow voice
_CHARS_PER_S = 10.0


def _speaking_s(text: str) -> float:
    return len(text) / _CHARS_PER_S


def kind_of(errand: Errand) -> str:
    """Return what an errand is called: transfer or gather."""
    return "transfer" if isinstance(errand, TransferErrand) else "gather"


def errand_key(call_id: CallId) -> str:
    """Return the key of a call's errand among the bus's values."""
    return f"errand:{call_id}"


def serialize_errand(errand: Errand) -> str:
    """Return the text kept on the bus."""
    return json.dumps({"kind": kind_of(errand), **asdict(errand)}, separators=(",", ":"))


def parse_errand(text: str) -> Errand:
    """Read an errand back; fields of a newer version are left out.

    Raises:
        InvalidErrand: not an errand, or one out of bounds.
    """
    try:
        data: dict[str, Any] = json.loads(text)
        kind = _KINDS[data["kind"]]
        known = {name: data[name] for name in kind.__slots__ if name in data}
        return kind(**known)
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise InvalidErrand("not an errand") from exc
