"""Replicas of what dials campaigns, on a real Redis, with a Vobiz that keeps a log.

The bus is Redis's own; the gateway is played by writing what its webhooks would.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from prometheus_client import CollectorRegistry

from services.dialer.calls.dialer import Dialer
from services.dialer.calls.order import CallLimits, GatewayAddress
from services.dialer.calls.reconcile import Reconciler
from services.dialer.campaigns.claims import Claims
from services.dialer.campaigns.ledger import Ledger
from services.dialer.campaigns.model import Campaign, CampaignId, CampaignState, Row
from services.dialer.campaigns.orders import RowOrders
from services.dialer.campaigns.pacing import PaceRules, Pacing
from services.dialer.campaigns.row_permit import RowTools, Trouble
from services.dialer.campaigns.runner import Runner, RunnerRules
from services.dialer.campaigns.settler import Settler
from services.dialer.campaigns.windows import Calendar, parse_windows
from shared.bus.base import BusUnavailable
from shared.bus.redis import RedisBus
from shared.bus.redis.client import open_client
from shared.bus.redis.store import Store
from shared.metrics.catalogue import DialerMetrics
from shared.protocol.call import CallChange, CallId, CallState, EndClass, EndReason
from shared.runtime.tasks import TaskOwner
from shared.vobiz.client import AfterSending, BeforeSending, HangupOutcome
from shared.vobiz.errors import Verdict, VobizFailure
from shared.vobiz.lookup import CallFacts, CallsUp, digits_of

BUSY = (CallState.BUSY, EndClass.CALLER, EndReason.BUSY)
ANSWERED = (CallState.COMPLETED, EndClass.SUCCESS, EndReason.CALLER_HUNG_UP)
NO_ANSWER = (CallState.NO_ANSWER, EndClass.CALLER, EndReason.NO_ANSWER)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Play:
    """What Vobiz and the person do in one call.

    `verdict` None: accepted. `is_dialled`: what became of it where its answer is lost.
    `dials_after_s`: how long the request is on its way: nobody can find the call meanwhile.
    """

    verdict: Verdict | None = None
    is_dialled: bool = True
    end: tuple[CallState, EndClass, EndReason] = ANSWERED
    lasts_s: float = 0.05
    is_told: bool = True
    message: str = ""
    dials_after_s: float = 0.0


@dataclass
class Asked:
    """A Make Call that came to Vobiz."""

    at_s: float
    to: str
    call_id: CallId
    is_dialled: bool
    over_s: float | None = None


@dataclass
class LoggingVobiz:
    """CallControl and CallSearch; `play` says what happens to the n-th call of a number."""

    bus: RedisBus
    play: Callable[[str, int], Play] = lambda to, n: Play()
    asked: list[Asked] = field(default_factory=list)
    answers_searches: bool = True
    searches: int = 0
    search_takes_s: Callable[[], float] = lambda: 0.0
    _up: dict[str, tuple[Asked, CallFacts]] = field(default_factory=dict)
    _over: list[CallFacts] = field(default_factory=list)
    _calls: set[asyncio.Task[None]] = field(default_factory=set)

    async def make_call(
        self,
        body: Mapping[str, str | int],
        *,
        before_sending: BeforeSending | None = None,
        after_sending: AfterSending | None = None,
    ) -> str | None:
        to = str(body["to"])
        nth = sum(asked.to == to for asked in self.asked) + 1
        play = self.play(to, nth)
        if play.verdict is Verdict.UNREACHABLE:
            raise VobizFailure(Verdict.UNREACHABLE)
        if before_sending is not None:
            await before_sending()
        call_id = CallId(parse_qs(urlsplit(str(body["answer_url"])).query)["c"][0])
        refuses = play.verdict is not None and not play.verdict.may_have_dialled
        asked = Asked(time.monotonic(), to, call_id, not refuses and play.is_dialled)
        self.asked.append(asked)
        if after_sending is not None:
            await after_sending()
        await asyncio.sleep(play.dials_after_s)
        call_uuid = str(uuid.uuid4())
        if asked.is_dialled:
            facts = CallFacts(call_uuid, "918000000001", digits_of(to), True, datetime.now(UTC))
            self._up[call_uuid] = (asked, facts)
            task = asyncio.get_running_loop().create_task(self._talk(call_uuid, play))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        if play.verdict is not None:
            wait_s = 1 if play.verdict is Verdict.RATE_LIMITED else None
            raise VobizFailure(play.verdict, message=play.message, retry_after_s=wait_s)
        return call_uuid

    async def _talk(self, call_uuid: str, play: Play) -> None:
        asked, facts = self._up[call_uuid]
        await asyncio.sleep(play.lasts_s)
        state, end_class, reason = play.end
        asked.over_s = time.monotonic()
        del self._up[call_uuid]
        talk_s = 1.0 if play.end is ANSWERED else 0.0
        self._over.insert(
            0,
            CallFacts(
                call_uuid, facts.from_digits, facts.to_digits, True, facts.started_at, talk_s,
                end=play.end,
            ),
        )  # fmt: skip
        if play.is_told:
            fields = {
                "call_uuid": call_uuid,
                "end_class": end_class,
                "end_reason": reason,
                "duration_s": talk_s,
                "to_number": asked.to,
            }
            await self.bus.calls.apply(CallChange(asked.call_id, state, fields))

    async def hang_up(self, call_uuid: str) -> HangupOutcome:
        raise AssertionError(call_uuid)

    async def _search(self, look: Callable[[], T]) -> T:
        """Look, with a way there and a way back."""
        self.searches += 1
        await asyncio.sleep(self.search_takes_s())
        if not self.answers_searches:
            raise VobizFailure(Verdict.PLATFORM_ERROR, status=503)
        seen = look()
        await asyncio.sleep(self.search_takes_s())
        return seen

    async def calls_up(self) -> CallsUp:
        return await self._search(lambda: CallsUp(tuple(self._up), True))

    async def call_up(self, call_uuid: str) -> CallFacts | None:
        found = await self._search(lambda: self._up.get(call_uuid))
        return found[1] if found else None

    async def call_over(self, call_uuid: str) -> CallFacts | None:
        def look() -> CallFacts | None:
            return next((facts for facts in self._over if facts.call_uuid == call_uuid), None)

        return await self._search(look)

    async def calls_over(self, page: int) -> list[CallFacts]:
        return await self._search(lambda: self._over[(page - 1) * 50 : page * 50])

    def dialled(self) -> Counter[str]:
        """How often each phone rang."""
        return Counter(asked.to for asked in self.asked if asked.is_dialled)

    def most_in_a_second(self) -> int:
        """Most requests within any one second."""
        times = sorted(asked.at_s for asked in self.asked)
        return max(
            (sum(at <= other < at + 1.0 for other in times) for at in times),
            default=0,
        )

    def most_at_once(self) -> int:
        """Most calls up at any moment."""
        calls = [asked for asked in self.asked if asked.is_dialled]
        return max(
            (
                sum(o.at_s <= c.at_s and (o.over_s is None or o.over_s > c.at_s) for o in calls)
                for c in calls
            ),
            default=0,
        )

    async def settle(self) -> None:
        """Wait for calls that are up."""
        while self._calls:
            await asyncio.wait(set(self._calls))


class DyingStore(Store):
    """A Store of a process that is killed at its n-th command, before it is sent or after.

    Nothing that the process would do after that happens: its commands never return.
    """

    def __init__(self, *args: Any, dies_at: int | None = None, is_after: bool = False, **kw: Any):
        super().__init__(*args, **kw)
        self._dies_at = dies_at
        self._is_after = is_after
        self.commands = 0
        self.names: Counter[str] = Counter()
        self.dead = asyncio.Event()
        self.is_closed = False

    async def run(self, operation: str, command: Awaitable[Any]) -> Any:
        if self.is_closed:
            if asyncio.iscoroutine(command):
                command.close()
            raise BusUnavailable("the process is gone")
        self.commands += 1
        self.names[operation] += 1
        is_last = self.commands == self._dies_at
        if self.dead.is_set() or (is_last and not self._is_after):
            self.dead.set()
            if asyncio.iscoroutine(command):
                command.close()
            await asyncio.get_running_loop().create_future()
        answer = await super().run(operation, command)
        if is_last:
            self.dead.set()
        if self.dead.is_set():
            await asyncio.get_running_loop().create_future()
        return answer


class MortalVobiz:
    """What a process that may be dead sees of Vobiz."""

    def __init__(self, vobiz: LoggingVobiz, store: DyingStore) -> None:
        self._vobiz = vobiz
        self._store = store

    async def make_call(
        self,
        body: Mapping[str, str | int],
        *,
        before_sending: BeforeSending | None = None,
        after_sending: AfterSending | None = None,
    ) -> str | None:
        return await self._vobiz.make_call(
            body, before_sending=before_sending, after_sending=after_sending
        )

    async def hang_up(self, call_uuid: str) -> HangupOutcome:
        return await self._vobiz.hang_up(call_uuid)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a stage's replicas behave."""

    cps: float = 1000.0
    concurrency: int = 1000
    margin_s: float = 0.1
    lease_s: float = 1.0
    look_after_s: float = 1.0
    recheck_s: float = 0.05
    tick_s: float = 0.1
    patience_s: float = 5.0
    held_s: float = 1.0
    trouble: Callable[[], Trouble] = Trouble
    hurry: float = 1.0


class Replica:
    """A dialer: all that dials, on a store of its own."""

    def __init__(self, stage: Stage, store: DyingStore, pace: Pace) -> None:
        self.store = store
        bus = RedisBus(store)
        self.registry = CollectorRegistry()
        metrics = DialerMetrics(self.registry)
        self.ledger, self.claims = Ledger(store), stage.claims_of(store)
        rules = PaceRules(pace.cps, pace.margin_s, 0, pace.look_after_s, 60.0)
        self.pacing = Pacing(store, rules, metrics, concurrency=pace.concurrency)
        self.tasks = TaskOwner("replica", stop_timeout_s=1.0)
        self.dialer = Dialer(
            MortalVobiz(stage.vobiz, store),
            bus.calls,
            metrics,
            gateway=GatewayAddress("http://127.0.0.1:5000"),
            limits=CallLimits(),
        )
        self.settler = Settler(
            self.claims,
            self.ledger,
            bus,
            metrics,
            wall_ms=stage.wall_ms,
            on_change=lambda: self.runner.wake(),
            tick_s=pace.tick_s,
        )
        tools = RowTools(
            self.claims,
            self.ledger,
            self.pacing,
            self.settler,
            pace.trouble(),
            stage.wall_ms,
            pace.patience_s,
        )
        self.runner = Runner(
            tools,
            self.dialer,
            self.tasks,
            order_of=RowOrders("+918000000001").order_of,
            calendar_of=lambda windows: Calendar(parse_windows(windows)),
            rules=RunnerRules(pace.lease_s),
        )
        self.reconciler = Reconciler(
            stage.vobiz,
            bus.calls,
            self.claims,
            self.settler,
            metrics,
            look_again_s=pace.look_after_s,
            recheck_s=pace.recheck_s,
            every_s=pace.tick_s,
            held_s=pace.held_s,
        )

    def start(self) -> None:
        self.tasks.start(self.runner.run(), name="runner")
        self.tasks.start(self.settler.follow(), name="follow")
        self.tasks.start(self.settler.run(), name="sweep")
        self.tasks.start(self.reconciler.run(), name="reconcile")

    async def stop(self) -> None:
        """As a kill would: nothing is finished."""
        self.store.dead.set()
        self.store.is_closed = True
        await self.tasks.stop()


class Stage:
    """Any number of replicas, one Vobiz, one Redis under a prefix of its own."""

    def __init__(
        self, url: str, prefix: str, pace: Pace, claims_of: Callable[[Store], Claims] = Claims
    ) -> None:
        self._url = url
        self.claims_of = claims_of
        self.prefix = prefix
        self.pace = pace
        self._began_s = time.monotonic()
        self._began_ms = int(time.time() * 1000)
        self.replicas: list[Replica] = []

    def wall_ms(self) -> int:
        """Unix time, that may hurry."""
        passed_s = time.monotonic() - self._began_s
        return self._began_ms + int(passed_s * 1000 * self.pace.hurry)

    def set_clock(self, to: datetime) -> None:
        """Let it be another time now."""
        self._began_s = time.monotonic()
        self._began_ms = int(to.timestamp() * 1000)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Stage]:
        async with open_client(self._url, prefix=self.prefix, timeout_s=5.0) as redis:
            self._redis = redis
            store = self.store()
            self.bus = RedisBus(store)
            self.vobiz = LoggingVobiz(self.bus)
            self.ledger, self.claims = Ledger(store), Claims(store)
            try:
                yield self
            finally:
                for replica in self.replicas:
                    await replica.stop()
                await self.vobiz.settle()

    def store(self, *, dies_at: int | None = None, is_after: bool = False) -> DyingStore:
        return DyingStore(
            self._redis,
            prefix=self.prefix,
            timeout_s=10.0,
            metrics=None,
            dies_at=dies_at,
            is_after=is_after,
        )

    def replica(self, *, dies_at: int | None = None, is_after: bool = False) -> Replica:
        store = self.store(dies_at=dies_at, is_after=is_after)
        replica = Replica(self, store, self.pace)
        self.replicas.append(replica)
        replica.start()
        return replica

    async def until(
        self, campaign_id: CampaignId, state: CampaignState, *, within_s: float = 20.0
    ) -> Campaign:
        """Wait until a campaign is in a state; say where its rows are when that does not come."""
        until_s = time.monotonic() + within_s
        while (campaign := await self.ledger.get(campaign_id)).state is not state:
            if time.monotonic() > until_s:
                rows = [row for row in await self.rows(campaign_id) if row.outcome is None]
                raise AssertionError((self.prefix, campaign.state, campaign.reason, rows[:5]))
            await asyncio.sleep(0.02)
        return campaign

    async def rows(self, campaign_id: CampaignId) -> list[Row]:
        rows: list[Row] = []
        after: int | None = 0
        while after is not None:
            page = await self.ledger.rows(campaign_id, limit=500, after=after)
            rows += page.rows
            after = page.next_n
        return rows


def tries_by_number(rows: list[Row]) -> dict[str, list[str]]:
    """Outcomes of each number's tries."""
    tries: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        tries[row.to_number] = [attempt.outcome.value for attempt in row.history]
    return tries


async def becomes_true(check: Callable[[], Awaitable[bool]], *, within_s: float = 10.0) -> None:
    """Wait until a check is true, as what it looks at is in Redis."""
    until_s = time.monotonic() + within_s
    while not await check():
        assert time.monotonic() < until_s, "it did not become true"
        await asyncio.sleep(0.03)
