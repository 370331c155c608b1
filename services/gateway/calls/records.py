"""What the gateway writes down about calls, and what it does when the store is away.

A record that can't be written never holds a call up: the failure is logged, counted by the bus
itself, and the caller of a webhook is told to try again where that helps.
"""

from __future__ import annotations

from typing import Any

import structlog

from shared.bus.base import BusUnavailable, CallStore
from shared.bus.messages import Applied
from shared.protocol.call import (
    CallChange,
    CallId,
    CallRecord,
    CallState,
    Direction,
    EndClass,
    EndReason,
    WorkerId,
)
from shared.protocol.webhook import Webhook, call_end

_log = structlog.get_logger(__name__)


class Records:
    """The calls' records, as this gateway reads and writes them."""

    def __init__(self, store: CallStore, gateway_id: str) -> None:
        self._store = store
        self._gateway_id = gateway_id

    async def find(self, call_id: CallId) -> CallRecord | None:
        """Return a record.

        Raises:
            BusUnavailable: nobody knows.
        """
        return await self._store.get(call_id)

    async def recent(self, limit: int, *, before: CallId | None = None) -> list[CallRecord]:
        """Return the newest records first, see CallStore; raises BusUnavailable."""
        return await self._store.recent(limit, before=before)

    async def answered(
        self, call_id: CallId, webhook: Webhook, direction: Direction, agent: str
    ) -> bool:
        """An answer webhook has come: an inbound call rings still, an outbound one is talking.

        Returns:
            whether the call is known to be over: its hang-up was written down first.
        """
        is_inbound = direction is Direction.INBOUND
        fields = _numbers(webhook) | {
            "direction": direction,
            "agent": agent,
            "gateway_id": self._gateway_id,
        }
        state = CallState.RINGING if is_inbound else CallState.IN_PROGRESS
        record = await self._write(CallChange(call_id, state, fields))
        return record is not None and record.state.is_final

    async def ringing(self, call_id: CallId, webhook: Webhook) -> None:
        """The far phone rings."""
        fields = _numbers(webhook)
        if webhook.direction is not None:
            fields["direction"] = webhook.direction
        await self._write(CallChange(call_id, CallState.RINGING, fields))

    async def media_started(self, call_id: CallId, worker_id: WorkerId | None) -> None:
        """The caller's first frame has come."""
        fields = {"worker_id": worker_id, "gateway_id": self._gateway_id}
        await self._write(CallChange(call_id, CallState.IN_PROGRESS, fields))

    async def worker_changed(self, call_id: CallId, worker_id: WorkerId) -> None:
        """Another worker has the call now."""
        await self._write(CallChange(call_id, fields={"worker_id": worker_id}))

    async def machine_detected(self, call_id: CallId, *, is_machine: bool) -> None:
        """Vobiz has judged who answered."""
        fields = {"metadata": {"machine": "true" if is_machine else "false"}}
        await self._write(CallChange(call_id, fields=fields))

    async def will_end(self, call_id: CallId, end_class: EndClass, reason: EndReason) -> None:
        """Write why a call is about to end, before the hang-up webhook says that it has."""
        fields = {"end_class": end_class, "end_reason": reason}
        await self._write(CallChange(call_id, fields=fields))

    async def ended(self, call_id: CallId, webhook: Webhook) -> Applied:
        """A hang-up webhook has come; return what became of the record.

        Raises:
            BusUnavailable: not written; Vobiz should bring it again.
        """
        state, end_class, reason = call_end(webhook)
        fields = _numbers(webhook) | {
            "hangup_cause": webhook.hangup_cause or None,
            "hangup_cause_code": webhook.hangup_cause_code or None,
            "hangup_source": webhook.hangup_source or None,
            "duration_s": webhook.duration_s,
            "direction": webhook.direction,
            "end_class": end_class,
            "end_reason": reason,
        }
        return await self._store.apply(CallChange(call_id, state, fields))

    async def _write(self, change: CallChange) -> CallRecord | None:
        """Change a record; return it as it is now, None when that is not known."""
        try:
            return (await self._store.apply(change)).record
        except BusUnavailable:
            state = change.state.value if change.state else None
            _log.warning("record_not_written", call_id=change.call_id, state=state)
            return None


def _numbers(webhook: Webhook) -> dict[str, Any]:
    return {
        "call_uuid": webhook.call_uuid,
        "from_number": webhook.from_number or None,
        "to_number": webhook.to_number or None,
    }
