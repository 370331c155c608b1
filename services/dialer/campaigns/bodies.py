"""PURE. What the routes of campaigns read.

Windows, retry and pause rules are judged by who knows them; here they are only documented.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from services.dialer.calls.machine import MachineBody, MachineDetection
from services.dialer.campaigns.judge import PauseRules
from services.dialer.campaigns.model import CampaignSpec
from services.dialer.campaigns.retry import RetryRules
from services.dialer.campaigns.row_rules import AGENT_PATTERN, check_variables
from services.dialer.campaigns.windows import WEEKDAYS, parse_windows
from services.dialer.numbers.e164 import NumberCheck, e164

NAME_PATTERN = r"^[^\x00-\x1f\x7f]+$"
NAME_MAX_CHARS = 100

_TIME = {"type": "string", "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"}
_SPANS = {
    "type": "array",
    "maxItems": 12,
    "items": {"type": "array", "minItems": 2, "maxItems": 2, "items": _TIME},
    "examples": [[["09:00", "12:30"], ["14:00", "21:00"]]],
}
WINDOWS_SCHEMA: dict[str, Any] = {
    "description": "When people may be called, by the clock where the phone rings; null: 9 to 21."
    " Either always, or daily, or days; a span that ends at or before its start runs on into the"
    " next day. zone: by its clock, wherever the phone is.",
    "anyOf": [
        {"type": "null"},
        {
            "type": "object",
            "properties": {
                "always": {"const": True},
                "daily": _SPANS,
                "days": {
                    "type": "object",
                    "properties": dict.fromkeys(WEEKDAYS, _SPANS),
                    "additionalProperties": False,
                },
                "holidays": {"type": "array", "items": {"type": "string", "format": "date"}},
                "zone": {"type": "string", "examples": ["Asia/Kolkata"]},
            },
            "additionalProperties": False,
        },
    ],
}
RETRY_SCHEMA: dict[str, Any] = {
    "description": "after_s: for an outcome, the wait after the first such try, after the second"
    " and so on; what is not named is not tried again. null: busy, no_answer and failed are.",
    "anyOf": [
        {"type": "null"},
        {
            "type": "object",
            "properties": {
                "max_attempts": {"type": "integer", "minimum": 1, "maximum": 20},
                "after_s": {
                    "type": ["object", "null"],
                    "additionalProperties": {"type": "array", "items": {"type": "number"}},
                },
            },
            "additionalProperties": False,
            "examples": [{"max_attempts": 3, "after_s": {"busy": [300, 900]}}],
        },
    ],
}
_SHARE = {"anyOf": [{"type": "null"}, {"type": "number", "exclusiveMinimum": 0, "maximum": 1}]}
PAUSE_SCHEMA: dict[str, Any] = {
    "description": "When the campaign pauses itself, by its newest tries; null for a rule: never.",
    "anyOf": [
        {"type": "null"},
        {
            "type": "object",
            "properties": {
                "error_rate": _SHARE,
                "answer_rate_min": _SHARE,
                "answer_rate_max": _SHARE,
                "over_last": {"type": "integer", "minimum": 5, "maximum": 1000},
            },
            "additionalProperties": False,
        },
    ],
}
ROWS_SCHEMA: dict[str, Any] = {
    "type": "array",
    "description": "Numbers to call; one that is bad is told by its line, and skipped or refused.",
    "items": {
        "type": "object",
        "properties": {
            "to": {"type": "string", "description": "international form"},
            "variables": {"type": "object", "additionalProperties": {"type": "string"}},
            "zone": {"type": "string", "description": "where the phone is; else by the number"},
            "agent": {"type": "string", "description": "who talks; else the campaign's"},
            "line": {"type": "integer", "description": "yours, for what is told of the row"},
        },
        "required": ["to"],
    },
}


class OnBadRow(StrEnum):
    """What becomes of a list with bad rows: they are left out, or all of it is."""

    SKIP = "skip"
    REFUSE = "refuse"


class CampaignBody(BaseModel):
    """The body of POST /v1/campaigns."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=NAME_MAX_CHARS, pattern=NAME_PATTERN)
    agent: str | None = Field(None, pattern=AGENT_PATTERN, description="null: the default one")
    from_: str | None = Field(None, alias="from", max_length=64, description="null: FROM_NUMBER")
    variables: dict[str, str] = Field(
        default_factory=dict, description="of every row; its own go before them"
    )
    machine_detection: MachineDetection | MachineBody | None = Field(
        None, description="off, detect or hangup, or an object with more to say; null: as set up"
    )
    ring_timeout_s: int | None = Field(None, ge=5, le=600, strict=True)
    time_limit_s: int | None = Field(None, ge=10, le=86_400, strict=True)
    priority: int = Field(5, ge=1, le=9, strict=True, description="9 goes before 1")
    cps: float | None = Field(None, gt=0, le=1000, description="calls per second; null: account's")
    concurrency: int | None = Field(None, ge=1, le=100_000, strict=True, description="at once")
    require_free_agent: bool = Field(
        True, strict=True, description="nobody is dialled for whom no agent is free"
    )
    windows: Annotated[Any, WithJsonSchema(WINDOWS_SCHEMA)] = None
    retry: Annotated[Any, WithJsonSchema(RETRY_SCHEMA)] = None
    pause_rules: Annotated[Any, WithJsonSchema(PAUSE_SCHEMA)] = None
    on_bad_row: OnBadRow = OnBadRow.SKIP
    rows: Annotated[list[Any], WithJsonSchema(ROWS_SCHEMA)] = Field(default_factory=list)
    start: bool = Field(False, strict=True, description="begin to dial at once")

    def spec(self, check: NumberCheck) -> CampaignSpec:
        """Return what is wanted, sound.

        Raises:
            InvalidOrder: the first part that can't be.
        """
        check_variables(self.variables)
        return CampaignSpec(
            name=self.name,
            agent=self.agent,
            from_number=e164(self.from_, "from", check) if self.from_ is not None else None,
            variables=self.variables,
            machine_detection=self._machine_detection,
            ring_timeout_s=self.ring_timeout_s,
            time_limit_s=self.time_limit_s,
            priority=self.priority,
            cps=self.cps,
            concurrency=self.concurrency,
            windows=parse_windows(self.windows).to_json(),
            retry=RetryRules.from_json(self.retry),
            pause_rules=PauseRules.from_json(self.pause_rules),
            needs_agent=self.require_free_agent,
        )

    @property
    def _machine_detection(self) -> Any:
        wanted = self.machine_detection
        if isinstance(wanted, MachineBody):
            return wanted.model_dump(mode="json", exclude_none=True)
        return wanted.value if wanted is not None else None


class RowsBody(BaseModel):
    """The body of POST /v1/campaigns/{id}/rows."""

    model_config = ConfigDict(extra="forbid")

    rows: Annotated[list[Any], WithJsonSchema(ROWS_SCHEMA)]
    on_bad_row: OnBadRow = OnBadRow.SKIP


class CampaignPatch(BaseModel):
    """The body of PATCH /v1/campaigns/{id}; what is not in it stays as it is."""

    model_config = ConfigDict(extra="forbid")

    priority: int = Field(5, ge=1, le=9, strict=True)
    cps: float | None = Field(None, gt=0, le=1000, description="null: the account's alone")
    concurrency: int | None = Field(None, ge=1, le=100_000, strict=True)
    windows: Annotated[Any, WithJsonSchema(WINDOWS_SCHEMA)] = None
    retry: Annotated[Any, WithJsonSchema(RETRY_SCHEMA)] = None
    pause_rules: Annotated[Any, WithJsonSchema(PAUSE_SCHEMA)] = None

    def changes(self) -> dict[str, Any]:
        """Return the fields of a spec that change.

        Raises:
            InvalidOrder: the first part that can't be.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if "windows" in given:
            given["windows"] = parse_windows(given["windows"]).to_json()
        if "retry" in given:
            given["retry"] = RetryRules.from_json(given["retry"])
        if "pause_rules" in given:
            given["pause_rules"] = PauseRules.from_json(given["pause_rules"])
        return given
