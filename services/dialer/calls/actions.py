"""What can be done to a call that is up, besides hanging up: transfer it, press keys, speak."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable
from typing import Protocol, TypeVar

import structlog

from services.dialer.calls.dialer import vobiz_id_of
from services.dialer.calls.order import GatewayAddress
from services.dialer.errors import CallOver, NotInProgress, UnknownCall
from shared.bus.base import Bus
from shared.metrics.catalogue import DialerMetrics
from shared.protocol.call import CallId, CallRecord, CallState, Direction
from shared.protocol.errand import ERRAND_LIFE_S, TransferErrand, errand_key, serialize_errand
from shared.vobiz.client import CallAction, CallSteering, CallVoice
from shared.vobiz.errors import VobizFailure

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class Steering(CallSteering, CallVoice, Protocol):
    """Whoever can act on a call that is up."""


class CallActions:
    """Acts on calls that are up. Nothing is ever asked for twice.

    Each raises UnknownCall, NotInProgress, NotPlacedYet, CallOver, BusUnavailable (nothing was
    done), or VobizFailure with the call's id, whose verdict tells whether it may have been done.

    Args:
        control: Vobiz.
        bus: has the records, and carries errands to the gateways.
        metrics: where times are counted.
        gateway: how Vobiz reaches the gateway.
    """

    def __init__(
        self, control: Steering, bus: Bus, metrics: DialerMetrics, gateway: GatewayAddress
    ) -> None:
        self._control = control
        self._bus = bus
        self._metrics = metrics
        self._gateway = gateway

    async def transfer_to_url(self, call_id: CallId, url: str) -> None:
        """Have a call go on with the XML of another URL; its agent is left."""
        record = await self._in_progress(call_id)
        moved = self._control.transfer(vobiz_id_of(record), url=url)
        await self._asked(call_id, "transfer", moved)

    async def transfer_to_number(self, call_id: CallId, to_number: str) -> None:
        """Hand a call to somebody else; who is not reached leaves it to the agent again.

        It is written down as an errand, which the gateway runs when Vobiz asks for it.
        """
        record = await self._in_progress(call_id)
        call_uuid = vobiz_id_of(record)
        is_inbound = record.direction is Direction.INBOUND
        own = (record.to_number if is_inbound else record.from_number) or ""
        errand = TransferErrand(uuid.uuid4().hex, to_number, own)
        key = errand_key(call_id)
        await self._bus.values.put(key, serialize_errand(errand), ttl_s=ERRAND_LIFE_S)
        query = {} if call_id == call_uuid else {"c": str(call_id)}
        moved = self._control.transfer(call_uuid, url=self._gateway.url("errand", **query))
        try:
            await self._asked(call_id, "transfer", moved)
        except (CallOver, VobizFailure) as exc:
            if isinstance(exc, CallOver) or not exc.verdict.may_have_dialled:
                await self._bus.values.delete(key)
            raise

    async def send_digits(self, call_id: CallId, digits: str) -> None:
        """Press keys (0-9 * # A-D; w and W wait) towards the person."""
        record = await self._in_progress(call_id)
        pressed = self._control.send_digits(vobiz_id_of(record), digits)
        await self._asked(call_id, "dtmf", pressed)

    async def speak(
        self, call_id: CallId, text: str, *, voice: str | None, language: str | None
    ) -> None:
        """Have Vobiz's own voice read a text to the person."""
        record = await self._in_progress(call_id)
        said = self._control.speak(vobiz_id_of(record), text, voice=voice, language=language)
        await self._asked(call_id, "speak", said)

    async def _in_progress(self, call_id: CallId) -> CallRecord:
        record = await self._bus.calls.get(call_id)
        if record is None:
            raise UnknownCall(call_id)
        if record.state.is_final:
            raise CallOver(call_id)
        if record.state is not CallState.IN_PROGRESS:
            raise NotInProgress(call_id)
        return record

    async def _asked(self, call_id: CallId, operation: str, request: Awaitable[CallAction]) -> None:
        try:
            with self._metrics.vobiz_seconds.labels(operation).time():
                done = await request
        except VobizFailure as failure:
            failure.call_id = call_id
            raise
        if done is CallAction.CALL_OVER:
            raise CallOver(call_id)
        _log.info("call_acted_on", call_id=call_id, operation=operation)
