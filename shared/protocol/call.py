"""PURE. The vocabulary of a call: ids, states, how it ended, and its record.

A call's id in the platform (`CallId`) is Vobiz's CallUUID for an inbound call and an id made by
the dialer for an outbound one, because an outbound call exists before Vobiz has named it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Literal, NewType, NotRequired, Self, TypedDict

CallId = NewType("CallId", str)
StreamId = NewType("StreamId", str)
WorkerId = NewType("WorkerId", str)


class Direction(StrEnum):
    """Who placed the call."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class CallState(StrEnum):
    """The states Vobiz names in `CallStatus`; a call only moves forward through them.

    Source: vobiz.ai docs, call status callbacks; `canceled` is read as `cancel`.
    """

    QUEUED = "queued"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    TIMEOUT = "timeout"
    NO_ANSWER = "no-answer"
    CANCEL = "cancel"

    @property
    def rank(self) -> int:
        """Position in a call's life; every final state has the same, highest one."""
        return _RANKS.get(self, 3)

    @property
    def is_final(self) -> bool:
        """Whether the call is over."""
        return self.rank == 3

    def follows(self, earlier: CallState) -> bool:
        """Whether a call in state `earlier` may move here: forward only, final once."""
        return self.rank > earlier.rank


_RANKS = {CallState.QUEUED: 0, CallState.RINGING: 1, CallState.IN_PROGRESS: 2}


class EndClass(StrEnum):
    """Whose doing the end was; decides alerts and, later, redialling."""

    SUCCESS = "success"
    CALLER = "caller"
    PLATFORM = "platform"
    PROVIDER = "provider"
    UNKNOWN = "unknown"


class EndReason(StrEnum):
    """Why a call ended, closed so that it can label a metric."""

    AGENT_HUNG_UP = "agent_hung_up"
    CALLER_HUNG_UP = "caller_hung_up"
    API_HUNG_UP = "api_hung_up"
    TRANSFERRED = "transferred"
    TIME_LIMIT = "time_limit"
    BUSY = "busy"
    REJECTED = "rejected"
    NO_ANSWER = "no_answer"
    CANCELLED = "cancelled"
    INVALID_NUMBER = "invalid_number"
    BARRED = "barred"
    MACHINE = "machine"
    OUT_OF_CREDIT = "out_of_credit"
    RATE_LIMITED = "rate_limited"
    POOL_FULL = "pool_full"
    AGENT_FAILED = "agent_failed"
    ANSWER_FAILED = "answer_failed"
    PROVIDER_FAILED = "provider_failed"
    CARRIER_FAILED = "carrier_failed"
    CARRIER_LOST = "carrier_lost"
    UNKNOWN = "unknown"


class TurnLatency(TypedDict, total=False):
    """Milliseconds from the end of the caller's speech to the agent's first sound, by stage."""

    endpointing: float
    transcription: float
    brain: float
    synthesis: float
    platform: float
    total: float


class SpeechEntry(TypedDict):
    """Something said; the kind of entry that has no `kind`.

    Attributes:
        who: caller or agent.
        text: as heard: what an interruption cut off is left out. Empty where no text is kept.
        at_ms: from the call's first media until its beginning.
        until_ms: until its end, where that is known.
        is_interrupted: of the agent alone: the caller did not let it end.
        is_understood: of the caller alone: False when the words were not to be trusted.
        latency_ms: of the agent alone: how long the caller waited for it.
    """

    who: Literal["caller", "agent"]
    text: str
    at_ms: int
    until_ms: NotRequired[int]
    is_interrupted: NotRequired[bool]
    is_understood: NotRequired[bool]
    latency_ms: NotRequired[TurnLatency]


class ToolEntry(TypedDict):
    """A tool that was called. `text` is always empty, so that every entry has one."""

    kind: Literal["tool"]
    who: Literal["tool"]
    text: str
    at_ms: int
    name: str
    arguments: dict[str, Any]
    outcome: str
    result: str
    took_ms: float


class KeysEntry(TypedDict):
    """Keys pressed one after another, by the caller or for the agent; they are its `text`."""

    kind: Literal["keys"]
    who: Literal["caller", "agent"]
    text: str
    at_ms: int
    count: int


class CutEntry(TypedDict):
    """Stands in the middle of a transcript that grew too long, for `entries` that are left out."""

    kind: Literal["cut"]
    who: Literal["platform"]
    text: str
    at_ms: int
    entries: int


class UsageEntry(TypedDict):
    """What one provider will charge for in the whole call."""

    kind: str
    provider: str
    unit: str
    amount: float


class CallSummary(TypedDict, total=False):
    """Numbers of one call, for whoever does not want to read the transcript.

    Attributes:
        turns: turns of the caller: words, understood or not.
        interruptions: how often the caller took the word from the agent.
        resumed: how often the agent fell silent for a noise and went on.
        tools: tools called.
        turn_latency_median_ms: end of the caller's speech to the agent's first sound.
        turn_latency_max_ms: the longest of these.
        caller_talk_s: how long the caller spoke; absent where no ends of speech are known.
        agent_talk_s: how long the agent was heard, likewise.
    """

    turns: int
    interruptions: int
    resumed: int
    tools: int
    turn_latency_median_ms: float
    turn_latency_max_ms: float
    caller_talk_s: float
    agent_talk_s: float


class Mark(TypedDict):
    """A moment of a call that nobody said, in order of time.

    Attributes:
        kind: clear (clearAudio was written), cleared (it was acknowledged), checkpoint (`name` was
            heard), barge_in (the caller fell into the agent's words, `ms` before clearAudio),
            worker (`name` has taken the call over).
        at_ms: from the call's first media.
    """

    kind: Literal["clear", "cleared", "checkpoint", "barge_in", "worker"]
    at_ms: int
    name: NotRequired[str]
    ms: NotRequired[float]


@dataclass(frozen=True, slots=True)
class CallRecord:
    """All that is kept of one call.

    Times are ISO-8601 UTC texts, or None while they have not come. `duration_s` counts from the
    answer. `milestones` are milliseconds from the answer webhook (inbound) or from the request to
    dial (outbound). `transcript` holds SpeechEntry, ToolEntry, KeysEntry and at most one CutEntry,
    in order of time. `usage` holds UsageEntry, `summary` is a CallSummary, `marks` holds Mark.
    `recording` has `duration_ms`, and `stopped` where it was given up; empty: the call was not
    recorded. `retention_s`: the record is gone that long after its last change; None leaves it to
    the store. `variables` are what an order brought for the agent's own texts.
    """

    call_id: CallId
    state: CallState
    direction: Direction | None = None
    from_number: str | None = None
    to_number: str | None = None
    agent: str | None = None
    call_uuid: str | None = None
    created_at: str | None = None
    ringing_at: str | None = None
    answered_at: str | None = None
    ended_at: str | None = None
    duration_s: float | None = None
    end_class: EndClass | None = None
    end_reason: EndReason | None = None
    hangup_cause: str | None = None
    hangup_cause_code: str | None = None
    hangup_source: str | None = None
    worker_id: str | None = None
    gateway_id: str | None = None
    error: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    milestones: dict[str, float] = field(default_factory=dict)
    transcript: list[dict[str, Any]] = field(default_factory=list)
    agent_version: str | None = None
    language: str | None = None
    usage: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    recording: dict[str, Any] = field(default_factory=dict)
    retention_s: float | None = None
    marks: list[dict[str, Any]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields, enums as their texts."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a record; unknown fields (of a newer version) are left out.

        Raises:
            KeyError: no call_id or state.
            ValueError: a state, direction, class or reason this version does not know.
        """
        known = {name: data[name] for name in _RECORD_FIELDS if data.get(name) is not None}
        known["call_id"] = CallId(data["call_id"])
        known["state"] = CallState(data["state"])
        for name, kind in (
            ("direction", Direction),
            ("end_class", EndClass),
            ("end_reason", EndReason),
        ):
            if name in known:
                known[name] = kind(known[name])
        return cls(**known)


_RECORD_FIELDS = tuple(f.name for f in fields(CallRecord))
_MERGED_FIELDS = frozenset({"metadata", "milestones", "recording"})


@dataclass(frozen=True, slots=True)
class CallChange:
    """News of a call: perhaps a new state, and record fields to set.

    A state that does not follow the present one is left out and the fields are still merged.
    `metadata`, `milestones` and `recording` are merged key by key; others are replaced, except that
    a time that is already set (`created_at`, `ringing_at`, `answered_at`, `ended_at`) and the
    first `end_class` and `end_reason` stay. `retention_s`, once given, holds for later changes
    too, until another is given: the record expires that long after its last change. A change that
    is `only_unnamed` is void for a record that has Vobiz's id: it says what was concluded from
    Vobiz's not having the call.

    Raises:
        ValueError: a field that is not one of CallRecord's, or call_id, state or retention_s among
            them, or a retention that is not above nought.
    """

    call_id: CallId
    state: CallState | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    retention_s: float | None = None
    only_unnamed: bool = False

    def __post_init__(self) -> None:
        unknown = set(self.fields) - (set(_RECORD_FIELDS) - {"call_id", "state", "retention_s"})
        if unknown:
            raise ValueError(f"not fields of a call record: {sorted(unknown)}")
        if self.retention_s is not None and not 0 < self.retention_s < float("inf"):
            raise ValueError(f"not a time to keep a record for: {self.retention_s}")


_FIRST_STAYS = frozenset(
    {"created_at", "ringing_at", "answered_at", "ended_at", "end_class", "end_reason"}
)


def merge_change(
    current: CallRecord | None, change: CallChange, *, now_iso: str
) -> tuple[CallRecord, bool, bool]:
    """Apply a change to a record (None: there is none yet).

    The time field that belongs to a newly entered state is set to `now_iso` unless the change
    brings one. A call whose first news has no state begins as queued.

    Returns:
        the record, whether its state changed (a new record counts), whether it became final.
    """
    if change.only_unnamed and current is not None and current.call_uuid is not None:
        return current, False, False
    data: dict[str, Any] = current.to_json() if current is not None else {"call_id": change.call_id}
    before = current.state if current is not None else None
    state = change.state if change.state is not None else before or CallState.QUEUED
    if before is not None and not state.follows(before):
        state = before
    state_changed = before is None or state is not before
    for name, value in change.fields.items():
        if value is None or (name in _FIRST_STAYS and data.get(name) is not None):
            continue
        if name in _MERGED_FIELDS:
            data[name] = {**(data.get(name) or {}), **value}
        else:
            data[name] = value
    data["state"] = state
    if change.retention_s is not None:
        data["retention_s"] = change.retention_s
    if data.get("created_at") is None:
        data["created_at"] = now_iso
    if state_changed:
        time_field = _TIME_OF.get(state, "ended_at" if state.is_final else "created_at")
        if data.get(time_field) is None:
            data[time_field] = now_iso
    record = CallRecord.from_json(data)
    return record, state_changed, state_changed and record.state.is_final


_TIME_OF = {CallState.RINGING: "ringing_at", CallState.IN_PROGRESS: "answered_at"}


def at_time(change: CallChange, now_iso: str) -> CallChange:
    """Return a change that brings its times itself, to be merged later than it was made."""
    state = change.state
    times: dict[str, Any] = {"created_at": now_iso}
    if state is not None and (state.is_final or state in _TIME_OF):
        times[_TIME_OF.get(state, "ended_at")] = now_iso
    return replace(change, fields=times | dict(change.fields))
