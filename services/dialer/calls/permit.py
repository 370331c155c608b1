"""Leave to dial: what stands between an order and Vobiz."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

import structlog

from services.dialer.campaigns.model import CampaignId
from services.dialer.campaigns.pacing import Claimant, Grant, GrantAnswer, Pacing
from services.dialer.errors import AtLimit, DoNotCall
from shared.bus.base import BusUnavailable
from shared.protocol.call import CallId
from shared.vobiz.errors import Verdict, VobizFailure

_log = structlog.get_logger(__name__)


class Permit(Protocol):
    """Leave to dial one call. Methods but `obtain` raise nothing: they log."""

    async def obtain(self, call_id: CallId) -> None:
        """Wait until the call may be dialled; asked again it is renewed.

        Raises:
            DialerError: it may not, or not for now.
            BusUnavailable: nobody knows.
        """
        ...

    def is_good(self) -> bool:
        """Whether what was obtained may be used now: it is void after a moment."""
        ...

    async def sent(self, call_id: CallId) -> None:
        """Vobiz is being asked: the request has gone out."""
        ...

    async def accepted(self, call_id: CallId) -> None:
        """Vobiz said yes."""
        ...

    async def refused(self, call_id: CallId, failure: VobizFailure | None) -> None:
        """Nothing was dialled: Vobiz said no, was not reached, or, None, was not asked.

        The call's record ends after this.
        """
        ...

    async def unsure(self, call_id: CallId, failure: VobizFailure) -> None:
        """Nobody knows whether it was dialled: the permit stays taken."""
        ...


async def note_sent(
    pacing: Pacing, call_id: CallId, grant: Grant, campaign_id: CampaignId | None = None
) -> None:
    """Tell pacing that a call's request has gone out; without Redis others are not told."""
    try:
        await pacing.sent(call_id, grant, campaign_id)
    except BusUnavailable as exc:
        _log.warning("late_send_not_told", call_id=call_id, error=str(exc))


class NoPermit:
    """A Permit for whoever paces by other means."""

    async def obtain(self, call_id: CallId) -> None:
        """It may be dialled."""

    def is_good(self) -> bool:
        """Always."""
        return True

    async def sent(self, call_id: CallId) -> None:
        """Nothing to do."""

    async def accepted(self, call_id: CallId) -> None:
        """Nothing to do."""

    async def refused(self, call_id: CallId, failure: VobizFailure | None) -> None:
        """Nothing to do."""

    async def unsure(self, call_id: CallId, failure: VobizFailure) -> None:
        """Nothing to do."""


class AccountPermit:
    """A Permit for one call by itself, within the account's limits.

    Args:
        pacing: gives grants.
        claimant: whose call it is.
        patience_s: how long a grant is waited for.
    """

    def __init__(self, pacing: Pacing, claimant: Claimant, *, patience_s: float) -> None:
        self._pacing = pacing
        self._claimant = claimant
        self._patience_s = patience_s
        self._grant: Grant | None = None

    async def obtain(self, call_id: CallId) -> None:
        """Ask until the answer is yes; see Permit.

        Raises:
            DoNotCall: the number is on the list.
            AtLimit: the account stayed full.
        """
        until_s = time.monotonic() + self._patience_s
        while True:
            grant = await self._pacing.ask(call_id, self._claimant)
            if grant.answer is GrantAnswer.GO:
                self._grant = grant
                return
            if grant.answer is GrantAnswer.DO_NOT_CALL:
                raise DoNotCall
            if time.monotonic() + grant.wait_s > until_s:
                raise AtLimit(grant.why, grant.wait_s)
            await asyncio.sleep(grant.wait_s)

    def is_good(self) -> bool:
        """Whether the grant is young enough."""
        return self._grant is not None and self._pacing.is_good(self._grant)

    async def sent(self, call_id: CallId) -> None:
        """Have it counted from now on where it is late."""
        if self._grant is not None:
            await note_sent(self._pacing, call_id, self._grant)

    async def accepted(self, call_id: CallId) -> None:
        """Its channel is taken until its end."""

    async def refused(self, call_id: CallId, failure: VobizFailure | None) -> None:
        """Give the channel back; where Vobiz is at its limit, let everybody wait."""
        try:
            if failure is not None and failure.verdict is Verdict.RATE_LIMITED:
                await self._pacing.hold(failure.retry_after_s or 1, slow_down=True)
            if self._grant is not None:
                await self._pacing.undo(call_id)
        except BusUnavailable as exc:
            _log.warning("grant_not_undone", call_id=call_id, error=str(exc))

    async def unsure(self, call_id: CallId, failure: VobizFailure) -> None:
        """The channel stays taken until somebody has asked Vobiz."""
