"""PURE. What travels on the bus and what the worker pool is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from shared.protocol.call import CallChange, CallId, CallRecord, CallState, WorkerId, merge_change


class Channel(StrEnum):
    """The bus's channels.

    `calls` carries every change of a call's state, `hangups` each call's end once, `workers` what
    concerns the pool, and `campaigns` how the dialer's campaigns go.
    """

    CALLS = "calls"
    HANGUPS = "hangups"
    WORKERS = "workers"
    CAMPAIGNS = "campaigns"


@dataclass(frozen=True, slots=True)
class BusEvent:
    """One event.

    `entry_id` names its place in the durable stream and grows with time; it is set by publishing.
    `data` is flat text so that any client of Redis can read it.
    """

    channel: Channel
    kind: str
    call_id: CallId | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    entry_id: str = ""

    def to_json(self) -> str:
        """Return the text stored in the stream and sent on the channel."""
        return json.dumps(
            {
                "channel": self.channel,
                "kind": self.kind,
                "call_id": self.call_id,
                "data": dict(self.data),
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str, *, entry_id: str) -> BusEvent:
        """Read an event back.

        Raises:
            ValueError: not an event of this platform.
        """
        try:
            body = json.loads(text)
            return cls(
                channel=Channel(body["channel"]),
                kind=str(body["kind"]),
                call_id=CallId(body["call_id"]) if body["call_id"] is not None else None,
                data={str(k): str(v) for k, v in body["data"].items()},
                entry_id=entry_id,
            )
        except (KeyError, TypeError, AttributeError) as exc:
            raise ValueError("not a bus event") from exc

    def placed(self, entry_id: str) -> BusEvent:
        """Return the event with its place in the stream."""
        return replace(self, entry_id=entry_id)


LEASE_S = 3.0
"""How long a worker counts as there after its last heartbeat, and the calls it named in it."""
BOOKING_S = 15.0
"""How long a place is kept for a call that its worker has not named yet."""


@dataclass(frozen=True, slots=True)
class WorkerLease:
    """A worker as the pool sees it; `address` is its WebSocket's host:port."""

    worker_id: WorkerId
    address: str
    capacity: int
    active: int = 0
    lag_ms: float = 0.0
    version: str = ""
    zone: str = ""
    draining: bool = False

    def to_json(self) -> str:
        """Return the text kept in the registry; `active` is counted from bookings instead."""
        return json.dumps(
            {
                "worker_id": self.worker_id,
                "address": self.address,
                "capacity": self.capacity,
                "lag_ms": round(self.lag_ms, 3),
                "version": self.version,
                "zone": self.zone,
                "draining": self.draining,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str, *, active: int) -> WorkerLease:
        """Read a registry entry.

        Raises:
            ValueError, KeyError, TypeError: not a lease.
        """
        body = json.loads(text)
        return cls(
            worker_id=WorkerId(body["worker_id"]),
            address=str(body["address"]),
            capacity=int(body["capacity"]),
            active=active,
            lag_ms=float(body["lag_ms"]),
            version=str(body["version"]),
            zone=str(body["zone"]),
            draining=bool(body["draining"]),
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of a change to a call's record."""

    record: CallRecord
    state_changed: bool
    became_final: bool


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """Something to be delivered outside.

    `item_id` names it for ever: the same id is delivered once however often it is added. `payload`
    is text that the outbox does not read; secrets don't belong in it. Nothing of it is kept for
    longer than `keep_s`.
    """

    item_id: str
    payload: str
    max_attempts: int = 40
    max_age_s: float = 86_400.0
    keep_s: float = 7 * 86_400.0


class Added(StrEnum):
    """What became of an item that was added."""

    NEW = "new"
    KNOWN = "known"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Claim:
    """An item that one worker holds for a while. `attempt` counts from 1 and fences the claim."""

    item_id: str
    payload: str
    attempt: int
    age_s: float


class Retried(StrEnum):
    """What became of an item that was given back."""

    WAITING = "waiting"
    DEAD = "dead"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An item that will not be delivered. `reason` is `tries`, `age`, or the burier's word."""

    item_id: str
    payload: str
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """How full an outbox is: items that wait, dead letters kept, items refused since it began."""

    pending: int
    dead: int
    refused: int


TRIES_USED_UP = "tries"
TIME_USED_UP = "age"


def apply_change(
    current: CallRecord | None, change: CallChange, *, now_iso: str
) -> tuple[Applied, list[BusEvent]]:
    """Merge a change into a record and say which events tell of it, in order."""
    record, state_changed, became_final = merge_change(current, change, now_iso=now_iso)
    events = []
    if state_changed:
        data = {"state": record.state.value, "direction": record.direction or ""}
        events.append(BusEvent(Channel.CALLS, "state", record.call_id, data))
    if became_final:
        data = {
            "state": record.state.value,
            "end_class": record.end_class or "",
            "end_reason": record.end_reason or "",
            "cause": record.hangup_cause or "",
        }
        events.append(BusEvent(Channel.HANGUPS, "hangup", record.call_id, data))
    return Applied(record, state_changed, became_final), events


def is_open_for_calls(lease: WorkerLease) -> bool:
    """Whether a worker may be given one more call."""
    return not lease.draining and lease.active < lease.capacity


__all__ = [
    "BOOKING_S",
    "LEASE_S",
    "TIME_USED_UP",
    "TRIES_USED_UP",
    "Added",
    "Applied",
    "BusEvent",
    "CallState",
    "Channel",
    "Claim",
    "DeadLetter",
    "OutboxCounts",
    "OutboxItem",
    "Retried",
    "WorkerLease",
    "apply_change",
    "is_open_for_calls",
]
