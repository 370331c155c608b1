"""What one call has the network do, and the wait for its end: transfers, keys.

While the caller is away the session rests: no clock of it runs, and the loss of the link means
nothing. It goes on when the caller comes back by another link, and is over when somebody else has
taken the caller, or when nobody can come back any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, assert_never

import structlog

from services.agent.providers.base import GatherDigits
from services.agent.turn import events as ev
from services.agent.wire.network import (
    Departure,
    FarPartyAnswered,
    FarPartyMissed,
    KeysCollected,
    Left,
    Network,
    NetworkCall,
    NetworkError,
    NetworkEvent,
    WhoAnswered,
)
from shared.protocol.call import EndReason
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
_NEWS_S = 2.0
"""How long the news of an errand may be late when the caller is back already."""


def _nobody(_kind: str, _began_s: float, _outcome: str) -> None: ...


@dataclass(slots=True)
class _Away:
    """An errand under way; `failed` is what the session hears when the caller is back."""

    kind: str
    began_s: float
    left: Left
    call: NetworkCall
    over: EndReason
    failed: ev.Event
    is_told: bool = False
    is_back: bool = False
    is_reported: bool = False


class Errands:
    """One call's errands, one at a time.

    Args:
        network: does them.
        owner: of the tasks.
        on_event: takes what comes of them.
        on_stop: called when the stream is to be stopped for one.
        on_over: told of each that is over: its kind, when it began, and how it went.
    """

    def __init__(
        self,
        network: Network,
        owner: TaskOwner,
        *,
        on_event: Callable[[ev.Event], None],
        on_stop: Callable[[], None],
        on_over: Callable[[str, float, str], None] = _nobody,
    ) -> None:
        self._on_over = on_over
        self._network = network
        self._owner = owner
        self._on_event = on_event
        self._on_stop = on_stop
        self._away: _Away | None = None
        self._is_leaving = False
        self._early: list[NetworkEvent] = []
        self._is_back_early = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_away(self) -> bool:
        """Whether the caller is elsewhere for a while."""
        return self._is_leaving or (self._away is not None and not self._away.is_back)

    # --- leaving -----------------------------------------------------------------------------

    def transfer(self, call: NetworkCall, to: str, caller_id: str) -> None:
        """Hand the caller over; TransferFailed follows when that fails."""
        leave = self._network.leave_to_transfer(call, to=to, caller_id=caller_id)
        work = self._leave("transfer", call, leave, EndReason.TRANSFERRED, ev.TransferFailed())
        self._start(work, "transfer")

    def gather(self, call: NetworkCall, request: GatherDigits) -> None:
        """Have keys collected; DigitsGathered follows."""
        leave = self._network.leave_to_gather(
            call,
            prompt=request.prompt,
            most=request.most,
            finish_on_key=request.finish_on_key,
            timeout_s=request.timeout_s,
        )
        work = self._leave("gather", call, leave, EndReason.CARRIER_LOST, ev.DigitsGathered(""))
        self._start(work, "gather")

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        # From now on, not from when the network has answered: it may end the stream before.
        self._is_leaving = True
        self._early.clear()
        self._is_back_early = False
        self._owner.start(work, name=name)

    def send_digits(self, call: NetworkCall, digits: str) -> None:
        """Press keys towards the other side."""
        self._owner.start(self._press(call, digits), name="digits")

    async def _press(self, call: NetworkCall, digits: str) -> None:
        try:
            await self._network.send_digits(call, digits)
        except NetworkError as exc:
            _log.warning("digits_not_sent", call_id=call.call_id, error=str(exc))

    async def _leave(
        self,
        kind: str,
        call: NetworkCall,
        leave: Coroutine[Any, Any, Left],
        over: EndReason,
        failed: ev.Event,
    ) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            left = await leave
        except NetworkError as exc:
            _log.warning("errand_not_begun", call_id=call.call_id, kind=kind, error=str(exc))
            self._on_over(kind, began_s, "not_begun")
            self._is_leaving = False
            self._on_event(failed)
            return
        self._away = _Away(kind, began_s, left, call, over, failed)
        self._is_leaving = False
        self._timer = loop.call_later(left.longest_away_s, self._on_nobody_back)
        self._catch_up(left)

    def _catch_up(self, left: Left) -> None:
        """Take what has come before the network said that it had begun: its answer may be slow.

        Whoever is back already has been where they were to go: that stream is not to be stopped.
        """
        if self._is_back_early:
            self.on_back()
        elif left.departure is Departure.BY_STOP and not any(map(self._is_about, self._early)):
            self._on_stop()
        early, self._early = self._early, []
        for event in early:
            self.on_network(event)

    def _on_nobody_back(self) -> None:
        away, self._away = self._away, None
        if away is not None:
            self._report(away, "nobody_back")
            self._on_event(ev.CallOver(away.over))

    # --- coming back -------------------------------------------------------------------------

    def on_network(self, event: NetworkEvent) -> None:
        """Take what the network tells of this call."""
        if self._is_leaving and not isinstance(event, WhoAnswered):
            self._early.append(event)
            return
        match event:
            case WhoAnswered():
                self._on_event(ev.MachineJudged(event.is_machine))
            case FarPartyAnswered():
                if (away := self._away) is not None and self._is_mine(event.errand_id):
                    self._report(away, "answered")
                    self._end()
                    self._on_event(ev.CallOver(EndReason.TRANSFERRED))
            case FarPartyMissed():
                if self._is_mine(event.errand_id):
                    self._tell(ev.TransferFailed())
            case KeysCollected():
                if self._is_mine(event.errand_id):
                    self._tell(ev.DigitsGathered(event.digits))
            case _:
                assert_never(event)

    def _is_about(self, event: NetworkEvent) -> bool:
        return not isinstance(event, WhoAnswered) and self._is_mine(event.errand_id)

    def _is_mine(self, errand_id: str) -> bool:
        return self._away is not None and self._away.left.errand_id == errand_id

    def _tell(self, event: ev.Event) -> None:
        away = self._away
        if away is None or away.is_told:
            return
        away.is_told = True
        if away.is_back:
            self._end()
        self._on_event(event)

    def on_back(self) -> None:
        """The caller is back on a stream; news that are missing still may follow."""
        self._is_back_early = self._is_leaving
        away = self._away
        if away is None or away.is_back:
            return
        self._owner.start(self._network.came_back(away.call, away.left.errand_id), name="came_back")
        away.is_back = True
        self._report(away, "back")
        if away.is_told:
            self._end()
        else:
            self._restart_timer(_NEWS_S, lambda: self._tell(away.failed))

    # --- the end -----------------------------------------------------------------------------

    def _restart_timer(self, after_s: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(after_s, callback)

    def _end(self) -> None:
        self._away = None
        self.close()

    def _report(self, away: _Away, outcome: str) -> None:
        if not away.is_reported:
            away.is_reported = True
            self._on_over(away.kind, away.began_s, outcome)

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._away is not None:
            self._report(self._away, "call_over")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
