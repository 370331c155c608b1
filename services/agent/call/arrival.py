"""A call that comes from another worker: its messages wait until its snapshot is there.

The gateway sends the last seconds of the caller first, all at once, then goes on live. What the
other worker has dealt with is dropped by the call, the rest is heard at the times it was spoken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from services.agent.call.call import Call
from services.agent.call.consumed import mark_of
from services.agent.call.kept import KeptCall, read_call
from services.agent.call.parts import Parts
from services.agent.providers.errors import ProviderError
from services.agent.turn.snapshot import BadSnapshot
from services.agent.wire.link import Link
from services.agent.wire.network import NetworkEvent
from shared.bus.base import BusUnavailable, EpochPassed
from shared.protocol.call import EndReason
from shared.protocol.errors import ProtocolError
from shared.protocol.telephony import Media, parse_inbound
from shared.protocol.worker import LinkClose, LinkRequest

_log = structlog.get_logger(__name__)
_CLAIM_S = 1.0
_RING_S = 0.06
"""How long after the link opened the gateway's messages of the last seconds are there."""
_MOST_HELD = 2048
_AT_ONCE = 10
_INTERNAL_ERROR = 1011


class Arrival:
    """One call on its way here; the link's handler from then on.

    Args:
        request: what the gateway told of the call.
        link: the first one.
        parts: the worker's.
        make: makes the call from its snapshot, None where there is none.
        on_ready: called once: with the call, or with None when it can't be taken.
    """

    def __init__(
        self,
        request: LinkRequest,
        link: Link,
        parts: Parts,
        *,
        make: Callable[[KeptCall | None], Call],
        on_ready: Callable[[Arrival, Call | None], None],
    ) -> None:
        self.request = request
        self._link = link
        self._parts = parts
        self._make = make
        self._on_ready = on_ready
        self._held: deque[str] = deque()
        self._news: list[NetworkEvent] = []
        self._over: EndReason | None = None
        self._close_code: int | None = None
        self._call: Call | None = None
        self._is_given_up = False
        self._opened_s = parts.clock.now_s()

    # --- meanwhile ---------------------------------------------------------------------------

    def on_text(self, text: str) -> None:
        """See LinkHandler; held until the call is there, or counted where there is no room."""
        if self._call is not None:
            self._call.on_text(text)
        elif len(self._held) < _MOST_HELD:
            self._held.append(text)
        else:
            self._parts.metrics.messages.labels("overflow").inc()

    def on_link_closed(self, link: Link, code: int) -> None:
        """See LinkHandler."""
        if self._call is not None:
            self._call.on_link_closed(link, code)
        else:
            self._close_code = code

    def on_network(self, event: NetworkEvent) -> None:
        """The network tells of this call."""
        self._news.append(event)

    def over(self, reason: EndReason) -> None:
        """The other side has ended the call."""
        self._over = reason

    def give_up(self, code: int) -> None:
        """Take no call after all; `on_ready` is not called any more."""
        self._is_given_up = True
        self._link.close(code)

    # --- arriving ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Claim the call, go on with it, and catch up with what the caller did meanwhile."""
        try:
            kept = await self._claim()
            if self._is_given_up:
                return
            call = self._make(kept)
        except EpochPassed as exc:
            _log.info("call_not_taken_over", call_id=self.request.call_id, error=str(exc))
            self._refuse("refused", LinkClose.STALE_EPOCH)
            return
        except ProviderError as exc:
            _log.error("call_not_taken_over", call_id=self.request.call_id, error=str(exc))
            self._refuse("refused", _INTERNAL_ERROR)
            return
        except Exception:  # noqa: BLE001 - the top of a task: its place must not be held for ever
            _log.exception("call_crashed", call_id=self.request.call_id)
            self._parts.metrics.ended_by_bug.inc()
            self._refuse("refused", _INTERNAL_ERROR)
            return
        outcome = "no_snapshot" if kept is None else "restored"
        self._parts.metrics.resumed_calls.labels(outcome).inc()
        call.attach(self._link, self.request)
        self._on_ready(self, call)
        call.go_on(kept, since_s=self._opened_s)
        await asyncio.sleep(max(0.0, self._opened_s + _RING_S - self._parts.clock.now_s()))
        await self._catch_up(call)

    def _refuse(self, outcome: str, code: int) -> None:
        self._parts.metrics.resumed_calls.labels(outcome).inc()
        self._link.close(code)
        self._on_ready(self, None)

    async def _claim(self) -> KeptCall | None:
        """Return the newest snapshot; None where there is none that can be read."""
        sessions, request = self._parts.sessions, self.request
        if sessions is None:
            return None
        try:
            async with asyncio.timeout(_CLAIM_S):
                saved = await sessions.claim(request.call_id, request.epoch)
            return None if saved is None else read_call(saved.text)
        except (BusUnavailable, TimeoutError, BadSnapshot) as exc:
            _log.warning("snapshot_not_read", call_id=request.call_id, error=str(exc))
            return None

    async def _catch_up(self, call: Call) -> None:
        """Give the call what was held, a few at a time, each at the time it was spoken."""
        now_s, newest_ms = self._parts.clock.now_s(), None
        for text in reversed(self._held):
            if (newest_ms := _place_of(text)) is not None:
                break
        at_s = now_s
        count = 0
        while self._held and not call.is_ending:
            text = self._held.popleft()
            at_ms = _place_of(text)
            if at_ms is not None and newest_ms is not None:
                at_s = min(now_s, now_s - (newest_ms - at_ms) / 1000)
            call.on_late_text(text, at_s)
            count += 1
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self._call = call
        call.caught_up()
        for event in self._news:
            call.on_network(event)
        if self._over is not None:
            call.over(self._over)
        if self._close_code is not None:
            call.on_link_closed(self._link, self._close_code)


def _place_of(text: str) -> int | None:
    try:
        message = parse_inbound(text)
    except ProtocolError:
        return None
    return mark_of(message) if isinstance(message, Media) else None
