"""Waking whoever watches a campaign: at each of its events, and now and then all the same.

Events are only a call to look: what is shown is the campaign as it stands. A dialer that gives no
events (an older one, a key without `calls:read`, too many that follow) is looked at as often as was
asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from services.dialer.cli.client import DialerClient
from services.dialer.cli.failure import CommandFailed, Refused
from shared.runtime.tasks import TaskOwner, closing

_SELDOM_S: Final = 5.0
"""Between looks while events come: calls that are going up are no event of a campaign."""
_AGAIN_S: Final = 2.0
_PATH: Final = "/v1/events"


class CampaignNews:
    """Whether something is new of a campaign.

    Args:
        campaign_id: whose.
        every_s: between looks where no events come.
    """

    def __init__(self, campaign_id: str, *, every_s: float) -> None:
        self._campaign_id = campaign_id
        self._every_s = every_s
        self._is_new = asyncio.Event()
        self._is_followed = False

    async def wait(self) -> None:
        """Wait until it is worth looking again."""
        try:
            async with asyncio.timeout(_SELDOM_S if self._is_followed else self._every_s):
                await self._is_new.wait()
        except TimeoutError:
            pass
        self._is_new.clear()

    async def follow(self, dialer: DialerClient) -> None:
        """Take in events, coming back after each break; ends where the dialer gives none."""
        last_id: str | None = None
        while True:
            try:
                async with closing(dialer.events(_PATH, last_id)) as events:
                    async for event in events:
                        last_id = event.event_id or last_id
                        self._is_followed = True
                        told = event.fields()
                        of = told.get("data")
                        if isinstance(of, dict) and of.get("campaign") == self._campaign_id:
                            self._is_new.set()
            except Refused as refusal:
                if refusal.http_status < 500 and refusal.http_status != 429:
                    return
            except CommandFailed:
                return
            finally:
                self._is_followed = False
            self._is_new.set()  # what happened in between is seen by looking
            await asyncio.sleep(_AGAIN_S)


@asynccontextmanager
async def campaign_news(
    dialer: DialerClient, campaign_id: str, *, every_s: float
) -> AsyncIterator[CampaignNews]:
    """Follow a campaign while the context lasts."""
    news = CampaignNews(campaign_id, every_s=every_s)
    async with TaskOwner("watch") as tasks:
        tasks.start(news.follow(dialer), name="events")
        yield news
