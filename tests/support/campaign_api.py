"""The routes of campaigns and of the do-not-call list in this process, on a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.dialer.app import create_app
from services.dialer.calls.idempotency import Idempotency
from services.dialer.campaigns.intake import Intake
from services.dialer.campaigns.ledger import Ledger
from services.dialer.campaigns.requests import CampaignRequests, CampaignRules
from services.dialer.campaigns.routes import campaign_routes
from services.dialer.desk.desk import Desk
from services.dialer.desk.door import Door, Principal, Scope
from services.dialer.numbers.do_not_call import DoNotCallList
from services.dialer.numbers.routes import number_routes
from shared.bus.redis import open_bus
from shared.bus.redis.bus import RedisBus

ROOT_KEY = "root-key-of-the-tests"
READERS_KEY = "key-of-one-who-reads"
CSV = {"Content-Type": "text/csv"}


class OneReader:
    """A KeyJudge that knows one key, which may read campaigns and numbers."""

    async def judge(self, key: str) -> Principal | None:
        """Return whose key it is."""
        scopes = frozenset({Scope.CAMPAIGNS_READ, Scope.NUMBERS_READ})
        return Principal("reader", "0" * 12, scopes) if key == READERS_KEY else None


@dataclass
class CampaignApi:
    """The API, asked with the root key. `now` is its clock, Unix time."""

    app: FastAPI
    api: httpx.AsyncClient
    bus: RedisBus
    ledger: Ledger
    clock: Clock

    async def upload(
        self, text: str | bytes | Iterable[bytes], path: str = "/v1/campaigns?name=list"
    ) -> httpx.Response:
        """Send a table."""
        content: Any = text.encode() if isinstance(text, str) else text
        if not isinstance(content, bytes):
            content = _pieces(content)
        return await self.api.post(path, content=content, headers=CSV)

    async def keys(self) -> set[str]:
        """Return the names of all keys of the dialer."""
        found = await self.bus.store.redis.keys(f"{self.bus.store.prefix}:dial:*")
        return {str(name).removeprefix(f"{self.bus.store.prefix}:dial:") for name in found}


@dataclass
class Clock:
    """A clock that a test sets."""

    unix_s: float = field(default=1_795_000_000.0)

    def __call__(self) -> float:
        """Return Unix time."""
        return self.unix_s


async def _pieces(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@asynccontextmanager
async def open_campaign_api(
    redis_url: str, rules: CampaignRules | None = None, *, rows_max: int = 1_000_000
) -> AsyncIterator[CampaignApi]:
    """Open one."""
    clock, rules = Clock(), rules or CampaignRules()
    async with open_bus(redis_url, timeout_s=2.0) as bus:
        ledger, desk = Ledger(bus.store, rows_max=rows_max), Desk(Door(ROOT_KEY, OneReader()))
        intake = Intake(ledger, bus.store, rows_max=rows_max)
        keys = Idempotency(bus.store, lease_s=30)
        requests = CampaignRequests(ledger, intake, rules, keys, clock)
        routers = [
            campaign_routes(requests, ledger, desk),
            number_routes(DoNotCallList(bus.store), desk, rules.upload),
        ]
        app = create_app(routers, bus, CollectorRegistry())
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://dialer",
            headers={"Authorization": f"Bearer {ROOT_KEY}"},
        ) as api:
            yield CampaignApi(app, api, bus, ledger, clock)
