"""Placing a call for a request that may come again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from services.dialer.calls.dialer import Dialer, new_call_id
from services.dialer.calls.idempotency import Answered, Begun, Idempotency
from services.dialer.calls.order import CallOrder
from services.dialer.desk.door import Principal
from services.dialer.errors import AtLimit, DoNotCall, UnknownCall
from services.dialer.problems import MEDIA_TYPE, problem_of
from shared.bus.base import BusUnavailable
from shared.protocol.call import CallId, CallRecord
from shared.vobiz.errors import VobizFailure

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Placed:
    """An answer to an order."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """What the body is."""
        return "application/json" if self.status < 400 else MEDIA_TYPE


class Placing:
    """Places calls, each key's once.

    Args:
        dialer: dials.
        idempotency: what keys were used for; None: keys are passed over.
    """

    def __init__(self, dialer: Dialer, idempotency: Idempotency | None) -> None:
        self._dialer = dialer
        self._idempotency = idempotency

    async def place(
        self, who: Principal, order: CallOrder, key: str | None, fingerprint: str
    ) -> Placed:
        """Place a call, or answer again what a request with this key was answered.

        Raises:
            Refused: the key belongs to another request, or its request is under way.
            AtLimit, DoNotCall, BusUnavailable, VobizFailure: as `Dialer.place`.
        """
        if key is None or self._idempotency is None:
            return _placed(await self._dialer.place(order))
        begun = await self._idempotency.begin(who, key, fingerprint, new_call_id())
        if isinstance(begun, Answered):
            return _repeated(begun)
        return await self._carry_out(order, begun, self._idempotency)

    async def _carry_out(self, order: CallOrder, begun: Begun, keys: Idempotency) -> Placed:
        try:
            record = await self._known(begun) or await self._dialer.place(
                order, call_id=begun.call_id
            )
        except (AtLimit, DoNotCall):
            await keys.release(begun)
            raise
        except VobizFailure as failure:
            problem = problem_of(failure)
            await _kept(keys, begun, problem.status, problem.to_json())
            raise
        placed = _placed(record)
        await _kept(keys, begun, placed.status, placed.body)
        return placed

    async def _known(self, begun: Begun) -> CallRecord | None:
        """Return what became of the call of somebody who began before and never answered."""
        if not begun.is_again:
            return None
        try:
            return await self._dialer.get(begun.call_id)
        except UnknownCall:
            return None


async def _kept(keys: Idempotency, begun: Begun, status: int, body: Mapping[str, Any]) -> None:
    """Keep an answer; without it, the call's record is what the same request gets later."""
    try:
        await keys.finish(begun, status, body)
    except BusUnavailable as exc:
        _log.warning("answer_not_kept", call_id=begun.call_id, error=str(exc))


def _placed(record: CallRecord) -> Placed:
    return Placed(201, record.to_json(), {"Location": _place_of(record.call_id)})


def _repeated(answered: Answered) -> Placed:
    headers = {"Idempotency-Replayed": "true"}
    if answered.status < 400:
        headers["Location"] = _place_of(answered.call_id)
    if (wait_s := answered.body.get("retry_after_s")) is not None:
        headers["Retry-After"] = str(wait_s)
    return Placed(answered.status, answered.body, headers)


def _place_of(call_id: CallId) -> str:
    return f"/v1/calls/{call_id}"
