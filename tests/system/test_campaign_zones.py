"""Calling hours, proved over days: a list over many zones at a simulated clock, around DST changes.

The runner, the ledger, the grants and Redis are the real ones; the clock moves when the test says
so, and Vobiz is a notebook. Whoever is dialled is busy, so that everybody is due again and again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from prometheus_client import CollectorRegistry

from services.dialer.calls.dialer import Dialer
from services.dialer.calls.order import CallLimits, CallOrder, GatewayAddress
from services.dialer.campaigns.claims import Claims
from services.dialer.campaigns.ledger import Ledger
from services.dialer.campaigns.model import (
    Calendar,
    Campaign,
    CampaignId,
    CampaignSpec,
    NewRow,
    Row,
)
from services.dialer.campaigns.outcome import Outcome
from services.dialer.campaigns.pacing import PaceRules, Pacing
from services.dialer.campaigns.retry import RetryRules
from services.dialer.campaigns.row_permit import RowTools, Trouble
from services.dialer.campaigns.runner import Runner
from services.dialer.campaigns.settler import Settler
from services.dialer.campaigns.windows import Calendar as WindowCalendar
from services.dialer.campaigns.windows import parse_windows
from shared.bus.redis import open_bus
from shared.metrics.catalogue import BusMetrics, DialerMetrics
from shared.protocol.call import CallId
from shared.runtime.tasks import TaskOwner
from shared.vobiz.client import AfterSending, BeforeSending, HangupOutcome
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.system

ZONES = (
    "Pacific/Kiritimati",
    "Pacific/Auckland",
    "Australia/Lord_Howe",  # its clocks change by half an hour
    "Australia/Sydney",
    "Asia/Kathmandu",  # 5:45 ahead
    "Asia/Kolkata",
    "Asia/Dubai",
    "Africa/Cairo",
    "Europe/Berlin",
    "Europe/London",
    "America/Sao_Paulo",
    "America/New_York",
    "America/Los_Angeles",
    "Pacific/Honolulu",
)
COAST_TO_COAST = ("America/New_York", "America/Los_Angeles")
DAYS = 3
STEP = timedelta(minutes=10)
OPEN, CLOSE = time(9), time(21)
SOON_S = 0.9
"""A runner that has nothing to do at this time of day rests longer."""


class Wall:
    """The time of day, as the test has it."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def ms(self) -> int:
        return int(self.at.timestamp() * 1000)


@dataclass
class Notebook:
    """Stands in for Vobiz: accepts every call and writes down when it was asked for."""

    wall: Wall
    dialled: list[tuple[str, datetime]] = field(default_factory=list)
    new: list[CallId] = field(default_factory=list)

    async def make_call(
        self,
        body: Mapping[str, str | int],
        *,
        before_sending: BeforeSending | None = None,
        after_sending: AfterSending | None = None,
    ) -> str | None:
        if before_sending is not None:
            await before_sending()
        call_id = parse_qs(urlsplit(str(body["answer_url"])).query)["c"][0]
        self.dialled.append((str(body["to"]), self.wall.at))
        self.new.append(CallId(call_id))
        return f"vobiz-{call_id}"

    async def hang_up(self, call_uuid: str) -> HangupOutcome:
        return HangupOutcome.ALREADY_OVER


@dataclass
class Stage:
    """What dials, with its hands tied: it looks when it is told to."""

    wall: Wall
    notebook: Notebook
    ledger: Ledger
    claims: Claims
    settler: Settler
    dialer: Dialer
    runner: Runner

    async def campaign(self, spec: CampaignSpec, rows: list[NewRow]) -> CampaignId:
        made = await self.ledger.create(spec, now_ms=self.wall.ms())
        await self.ledger.add_rows(made.campaign_id, rows, more_follow=False)
        await self.ledger.start(made.campaign_id, now_ms=self.wall.ms())
        return made.campaign_id

    async def dial_all_that_is_due(self) -> None:
        """Look until there is nothing to be done at this time; all who are called are busy."""
        async with asyncio.timeout(30):
            while (wait_s := await self.runner.look()) < SOON_S:
                await asyncio.sleep(wait_s)  # the pace of grants is Redis's, in real time
                await self.dialer.until_idle()
                await self._end_calls()

    async def _end_calls(self) -> None:
        ended, self.notebook.new = self.notebook.new, []
        for call_id in ended:
            place = await self.claims.place_of(call_id)
            assert place is not None
            assert await self.settler.settle(place, call_id, Outcome.BUSY)


def order_of(campaign: Campaign, row: Row) -> CallOrder:
    return CallOrder(to_number=row.to_number, from_number="+918000000001", agent="default")


def calendar_of(windows: Any) -> Calendar:
    return WindowCalendar(parse_windows(windows))


@asynccontextmanager
async def open_stage(redis: RedisServer, begins: datetime) -> AsyncIterator[Stage]:
    registry, wall = CollectorRegistry(), Wall(begins)
    metrics, notebook = DialerMetrics(registry), Notebook(wall)
    async with (
        open_bus(redis.url, metrics=BusMetrics(registry)) as bus,
        TaskOwner("zones", stop_timeout_s=5) as tasks,
    ):
        ledger, claims = Ledger(bus.store), Claims(bus.store)
        pacing = Pacing(bus.store, PaceRules(cps=10_000), metrics, concurrency=100_000)
        settler = Settler(claims, ledger, bus, metrics, wall_ms=wall.ms)
        dialer = Dialer(
            notebook,
            bus.calls,
            metrics,
            gateway=GatewayAddress("http://127.0.0.1:1", None),
            limits=CallLimits(None, None),
        )
        tools = RowTools(claims, ledger, pacing, settler, Trouble(), wall.ms, patience_s=5.0)
        runner = Runner(tools, dialer, tasks, order_of=order_of, calendar_of=calendar_of)
        yield Stage(wall, notebook, ledger, claims, settler, dialer, runner)


def people() -> dict[str, tuple[str, ...]]:
    """Numbers that exist nowhere, two in each zone, and one that may be on either coast."""
    found: dict[str, tuple[str, ...]] = {
        f"+9180000{index:05d}": (zone,) for index, zone in enumerate((*ZONES, *ZONES), 10_000)
    }
    return found | {"+918000020000": COAST_TO_COAST}


def local(at: datetime, zone: str) -> datetime:
    return at.astimezone(ZoneInfo(zone))


def openings(
    dialled: list[tuple[str, datetime]], people: Mapping[str, tuple[str, ...]]
) -> dict[tuple[str, date], tuple[time, time]]:
    """The first and the last time of day at which each zone was called on each of its days."""
    times: dict[tuple[str, date], list[time]] = defaultdict(list)
    for number, at in dialled:
        for zone in people.get(number, ()):
            times[zone, local(at, zone).date()].append(local(at, zone).time())
    return {key: (min(found), max(found)) for key, found in times.items()}


@pytest.mark.parametrize(
    ("begins", "changed"),
    [
        (date(2026, 10, 24), ("Europe/Berlin", "Europe/London")),  # an hour twice
        (date(2027, 3, 13), ("America/New_York", "America/Los_Angeles")),  # an hour skipped
        (date(2026, 10, 3), ("Australia/Sydney", "Australia/Lord_Howe")),
    ],
)
async def test_nobody_is_called_outside_nine_to_nine_where_they_are(
    redis_server: RedisServer, begins: date, changed: tuple[str, ...]
) -> None:
    called = people()
    # A second past: rows that are due at the same time follow each other by parts of one.
    start = datetime.combine(begins, time(0, 0, 1), UTC)
    for zone in changed:
        after = local(start + timedelta(days=DAYS), zone).utcoffset()
        assert local(start, zone).utcoffset() != after, "no change of clocks"
    waits = tuple([7000.0] * 19)
    spec = CampaignSpec("hours", needs_agent=False, retry=RetryRules(20, {Outcome.BUSY: waits}))
    async with open_stage(redis_server, start) as stage:
        rows = [NewRow(number, zones=zones) for number, zones in called.items()]
        await stage.campaign(spec, rows)
        while stage.wall.at < start + timedelta(days=DAYS):
            await stage.dial_all_that_is_due()
            stage.wall.at += STEP
        dialled = stage.notebook.dialled

    for number, at in dialled:
        for zone in called[number]:
            assert OPEN <= local(at, zone).time() < CLOSE, (number, zone, local(at, zone))
    # It has dialled all the while: each zone was called at once when its day began, and until late.
    hours = openings(dialled, {n: z for n, z in called.items() if len(z) == 1})
    whole_days = [key for key in hours if _is_whole(key, start)]
    assert {zone for zone, _ in whole_days} == set(ZONES)
    for key in whole_days:
        first, last = hours[key]
        assert first < time(9, 10), key
        assert last >= time(19), key
    both = [at for number, at in dialled if len(called[number]) > 1]
    assert both
    assert {local(at, zone).hour for at in both for zone in COAST_TO_COAST} <= set(range(9, 21))


def _is_whole(key: tuple[str, date], start: datetime) -> bool:
    """Whether a zone's day, from nine to nine, lies within the days played."""
    zone, day = key
    opens = datetime.combine(day, OPEN, ZoneInfo(zone))
    closes = datetime.combine(day, CLOSE, ZoneInfo(zone))
    return start <= opens and closes <= start + timedelta(days=DAYS)
