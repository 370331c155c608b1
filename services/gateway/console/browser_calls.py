"""Calls from the console's page: answered, carried and ended as Vobiz's are.

The page is to the media socket what Vobiz is; what Vobiz would say by webhook is said here in its
place. A page may vanish without a word: a call whose socket is gone for good, or never came, is
ended for it.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree

import structlog

from services.gateway.calls.answering import Answering, AnswerOutcome
from services.gateway.calls.held import HeldCall, HeldCalls
from services.gateway.calls.records import Records
from services.gateway.calls.routing import PublicAddress
from services.gateway.calls.switchboard import Switchboard
from shared.bus.base import BusUnavailable
from shared.protocol.call import CallId, CallRecord, CallState, Direction
from shared.protocol.webhook import Webhook
from shared.runtime.clock import Clock
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
CONSOLE = "console"
"""What the record of such a call has for the caller's number."""
_SOURCES = {"caller": "Caller", "agent": "Answer XML"}
_TRY_AGAIN_S = 1.0
_TRIES = 5


class NobodyFree(Exception):
    """No worker has room, or this gateway takes no calls any more.

    Args:
        is_draining: whether it is the latter.
    """

    def __init__(self, *, is_draining: bool) -> None:
        super().__init__(is_draining)
        self.is_draining = is_draining


class NotOurs(Exception):
    """There is no such call, or it is not one of the console's."""


@dataclass(frozen=True, slots=True)
class BrowserCall:
    """A call that waits for its media socket at `media_path`, which begins with /ws/."""

    call_id: CallId
    media_path: str


class BrowserCalls:
    """Begins and ends the calls of the console's page.

    `come_s` is how long a page may take to open the socket, `back_s` how long one that broke may
    take to come back.
    """

    def __init__(
        self,
        *,
        answering: Answering,
        switchboard: Switchboard,
        calls: HeldCalls,
        records: Records,
        clock: Clock,
        tasks: TaskOwner,
        come_s: float,
        back_s: float,
    ) -> None:
        self._answering = answering
        self._switchboard = switchboard
        self._calls = calls
        self._records = records
        self._clock = clock
        self._tasks = tasks
        self._come_s = come_s
        self._back_s = back_s

    async def begin(self, agent: str, address: PublicAddress) -> BrowserCall:
        """Book a worker and make a call's media address, or raise NobodyFree."""
        call_id = CallId(str(uuid.uuid4()))
        asked = Webhook(
            event="StartApp",
            call_uuid=call_id,
            from_number=CONSOLE,
            direction=Direction.INBOUND,
            call_status=CallState.RINGING,
        )
        answer = await self._answering.answer(call_id, asked, agent, address)
        path = _media_path(answer.xml) if answer.outcome is AnswerOutcome.STREAM else None
        if path is None:
            if answer.outcome is not AnswerOutcome.DRAINING:
                await self._end(call_id, "caller")
            raise NobodyFree(is_draining=answer.outcome is AnswerOutcome.DRAINING)
        self._tasks.start(self._expect(call_id), name=f"expect/{call_id}")
        _log.info("browser_call", call_id=call_id)
        return BrowserCall(call_id, path)

    async def hang_up(self, call_id: CallId, source: str) -> None:
        """End a call, once; `source` is caller or agent.

        Raises:
            NotOurs: not one of the console's.
            BusUnavailable: ended here, but not written down; ask again.
        """
        held = self._calls.get(call_id)
        try:
            record = await self._records.find(call_id)
        except BusUnavailable:
            if held is None:
                raise
            record = None
        who = record.from_number if record is not None else None
        if (who or (held.request.from_number if held is not None else "")) != CONSOLE:
            raise NotOurs
        if record is None or not record.state.is_final:
            await self._switchboard.hang_up(call_id, self._hangup(call_id, source, record))

    def socket_left(self, held: HeldCall) -> None:
        """A caller's socket has closed; nothing happens unless it was a page's."""
        if held.request.from_number == CONSOLE and not held.is_final:
            call_id = held.request.call_id
            self._tasks.start(self._follow_up(held), name=f"follow_up/{call_id}")

    async def _expect(self, call_id: CallId) -> None:
        """End a call whose page has not opened its socket, here or at another gateway."""
        await asyncio.sleep(self._come_s)
        held = self._calls.get(call_id)
        if held is not None and held.was_admitted:
            return
        try:
            record = await self._records.find(call_id)
        except BusUnavailable:
            return
        if record is not None and record.state.rank < CallState.IN_PROGRESS.rank:
            await self._end(call_id, "caller")

    async def _follow_up(self, held: HeldCall) -> None:
        """End a call whose socket has closed and does not come back, here or at another gateway."""
        bridge, call_id = held.bridge, held.request.call_id
        if bridge is not None:
            await bridge.wait_over(self._back_s)
        has_moved = self._calls.get(call_id) is not held
        has_newer = held.bridge is not None and held.bridge.has_live_caller
        if not has_moved and not has_newer and not held.is_final:
            await self._end(call_id, "caller")

    async def _end(self, call_id: CallId, source: str) -> None:
        for _ in range(_TRIES):
            try:
                return await self.hang_up(call_id, source)
            except NotOurs:
                return None
            except BusUnavailable:
                await asyncio.sleep(_TRY_AGAIN_S)
        _log.warning("browser_call_not_ended", call_id=call_id)
        return None

    def _hangup(self, call_id: CallId, source: str, record: CallRecord | None) -> Webhook:
        answered_at = record.answered_at if record is not None else None
        has_talked = answered_at is not None
        return Webhook(
            event="Hangup",
            call_uuid=call_id,
            from_number=CONSOLE,
            direction=Direction.INBOUND,
            call_status=CallState.COMPLETED if has_talked else CallState.CANCEL,
            hangup_cause="NORMAL_CLEARING" if has_talked else "ORIGINATOR_CANCEL",
            hangup_cause_code="4000" if has_talked else "1000",
            hangup_source=_SOURCES[source],
            duration_s=self._seconds_since(answered_at) if answered_at is not None else 0.0,
        )

    def _seconds_since(self, iso: str) -> float:
        since = self._clock.wall() - datetime.fromisoformat(iso)
        return max(0.0, round(since.total_seconds(), 1))


def _media_path(xml: bytes) -> str | None:
    stream = ElementTree.fromstring(xml).find("Stream")  # noqa: S314 - our own XML
    if stream is None or not stream.text:
        return None
    return "/ws/" + stream.text.strip().rpartition("/ws/")[2]
