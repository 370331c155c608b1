"""What goes on now, as the console shows it: calls, workers, agents, health."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any

import structlog

from services.gateway.console.campaign_look import CampaignLook
from services.gateway.console.neighbours import Neighbours
from shared.bus.base import Bus, BusUnavailable
from shared.bus.messages import WorkerLease
from shared.protocol.call import CallRecord, CallState
from shared.protocol.live import ShownCall, WorkerView, view_key
from shared.runtime.clock import Clock

_log = structlog.get_logger(__name__)
EACH_S = 1.0
_HEALTH_EACH_S = 5.0
_RECENT = 200
_NEWEST_EACH_S = 3.0
"""Whole records are read for this, transcripts included."""
_UNSEEN_S = {CallState.QUEUED: 900.0, CallState.RINGING: 900.0, CallState.IN_PROGRESS: 60.0}
"""How long a call that no worker shows counts: the end of one that was lost is never told."""


class Outlook:
    """What the console shows of now: gathered once a second, however many look.

    Args:
        bus: the pool, the workers' views, the records.
        clock: the gateway's.
        neighbours: asked for their health.
    """

    def __init__(self, bus: Bus, neighbours: Neighbours, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._neighbours = neighbours
        self._lock = asyncio.Lock()
        self._text = ""
        self._at_s = self._health_at_s = float("-inf")
        self._health: dict[str, str] = {}
        self._newest_at_s = float("-inf")
        self._records: list[CallRecord] = []
        self._campaigns = CampaignLook(neighbours)

    async def text(self) -> str:
        """Return it as JSON."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            if loop.time() - self._at_s >= 0.9 * EACH_S:
                if loop.time() - self._health_at_s >= _HEALTH_EACH_S:
                    self._health = await self._neighbours.health()
                    self._health_at_s = loop.time()
                self._text = json.dumps(await self._gather(), separators=(",", ":"))
                self._at_s = loop.time()
            return self._text

    async def _gather(self) -> dict[str, Any]:
        health = {"redis": "ok", "workers": "ok", **self._health}
        leases: list[WorkerLease] = []
        calls: dict[str, dict[str, Any]] = {}
        try:
            leases = await self._bus.workers.workers()
            for record in await self._newest():
                if self._may_be_under_way(record):
                    calls[record.call_id] = _recorded(record)
            for lease, view in zip(leases, await self._views(leases), strict=True):
                for call in view.calls:
                    calls[call.call_id] = _shown(call, lease, calls.get(call.call_id))
        except BusUnavailable:
            health["redis"] = "does not answer"
        if not any(not lease.draining for lease in leases):
            health["workers"] = "none takes calls"
        return {
            "calls": sorted(calls.values(), key=lambda call: -(call["age_s"] or 0.0)),
            "workers": [_worker(lease) for lease in leases],
            "health": health,
            "campaigns": await self._campaigns.seen(),
        }

    async def _newest(self) -> list[CallRecord]:
        now_s = self._clock.now_s()
        if now_s - self._newest_at_s >= _NEWEST_EACH_S:
            self._records = await self._bus.calls.recent(_RECENT)
            self._newest_at_s = now_s
        return self._records

    def _may_be_under_way(self, record: CallRecord) -> bool:
        since = record.answered_at or record.created_at
        if since is None or record.state not in _UNSEEN_S:
            return False
        age_s = (self._clock.wall() - datetime.fromisoformat(since)).total_seconds()
        return age_s < _UNSEEN_S[record.state]

    async def _views(self, leases: list[WorkerLease]) -> list[WorkerView]:
        texts = await asyncio.gather(
            *(self._bus.values.get(view_key(lease.worker_id)) for lease in leases)
        )
        return [_read_view(text) for text in texts]

    async def agents(self) -> list[dict[str, str]]:
        """Return the agents that any worker has, by name; raises BusUnavailable."""
        views = await self._views(await self._bus.workers.workers())
        found = {agent.name: agent for view in views for agent in view.agents}
        return [
            {
                "name": agent.name,
                "version": agent.version,
                "language": agent.language,
                "greeting": agent.greeting,
            }
            for _, agent in sorted(found.items())
        ]


def _read_view(text: str | None) -> WorkerView:
    if text is None:
        return WorkerView()
    try:
        return WorkerView.from_json(text)
    except ValueError:
        _log.warning("worker_view_unreadable")  # of a worker of another version
        return WorkerView()


def _recorded(record: CallRecord) -> dict[str, Any]:
    """A call that no worker shows: it rings, or waits for one."""
    return {
        "call_id": record.call_id,
        "state": record.state.value,
        "direction": record.direction.value if record.direction else "",
        "agent": record.agent or "",
        "from_number": record.from_number or "",
        "to_number": record.to_number or "",
        "worker_id": record.worker_id or "",
        "age_s": None,
        "jitter_ms": None,
        "last_turn_ms": None,
        "turns": 0,
    }


def _shown(call: ShownCall, lease: WorkerLease, known: dict[str, Any] | None) -> dict[str, Any]:
    return {
        **(known or {}),
        "call_id": call.call_id,
        "state": call.state,
        "direction": call.direction,
        "agent": call.agent,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "worker_id": lease.worker_id,
        "age_s": call.age_s,
        "jitter_ms": call.jitter_ms,
        "last_turn_ms": call.last_turn_ms,
        "turns": call.turns,
    }


def _worker(lease: WorkerLease) -> dict[str, Any]:
    return {
        "worker_id": lease.worker_id,
        "capacity": lease.capacity,
        "active": lease.active,
        "lag_ms": round(lease.lag_ms, 2),
        "version": lease.version,
        "zone": lease.zone,
        "draining": lease.draining,
    }
