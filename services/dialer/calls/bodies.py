"""PURE. What requests about calls may say, what they are answered, and examples of both."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from services.dialer.calls.machine import MachineBody, MachineDetection
from shared.protocol.call import CallRecord

_Number = Annotated[str, StringConstraints(max_length=64)]
_TO, _FROM = "+918000000002", "+918000000001"
Strict = ConfigDict(extra="forbid", strict=True)


class OrderBody(BaseModel):
    """The body of POST /v1/calls."""

    model_config = Strict

    to: _Number = Field(description="number to dial, international form", examples=[_TO])
    from_: _Number | None = Field(
        None, alias="from", description="your caller number", examples=[_FROM]
    )
    agent: str | None = Field(None, max_length=64, description="the agent that talks")
    variables: dict[str, str] | None = Field(
        None, description="fill {variables.x} in the agent's texts"
    )
    metadata: dict[str, str] | None = Field(None, description="kept with the call's record")
    ring_timeout_s: int | None = Field(None, ge=5, le=600, description="how long it may ring")
    time_limit_s: int | None = Field(None, ge=10, le=86_400, description="how long it may last")
    machine_detection: MachineDetection | MachineBody | None = Field(
        None, description="off, detect or hangup, or an object with more to say of it"
    )
    require_free_agent: bool = Field(False, description="refuse (429) where no agent is free")


class TransferBody(BaseModel):
    """The body of POST /v1/calls/{id}/transfer: one of both."""

    model_config = Strict

    url: str | None = Field(
        None, max_length=2000, pattern=r"^https?://[^\s]+$", description="of XML that takes over"
    )
    to: _Number | None = Field(None, description="number of whoever takes over", examples=[_TO])

    @model_validator(mode="after")
    def _is_one(self) -> TransferBody:
        if (self.url is None) == (self.to is None):
            raise ValueError("say either url or to")
        return self


class DigitsBody(BaseModel):
    """The body of POST /v1/calls/{id}/dtmf."""

    model_config = Strict

    digits: str = Field(
        pattern=r"^[0-9*#A-DwW]{1,128}$", description="0-9 * # A-D; w waits half a second, W one"
    )


class SpeakBody(BaseModel):
    """The body of POST /v1/calls/{id}/speak."""

    model_config = Strict

    text: str = Field(min_length=1, max_length=1000)
    voice: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="WOMAN or MAN")
    language: str | None = Field(None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")


class CallsView(BaseModel):
    """Calls, newest first."""

    calls: list[CallRecord]
    next: str | None = Field(description="cursor of the next page; null: there is none")


class ActedView(BaseModel):
    """What was asked of Vobiz."""

    call_id: str
    action: str


CALL_ID: Final = "5e3f1c0a-4d52-4b0f-9d4e-0d6a51e1f4b7"
ORDER_EXAMPLES: Final[dict[str, Any]] = {
    "plain": {"to": "+918000000002"},
    "reminder": {
        "to": "+918000000002",
        "from": "+918000000001",
        "agent": "reminder",
        "variables": {"name": "Asha", "when": "tomorrow at ten"},
        "metadata": {"appointment": "4711"},
        "ring_timeout_s": 30,
        "time_limit_s": 600,
        "machine_detection": {"mode": "detect", "time_ms": 4000},
    },
}
CALL_EXAMPLE: Final[dict[str, Any]] = {
    "call_id": CALL_ID,
    "state": "queued",
    "direction": "outbound",
    "from_number": "+918000000001",
    "to_number": "+918000000002",
    "agent": "reminder",
    "call_uuid": "0b4c8a52-8d0a-4b65-9f41-a1b5f3f7a7d1",
    "created_at": "2026-11-26T09:00:00.000+00:00",
    "metadata": {"appointment": "4711"},
    "variables": {"name": "Asha", "when": "tomorrow at ten"},
    "milestones": {"vobiz_accepted_ms": 182.4},
}
EVENTS_EXAMPLE: Final = (
    "retry: 1000\n\n"
    "id: 1795683600000-0\nevent: state\n"
    f'data: {{"channel":"calls","kind":"state","call_id":"{CALL_ID}",'
    '"data":{"state":"ringing","direction":"outbound"}}\n\n'
    ": still here\n\n"
)
