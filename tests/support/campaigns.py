"""A Redis with a ledger on it, for tests of the dialer's campaigns."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from services.dialer.campaigns.ledger import Ledger
from services.dialer.campaigns.model import ANY_TIME, Campaign, CampaignSpec, NewRow
from shared.bus.redis import RedisBus, open_bus
from tests.support.redis_server import RedisServer

FROM = "+918000000001"
NOW_MS = 1_800_000_000_000


@pytest.fixture(scope="module")
def campaign_redis() -> Iterator[RedisServer]:
    """A server for the module. Use `campaign_bus`, which empties it."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
async def campaign_bus(campaign_redis: RedisServer) -> AsyncIterator[RedisBus]:
    """The bus on an empty Redis."""
    with redis.Redis.from_url(campaign_redis.url) as client:
        client.flushall()
    async with open_bus(campaign_redis.url, timeout_s=5.0) as bus:
        yield bus


@pytest.fixture
def ledger(campaign_bus: RedisBus) -> Ledger:
    """A ledger on it."""
    return Ledger(campaign_bus.store)


def number(n: int) -> str:
    """Return the n-th number of a list nobody has."""
    return f"+91800{n:07}"


async def filled(ledger: Ledger, rows: int, spec: CampaignSpec | None = None) -> Campaign:
    """Return a campaign with so many rows."""
    wanted = spec or CampaignSpec("test", from_number=FROM, windows=ANY_TIME, needs_agent=False)
    campaign = await ledger.create(wanted, now_ms=NOW_MS)
    for first in range(1, rows + 1, 500):
        batch = [
            NewRow(number(n), {"name": f"Person {n}"}, ("Asia/Kolkata",), line=n + 1)
            for n in range(first, min(first + 500, rows + 1))
        ]
        more = first + 500 <= rows
        await ledger.add_rows(campaign.campaign_id, batch, more_follow=more)
    return campaign
