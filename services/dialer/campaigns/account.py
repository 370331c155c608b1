"""Asking Vobiz how many calls the account may have at once."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from services.dialer.campaigns.pacing import Pacing
from shared.vobiz.applications import VobizSetup
from shared.vobiz.errors import VobizFailure

_log = structlog.get_logger(__name__)
_EVERY_S: Final = 60.0


class AccountLimits:
    """Tells the pacing what Vobiz says; until it has, and while it does not, nothing changes."""

    def __init__(self, account: VobizSetup, pacing: Pacing) -> None:
        self._account = account
        self._pacing = pacing

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """Ask once."""
        try:
            channels = await self._account.channels()
        except VobizFailure as failure:
            _log.warning("concurrency_not_seen", verdict=failure.verdict, status=failure.status)
            return
        if channels.most > 0 and channels.most != self._pacing.concurrency:
            _log.info("concurrency_seen", calls=channels.most)
            self._pacing.concurrency = channels.most
