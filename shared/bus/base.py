"""Contracts of the bus, and what each part guarantees.

Events: published ones are first made durable in a stream bounded by time, then announced by
pub/sub. A subscriber gets every event at least once, in the order of the stream, however often
its connection breaks, as long as it is away for less than the stream's retention; it may get an
event twice, so handlers are idempotent by `entry_id` or by call.

Records: a change is applied atomically. A state only moves forward and is final once; exactly
one change is told that it made the call final, and exactly one `hangup` event says so.

Pool: a booking is made and counted atomically, so that two gateways never overbook a worker. It
lapses by itself unless the worker confirms it with its heartbeats.

Outbox: what is to be delivered outside is kept until somebody has delivered it, by lease: of many
workers one has an item at a time, and when that one dies another gets it. An item may therefore be
delivered twice, never by two at once while leases are kept; its id tells the receiver.

Sessions: what another worker needs to go on with a call. Of all who write under a call the one with
the highest epoch is heard alone, from the moment it has claimed the call.

Live: what is told of a call to whoever watches at the moment, at most once; nothing depends on it.

Every call to an implementation is bounded in time and raises `BusUnavailable` when the store
does not answer; nothing is retried behind the caller's back except a subscription's reconnect.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from shared.bus.messages import (
    Added,
    Applied,
    BusEvent,
    Channel,
    Claim,
    DeadLetter,
    OutboxCounts,
    OutboxItem,
    Retried,
    WorkerLease,
)
from shared.protocol.call import CallChange, CallId, CallRecord, WorkerId


class BusUnavailable(Exception):
    """The store behind the bus did not answer in time, or refused."""


class EventBus(Protocol):
    """Events between the services."""

    async def publish(self, event: BusEvent) -> BusEvent:
        """Make an event durable, announce it, and return it with its `entry_id`."""
        ...

    def subscribe(
        self, *channels: Channel, after: str | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[BusEvent]]:
        """Follow channels from now on, or from after a known `entry_id`.

        What is published once the context is entered will be delivered.
        """
        ...


class CallStore(Protocol):
    """The calls' records."""

    async def apply(self, change: CallChange) -> Applied:
        """Merge a change, creating the record when there is none, and publish what it means.

        A `state` event goes out on `calls` for each change of state and one `hangup` event on
        `hangups` when the call becomes final.
        """
        ...

    async def get(self, call_id: CallId) -> CallRecord | None:
        """Return a record, or None when it is unknown or older than the retention."""
        ...

    async def recent(self, limit: int, *, before: CallId | None = None) -> list[CallRecord]:
        """Return the newest records by creation, newest first.

        Only those created before a call where one is named; none where that one is not known.
        """
        ...


class WorkerRegistry(Protocol):
    """The pool of agent workers."""

    async def heartbeat(self, lease: WorkerLease, calls: Collection[CallId]) -> None:
        """Renew a worker's lease and confirm the bookings of the calls it holds."""
        ...

    async def withdraw(self, worker_id: WorkerId) -> None:
        """Take a worker out of the pool with all its bookings."""
        ...

    async def reserve(
        self, call_id: CallId, *, exclude: Collection[WorkerId] = (), zone: str = ""
    ) -> WorkerLease | None:
        """Book a place for a call, or return None when the pool is full.

        Of two workers with room, drawn by chance, the one with the lesser fill and loop lag is
        taken, from the gateway's own `zone` while one there has room. A call that holds a booking
        gets the same worker again and the booking's life begins anew, unless that worker is
        excluded: then the old booking is given up first.
        """
        ...

    async def release(self, worker_id: WorkerId, call_id: CallId) -> None:
        """Give a booking up."""
        ...

    async def workers(self) -> list[WorkerLease]:
        """Return the workers whose lease is good, by id."""
        ...


class KeyValue(Protocol):
    """Small values with a life time: answers given, tokens used, nonces seen."""

    async def get(self, key: str) -> str | None:
        """Return a value, or None."""
        ...

    async def put(
        self, key: str, value: str, *, ttl_s: float, only_if_absent: bool = False
    ) -> bool:
        """Set a value; False when it was to be absent and was not."""
        ...

    async def delete(self, key: str) -> None:
        """Remove a value if it is there."""
        ...

    async def increment(self, key: str, *, ttl_s: float, above: int = 0) -> int:
        """Add one to a counter that starts at nought, renew its life, return the new number.

        It is raised to `above` first where it is less.
        """
        ...


class Outbox(Protocol):
    """Things to be delivered, each by one of many workers.

    An item is tried at most `max_attempts` times and for at most `max_age_s`; after that, or when
    it is buried, it is a dead letter: kept to be looked at until its `keep_s` is over. Ids are
    remembered for as long, delivered or not.
    """

    async def add(self, item: OutboxItem) -> Added:
        """Keep an item for delivery; nothing happens when its id is known already.

        The number of items that wait is bounded: a full outbox takes nothing, and counts that.
        """
        ...

    async def claim(self, worker: str, *, lease_s: float, limit: int) -> list[Claim]:
        """Take up to `limit` items that are due, those due first first; each counts as a try.

        Until the lease ends nobody else gets them; after it anybody does. Items whose tries or
        time are used up become dead letters instead.
        """
        ...

    async def done(self, item_id: str) -> bool:
        """Forget a delivered item, whoever holds it; False when there was none."""
        ...

    async def retry(self, claim: Claim, *, after_s: float) -> Retried:
        """Give an item back, to be due again after a while; or it is dead, see the class.

        A claim whose lease has ended and that somebody else has taken since changes nothing.
        """
        ...

    async def bury(self, claim: Claim, *, reason: str) -> bool:
        """Make an item a dead letter at once; False when the claim is no longer good."""
        ...

    async def dead(self, limit: int) -> list[DeadLetter]:
        """Return the newest dead letters, newest first; the number kept is bounded."""
        ...

    async def counts(self) -> OutboxCounts:
        """Return how many items wait (claimed ones too), are dead now, and ever were refused."""
        ...


@dataclass(frozen=True, slots=True)
class CacheBounds:
    """How much a SharedCache keeps: bytes of an entry, entries and bytes in all."""

    entry_bytes: int = 352_000
    entries: int = 2000
    total_bytes: int = 32_000_000


class SharedCache(Protocol):
    """Texts that can be made anew, kept for all services; the oldest make room for the newest."""

    async def get(self, key: str) -> str | None:
        """Return a text, or None."""
        ...

    async def put(self, key: str, value: str, *, ttl_s: float) -> bool:
        """Keep an ASCII text in place of the one before; False when it is too large."""
        ...

    async def keys(self) -> frozenset[str]:
        """Return the keys that are there now."""
        ...


class EpochPassed(Exception):
    """A call was claimed under a higher epoch already."""

    def __init__(self, call_id: CallId, epoch: int) -> None:
        super().__init__(call_id, epoch)
        self.call_id = call_id
        self.epoch = epoch

    def __str__(self) -> str:
        return f"the call has gone on to epoch {self.epoch}"


@dataclass(frozen=True, slots=True)
class Saved:
    """The newest snapshot of a call's session, and the epoch it was written under."""

    epoch: int
    text: str


class SessionStore(Protocol):
    """Snapshots of calls' sessions, fenced by epoch."""

    async def save(self, call_id: CallId, epoch: int, text: str) -> bool:
        """Keep a snapshot in place of the one before; False, and nothing, under a passed epoch."""
        ...

    async def load(self, call_id: CallId) -> Saved | None:
        """Return the newest snapshot, or None."""
        ...

    async def claim(self, call_id: CallId, epoch: int) -> Saved | None:
        """Shut out all lower epochs from now on and return the newest snapshot, or None.

        Raises:
            EpochPassed: a higher epoch has claimed or written already; nothing is changed.
        """
        ...

    async def forget(self, call_id: CallId, epoch: int) -> bool:
        """Drop the snapshot of an ended call; False, and nothing, under a passed epoch.

        The epoch is remembered for a while, so that whoever wakes late still sees that it is.
        """
        ...

    async def epoch(self, call_id: CallId) -> int:
        """Return the highest epoch that has claimed or written; 0 when there was none."""
        ...


class LiveFeed(Protocol):
    """What is told of a call to whoever watches it now; kept nowhere, at most once."""

    async def publish(self, call_id: CallId, text: str) -> None:
        """Tell those who follow the call at the moment."""
        ...

    def follow(self, call_id: CallId) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Follow a call from now on; the iterator raises BusUnavailable when the way is lost."""
        ...


class Bus(Protocol):
    """All of it, on one store."""

    @property
    def events(self) -> EventBus:
        """The events."""
        ...

    @property
    def calls(self) -> CallStore:
        """The records."""
        ...

    @property
    def workers(self) -> WorkerRegistry:
        """The pool."""
        ...

    @property
    def values(self) -> KeyValue:
        """The small values."""
        ...

    @property
    def outbox(self) -> Outbox:
        """The things to be delivered outside."""
        ...

    @property
    def sessions(self) -> SessionStore:
        """The snapshots of sessions."""
        ...

    @property
    def live(self) -> LiveFeed:
        """What is told of calls to those who watch."""
        ...

    async def ping(self) -> bool:
        """Whether the store answers now; never raises."""
        ...
