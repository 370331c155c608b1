"""Errands: the caller is handed to Vobiz for a while, and comes back or does not.

The worker has written down what is to be done; here it becomes XML, what came of it is told on
the bus, and who comes back gets a new stream to the session that waits. Any gateway may be asked,
and more than once.
"""

from __future__ import annotations

from typing import assert_never

import structlog

from services.gateway.calls.answering import AnswerRules
from services.gateway.calls.errand_rules import (
    Gathered,
    HandedOver,
    NotHandedOver,
    Outcome,
    errand_answer,
    is_answer,
    read_outcome,
)
from services.gateway.calls.held import HeldCalls
from services.gateway.calls.records import Records
from services.gateway.calls.routing import PublicAddress, callback_query, parting_answer
from services.gateway.calls.token_note import write_note
from services.gateway.media.relay import Parting
from shared.bus.base import Bus, BusUnavailable
from shared.bus.messages import BusEvent, Channel
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, EndClass, EndReason
from shared.protocol.errand import (
    ERRAND_LIFE_S,
    EVENT_GATHERED,
    EVENT_TRANSFER_ANSWERED,
    EVENT_TRANSFER_FAILED,
    Errand,
    InvalidErrand,
    errand_key,
    is_errand_id,
    kind_of,
    parse_errand,
)
from shared.protocol.webhook import Webhook
from shared.runtime.clock import Clock

_log = structlog.get_logger(__name__)


class Errands:
    """Runs the errands of all calls."""

    def __init__(
        self,
        *,
        bus: Bus,
        records: Records,
        calls: HeldCalls,
        rules: AnswerRules,
        metrics: GatewayMetrics,
        clock: Clock,
    ) -> None:
        self._bus = bus
        self._records = records
        self._calls = calls
        self._rules = rules
        self._metrics = metrics
        self._clock = clock

    async def is_pending(self, call_id: CallId) -> bool:
        """Whether something is to be done for a call; False when nobody knows."""
        return await self._find(call_id) is not None

    async def forget(self, call_id: CallId) -> None:
        """Drop what was to be done: the caller is back."""
        try:
            await self._bus.values.delete(errand_key(call_id))
        except BusUnavailable:
            _log.warning("errand_not_forgotten", call_id=call_id)

    async def begin(
        self, call_id: CallId, webhook: Webhook, address: PublicAddress
    ) -> bytes | None:
        """Return the XML of what is to be done for a call, None when nothing is."""
        errand = await self._find(call_id)
        if errand is None:
            return None
        if await self._is_over(call_id):
            return self._hang_up()
        await self._part(call_id, Parting.AWAY)
        self._count(errand, "begun")
        _log.info("errand_begun", call_id=call_id, kind=kind_of(errand))
        return errand_answer(errand, address, callback_query(call_id, webhook.call_uuid))

    async def come_back(self, call_id: CallId, webhook: Webhook, address: PublicAddress) -> bytes:
        """Return the XML that brings a caller back to the agent."""
        if await self._is_over(call_id):
            return self._hang_up()
        await self._part(call_id, Parting.AWAY)
        now_unix_s = self._clock.wall().timestamp()
        held = self._calls.get(call_id)
        note = write_note(held.request, now_unix_s, is_whole=False) if held else ""
        return self._rules.open_stream(address, call_id, webhook.call_uuid, now_unix_s, note)

    async def end(
        self, call_id: CallId, errand_id: str, webhook: Webhook, address: PublicAddress
    ) -> bytes:
        """Tell what came of an errand and return how the call goes on; asked again, the same."""
        if not is_errand_id(errand_id):
            return await self.come_back(call_id, webhook, address)
        if (given := await self._get(_reply_key(call_id, errand_id))) is not None:
            return given.encode()
        if await self._is_over(call_id):
            return self._hang_up()
        errand = await self._find(call_id)
        is_this = errand is not None and errand.errand_id == errand_id
        was_answered = await self._get(_answered_key(call_id, errand_id)) is not None
        known = errand if is_this else None
        outcome = read_outcome(webhook, known, was_answered=was_answered)
        self._count(known, _WORDS[type(outcome)])
        _log.info("errand_ended", call_id=call_id, outcome=_WORDS[type(outcome)])
        xml = await self._agree(
            _reply_key(call_id, errand_id),
            await self._settle(call_id, errand_id, outcome, webhook, address),
        )
        if is_this:
            await self.forget(call_id)
        return xml

    async def _settle(
        self,
        call_id: CallId,
        errand_id: str,
        outcome: Outcome,
        webhook: Webhook,
        address: PublicAddress,
    ) -> bytes:
        match outcome:
            case HandedOver():
                await self._handed_over(call_id, errand_id)
                await self._part(call_id, Parting.ENDED)
                return self._hang_up()
            case Gathered():
                data = {"digits": outcome.digits}
                await self._tell_once(call_id, errand_id, EVENT_GATHERED, data)
            case NotHandedOver():
                data = {"status": outcome.status}
                await self._tell_once(call_id, errand_id, EVENT_TRANSFER_FAILED, data)
            case _:
                assert_never(outcome)
        return await self.come_back(call_id, webhook, address)

    async def on_dial_event(self, call_id: CallId, errand_id: str, webhook: Webhook) -> None:
        """Take in a callback of a transfer; only that the far party answers is news."""
        if not is_answer(webhook) or not is_errand_id(errand_id):
            return
        await self._put(_answered_key(call_id, errand_id), "1")
        await self._handed_over(call_id, errand_id)

    async def _handed_over(self, call_id: CallId, errand_id: str) -> None:
        # The hang-up often comes before the Dial's own end, so the reason is written now.
        await self._records.will_end(call_id, EndClass.SUCCESS, EndReason.TRANSFERRED)
        await self._tell_once(call_id, errand_id, EVENT_TRANSFER_ANSWERED, {})

    # --- the bus --------------------------------------------------------------------------------

    async def _tell_once(
        self, call_id: CallId, errand_id: str, kind: str, data: dict[str, str]
    ) -> None:
        """Publish an event unless that was done; a webhook that comes again may mend a failure."""
        event = BusEvent(Channel.CALLS, kind, call_id, {"errand": errand_id, **data})
        try:
            await publish_once(self._bus, event, f"{call_id}:{errand_id}", ttl_s=ERRAND_LIFE_S)
        except BusUnavailable:
            _log.warning("errand_not_told", call_id=call_id, kind=kind)

    async def _find(self, call_id: CallId) -> Errand | None:
        text = await self._get(errand_key(call_id))
        if text is None:
            return None
        try:
            return parse_errand(text)
        except InvalidErrand as exc:
            _log.error("errand_unreadable", call_id=call_id, problem=str(exc))
            return None

    async def _is_over(self, call_id: CallId) -> bool:
        held = self._calls.get(call_id)
        if held is not None and held.is_final:
            return True
        try:
            record = await self._records.find(call_id)
        except BusUnavailable:
            return False
        return record is not None and record.state.is_final

    async def _part(self, call_id: CallId, parting: Parting) -> None:
        self._calls.part(call_id, parting)
        await self._put(parting_key(call_id), parting)

    async def _agree(self, key: str, xml: bytes) -> bytes:
        """Store an answer unless there is one; return the one that holds."""
        try:
            is_first = await self._bus.values.put(
                key, xml.decode(), ttl_s=ERRAND_LIFE_S, only_if_absent=True
            )
            stored = None if is_first else await self._bus.values.get(key)
        except BusUnavailable:
            return xml
        return xml if stored is None else stored.encode()

    async def _get(self, key: str) -> str | None:
        try:
            return await self._bus.values.get(key)
        except BusUnavailable:
            _log.warning("errand_bus_away")
            return None

    async def _put(self, key: str, value: str) -> None:
        try:
            await self._bus.values.put(key, value, ttl_s=self._rules.memory_s)
        except BusUnavailable:
            _log.warning("errand_bus_away")

    def _hang_up(self) -> bytes:
        return parting_answer(Parting.ENDED, self._rules.texts)

    def _count(self, errand: Errand | None, outcome: str) -> None:
        kind = kind_of(errand) if errand is not None else "unknown"
        self._metrics.errands.labels(kind=kind, outcome=outcome).inc()


_WORDS: dict[type[Outcome], str] = {
    Gathered: "gathered",
    HandedOver: "handed_over",
    NotHandedOver: "not_handed_over",
}


async def publish_once(bus: Bus, event: BusEvent, about: str, *, ttl_s: float) -> None:
    """Publish an event unless one of its kind has been about the same.

    Raises:
        BusUnavailable: not published, or not known to be.
    """
    key = f"told:{about}:{event.kind}"
    if not await bus.values.put(key, "1", ttl_s=ttl_s, only_if_absent=True):
        return
    try:
        await bus.events.publish(event)
    except BusUnavailable:
        await bus.values.delete(key)
        raise


def parting_key(call_id: CallId) -> str:
    """Return the key under which it is kept how a call's media ended."""
    return f"parting:{call_id}"


def _reply_key(call_id: CallId, errand_id: str) -> str:
    return f"errand-reply:{call_id}:{errand_id}"


def _answered_key(call_id: CallId, errand_id: str) -> str:
    return f"errand-answered:{call_id}:{errand_id}"
