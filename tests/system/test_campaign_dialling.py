"""Campaigns dialled by replicas on a real Redis, against a Vobiz that keeps a log."""

from __future__ import annotations

from collections import Counter

import pytest

from services.dialer.campaigns.model import ANY_TIME, CampaignSpec, CampaignState
from services.dialer.campaigns.outcome import Outcome
from services.dialer.campaigns.retry import RetryRules
from tests.support.campaign_stage import Pace, Stage
from tests.support.campaigns import FROM, campaign_redis, filled, number
from tests.support.redis_server import RedisServer

__all__ = ["campaign_redis"]
pytestmark = pytest.mark.system

ONCE = RetryRules(max_attempts=1)


def spec(**wanted: object) -> CampaignSpec:
    plain: dict[str, object] = {"windows": ANY_TIME, "needs_agent": False, "from_number": FROM}
    return CampaignSpec("test", **(plain | wanted))  # type: ignore[arg-type] # of mixed kinds


async def test_every_number_is_dialled_once_by_two_replicas(campaign_redis: RedisServer) -> None:
    async with Stage(campaign_redis.url, "{once}", Pace()).open() as stage:
        campaign = await filled(stage.ledger, 60, spec())
        stage.replica()
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        assert stage.vobiz.dialled() == Counter(number(n) for n in range(1, 61))
        progress = await stage.ledger.progress(campaign.campaign_id)
        assert progress.outcomes == {Outcome.ANSWERED: 60} == progress.tries
        assert (progress.waiting, progress.leased, progress.open_rows) == (0, 0, 0)
