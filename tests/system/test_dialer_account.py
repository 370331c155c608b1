"""What the API says of the account, with the figures of a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from services.dialer.access.account import AccountLook
from services.dialer.campaigns.pacing import Claimant, GrantAnswer, PaceRules, Pacing
from shared.bus.redis import open_bus
from shared.metrics.catalogue import DialerMetrics
from shared.protocol.call import CallId
from shared.vobiz.answers import Balance
from shared.vobiz.errors import Verdict, VobizFailure
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.system


class Purse:
    """An account whose balance is asked for; None: Vobiz fails."""

    def __init__(self, available: float | None) -> None:
        self.available = available
        self.asked = 0

    async def balance(self, currency: str) -> Balance:
        self.asked += 1
        assert currency == "INR"
        if self.available is None:
            raise VobizFailure(Verdict.PLATFORM_ERROR)
        return Balance(self.available, None)


@pytest.fixture
async def pacing(redis_server: RedisServer) -> AsyncIterator[Pacing]:
    async with open_bus(redis_server.url) as bus:
        metrics = DialerMetrics(CollectorRegistry())
        yield Pacing(bus.store, PaceRules(cps=2.0), metrics, concurrency=20)


async def test_the_account_is_shown_as_it_is_used(pacing: Pacing) -> None:
    look = AccountLook(Purse(812.4), pacing, currency="INR")
    assert await look.view() == {
        "balance": 812.4,
        "currency": "INR",
        "cps": 2.0,
        "concurrency": 20,
        "in_use": 0,
        "held_until": None,
        "pace": 1.0,
        "free_agents": 0,
    }
    grant = await pacing.ask(CallId("call-1"), Claimant("+918000000002"))
    assert grant.answer is GrantAnswer.GO
    await pacing.hold(30.0, slow_down=True)
    view = await look.view()
    assert (view["in_use"], view["pace"]) == (1, 0.5)
    left = datetime.fromisoformat(view["held_until"]) - datetime.now(UTC)
    assert timedelta(seconds=25) < left < timedelta(seconds=60)  # spread over all dialers


async def test_the_balance_is_asked_for_twice_a_minute_at_most(pacing: Pacing) -> None:
    purse = Purse(10.0)
    times_s = iter((100.0, 129.0, 130.0, 161.0))
    look = AccountLook(purse, pacing, currency="INR", now_s=lambda: next(times_s))
    for available, shown, asked in (
        (10.0, 10.0, 1),
        (9.0, 10.0, 1),
        (9.0, 9.0, 2),
        (None, None, 3),
    ):
        purse.available = available
        assert ((await look.view())["balance"], purse.asked) == (shown, asked)


async def test_without_an_account_nobody_knows_the_balance(pacing: Pacing) -> None:
    assert (await AccountLook(None, pacing, currency="INR").view())["balance"] is None
