"""Leave to dial a campaign's row, and what becomes of the row when Vobiz does not say yes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from services.dialer.calls.permit import note_sent
from services.dialer.campaigns.claims import Claims
from services.dialer.campaigns.ledger import Ledger
from services.dialer.campaigns.model import Campaign, Row, RowPlace
from services.dialer.campaigns.outcome import Outcome
from services.dialer.campaigns.pacing import Claimant, Grant, GrantAnswer, Pacing
from services.dialer.campaigns.settler import Settler
from services.dialer.errors import CampaignStands, DialerError, UnknownCampaign
from shared.bus.base import BusUnavailable
from shared.protocol.call import CallId
from shared.vobiz.errors import Verdict, VobizFailure

_log = structlog.get_logger(__name__)
_ACCOUNT_FAULTS: Final = frozenset(
    {
        Verdict.NO_BALANCE,
        Verdict.UNAUTHORIZED,
        Verdict.FORBIDDEN,
        Verdict.NOT_FOUND,
        Verdict.NOT_CONFIGURED,
    }
)
"""They hold for every call: campaigns pause until somebody has put it right."""
_LONGEST_BACKOFF_S: Final = 30.0
_NO_NUMBER: Final = "country code"
_CLOSED: Final = Grant(GrantAnswer.WAIT, why="closed")


class NotGranted(DialerError):
    """A row that may not be dialled now; `grant` says why."""

    def __init__(self, grant: Grant) -> None:
        super().__init__(grant.answer, grant.why)
        self.grant = grant


class Trouble:
    """How often in a row Vobiz could not be reached or failed: each time all wait twice as long."""

    def __init__(self) -> None:
        self._failures = 0

    def next_wait_s(self) -> float:
        """Count a failure and return how long to wait."""
        self._failures += 1
        return float(min(_LONGEST_BACKOFF_S, 2 ** min(self._failures - 1, 10)))

    def is_over(self) -> None:
        """Vobiz has answered."""
        self._failures = 0


@dataclass(frozen=True, slots=True)
class RowTools:
    """What a row's permit works with; `wall_ms` is Unix time."""

    claims: Claims
    ledger: Ledger
    pacing: Pacing
    settler: Settler
    trouble: Trouble
    wall_ms: Callable[[], int]
    patience_s: float


class RowPermit:
    """A Permit for a leased row.

    Args:
        tools: what it works with.
        campaign: whose row.
        row: the row.
        lease: by which it is held.
        is_open: whether the person may be called at this hour, asked right before the grant.
        on_granted: called once, with the first grant.
    """

    def __init__(
        self,
        tools: RowTools,
        campaign: Campaign,
        row: Row,
        lease: str,
        *,
        is_open: Callable[[], bool],
        on_granted: Callable[[], None],
    ) -> None:
        spec = campaign.spec
        self._tools = tools
        self._place = RowPlace(campaign.campaign_id, row.n)
        self._lease = lease
        self._is_open = is_open
        self._on_granted = on_granted
        self._grant: Grant | None = None
        self._is_barred = False
        self._claimant = Claimant(
            row.to_number,
            campaign.campaign_id,
            row,
            lease,
            needs_agent=spec.needs_agent,
            time_limit_s=spec.time_limit_s,
        )

    async def obtain(self, call_id: CallId) -> None:
        """Ask until the answer is yes; see Permit.

        Raises:
            NotGranted: the answer is no, or stayed wait for too long.
        """
        until_s = time.monotonic() + self._tools.patience_s
        while True:
            if not self._is_open():
                raise NotGranted(_CLOSED)
            grant = await self._tools.pacing.ask(call_id, self._claimant)
            if grant.answer is GrantAnswer.GO:
                if self._grant is None:
                    self._on_granted()
                self._grant = grant
                return
            self._is_barred = grant.answer is GrantAnswer.DO_NOT_CALL
            is_wait = grant.answer is GrantAnswer.WAIT
            if not is_wait or time.monotonic() + grant.wait_s > until_s:
                raise NotGranted(grant)
            await asyncio.sleep(grant.wait_s)

    def is_good(self) -> bool:
        """Whether the grant is young enough."""
        return self._grant is not None and self._tools.pacing.is_good(self._grant)

    async def sent(self, call_id: CallId) -> None:
        """Have it counted from now on where it is late."""
        if self._grant is not None:
            await note_sent(self._tools.pacing, call_id, self._grant, self._place.campaign_id)

    async def accepted(self, call_id: CallId) -> None:
        """The row is placed; its call's end settles it, whether this is noted or not."""
        self._tools.trouble.is_over()
        try:
            await self._tools.claims.placed(self._place, call_id)
        except BusUnavailable as exc:
            _log.warning("row_not_noted", call_id=call_id, error=str(exc))

    async def refused(self, call_id: CallId, failure: VobizFailure | None) -> None:
        """Do what the reason asks for. Others are held up first, then the row is given back."""
        try:
            if failure is None:
                await self._give_back(call_id)
            else:
                await self._on_refusal(call_id, failure)
        except BusUnavailable as exc:
            # Still asking: the end of its record settles it, or Vobiz is asked about it.
            _log.warning("row_not_given_back", call_id=call_id, error=str(exc))

    async def _on_refusal(self, call_id: CallId, failure: VobizFailure) -> None:
        tools, verdict = self._tools, failure.verdict
        if verdict is Verdict.RATE_LIMITED:
            await tools.pacing.hold(failure.retry_after_s or 1, slow_down=True)
            await self._give_back(call_id)
        elif verdict is Verdict.UNREACHABLE:
            await tools.pacing.hold(tools.trouble.next_wait_s(), slow_down=False)
            await self._give_back(call_id)
        elif verdict in _ACCOUNT_FAULTS:
            await self._pause_all(verdict)
            await self._give_back(call_id)
        elif verdict is Verdict.INVALID:
            is_number = _NO_NUMBER in failure.message.lower()
            outcome = Outcome.INVALID_NUMBER if is_number else Outcome.REFUSED
            await tools.settler.settle(self._place, call_id, outcome)
        else:
            await tools.settler.settle(self._place, call_id, Outcome.FAILED)

    async def _give_back(self, call_id: CallId) -> None:
        claims, due_ms = self._tools.claims, self._tools.wall_ms()
        campaign_id, n = self._place.campaign_id, self._place.n
        if await claims.not_dialled(self._place, call_id, due_ms=due_ms):
            return
        if self._is_barred:
            barred = Outcome.DO_NOT_CALL
            await claims.end_row(campaign_id, self._lease, n, barred, now_ms=due_ms)
        else:
            await claims.give_back(campaign_id, self._lease, [(n, due_ms)])

    async def _pause_all(self, verdict: Verdict) -> None:
        """Every running campaign: they dial from the same account."""
        for prospect in await self._tools.claims.prospects():
            try:
                await self._tools.ledger.pause(
                    prospect.campaign_id, reason=verdict.value, now_ms=self._tools.wall_ms()
                )
            except (CampaignStands, UnknownCampaign):
                continue
            _log.error("campaign_paused", campaign_id=prospect.campaign_id, reason=verdict.value)

    async def unsure(self, call_id: CallId, failure: VobizFailure) -> None:
        """The row stays asking until its call's end, or Vobiz, says what came of it."""
        try:
            await self._tools.pacing.hold(self._tools.trouble.next_wait_s(), slow_down=False)
        except BusUnavailable as exc:
            _log.warning("not_held", call_id=call_id, error=str(exc))
