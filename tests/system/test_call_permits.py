"""Single calls within the account's limits, on a real Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from services.dialer.calls.dialer import Dialer
from services.dialer.calls.order import CallLimits, CallOrder, GatewayAddress
from services.dialer.calls.permit import AccountPermit, NoPermit, Permit
from services.dialer.calls.reconcile import Reconciler
from services.dialer.campaigns.claims import Claims
from services.dialer.campaigns.ledger import Ledger
from services.dialer.campaigns.pacing import Claimant, PaceRules, Pacing
from services.dialer.campaigns.settler import Settler
from services.dialer.errors import AtLimit, DoNotCall
from services.dialer.numbers.do_not_call import Barred, DoNotCallList
from shared.bus.base import BusUnavailable
from shared.bus.redis import RedisBus
from shared.metrics.catalogue import DialerMetrics
from shared.protocol.call import CallId, CallState, EndReason
from shared.vobiz.errors import Verdict, VobizFailure
from tests.support.campaign_stage import BUSY, LoggingVobiz, Play
from tests.support.campaigns import FROM, campaign_bus, campaign_redis, number

__all__ = ["campaign_bus", "campaign_redis"]
pytestmark = pytest.mark.system


class Bench:
    """A dialer of single calls."""

    def __init__(self, bus: RedisBus) -> None:
        self.bus = bus
        self.vobiz = LoggingVobiz(bus)
        self.registry = CollectorRegistry()
        self.metrics = DialerMetrics(self.registry)
        self.claims = Claims(bus.store)
        self.rules = PaceRules(cps=100, margin_s=0.5, look_after_s=0.2)
        self.pacing = Pacing(bus.store, self.rules, self.metrics, concurrency=2)
        self.patience_s = 0.3
        self.dialer = Dialer(
            self.vobiz,
            bus.calls,
            self.metrics,
            gateway=GatewayAddress("http://127.0.0.1:5000"),
            limits=CallLimits(),
            permit_for=self.permit_for,
        )
        self.settler = Settler(self.claims, Ledger(bus.store), bus, self.metrics, wall_ms=lambda: 0)
        self.reconciler = Reconciler(
            self.vobiz,
            bus.calls,
            self.claims,
            self.settler,
            self.metrics,
            look_again_s=0.2,
            recheck_s=0.05,
        )

    def permit_for(self, order: CallOrder) -> Permit:
        return AccountPermit(self.pacing, Claimant(order.to_number), patience_s=self.patience_s)


def order(n: int) -> CallOrder:
    return CallOrder(number(n), FROM)


@pytest.fixture
async def bench(campaign_bus: RedisBus) -> AsyncIterator[Bench]:
    made = Bench(campaign_bus)
    yield made
    await made.vobiz.settle()


async def test_a_call_too_many_waits_and_then_is_told_why_not(bench: Bench) -> None:
    bench.vobiz.play = lambda to, n: Play(lasts_s=0.6)
    for n in (1, 2):
        await bench.dialer.place(order(n))
    with pytest.raises(AtLimit) as caught:
        await bench.dialer.place(order(3))
    assert caught.value.why == "channels"
    assert len(await bench.bus.calls.recent(9)) == 2
    use = await bench.pacing.use()
    assert (use.channels, use.held_s, use.pace) == (2, 0, 1)
    await bench.vobiz.settle()
    for asked in bench.vobiz.asked:
        assert await bench.settler.on_end(asked.call_id)
    # A channel is free a second after the end, and no sooner.
    with pytest.raises(AtLimit):
        await bench.dialer.place(order(3))
    await asyncio.sleep(0.8)
    await bench.dialer.place(order(3))


async def test_a_barred_number_is_not_dialled(bench: Bench) -> None:
    await DoNotCallList(bench.bus.store).add([Barred(number(1), "asked", "", "test")])
    with pytest.raises(DoNotCall):
        await bench.dialer.place(order(1))
    assert bench.vobiz.asked == []
    assert await bench.bus.calls.recent(9) == []


async def test_vobiz_at_its_limit_holds_the_next_call(bench: Bench) -> None:
    bench.vobiz.play = lambda to, n: Play(Verdict.RATE_LIMITED) if n == 1 else Play()
    with pytest.raises(VobizFailure):
        await bench.dialer.place(order(1))
    assert (await bench.pacing.use()).channels == 0
    with pytest.raises(AtLimit) as caught:
        await bench.dialer.place(order(1))
    assert caught.value.why == "held"
    bench.patience_s = 3
    began_s = time.monotonic()
    await bench.dialer.place(order(1))
    assert time.monotonic() - began_s > 0.5
    assert (await bench.pacing.use()).pace < 1


async def test_one_id_is_dialled_once_however_often_it_is_placed(bench: Bench) -> None:
    records = await asyncio.gather(
        *(bench.dialer.place(order(1), call_id=CallId("mine")) for _ in range(3))
    )
    assert {record.call_id for record in records} == {"mine"}
    assert len(bench.vobiz.asked) == 1
    assert (await bench.pacing.use()).channels == 1


async def test_a_permit_that_is_never_in_time_is_given_up(bench: Bench) -> None:
    class Late(NoPermit):
        asked = 0

        async def obtain(self, call_id: CallId) -> None:
            self.asked += 1

        def is_good(self) -> bool:
            return False

    late = Late()
    with pytest.raises(BusUnavailable):
        await bench.dialer.place(order(1), permit=late)
    assert bench.vobiz.asked == []
    assert 1 < late.asked < 100
    (record,) = await bench.bus.calls.recent(9)
    assert record.state is CallState.FAILED


async def test_a_request_that_goes_out_late_counts_from_when_it_did(bench: Bench) -> None:
    """The process stood still after its last look at the grant, as when the machine is too busy."""
    bench.pacing = Pacing(bench.bus.store, PaceRules(cps=1.0, margin_s=0.2), bench.metrics)
    grant = await bench.pacing.ask(CallId("late"), Claimant(number(1)))
    await bench.pacing.sent(CallId("late"), grant)  # in time: nothing changes
    await asyncio.sleep(0.8)
    early = await bench.pacing.ask(CallId("next"), Claimant(number(2)))
    assert (early.why, early.wait_s < 0.45) == ("rate", True)
    await bench.pacing.sent(CallId("late"), grant)
    again = await bench.pacing.ask(CallId("next"), Claimant(number(2)))
    assert again.why == "rate"
    assert again.wait_s > 1.1
    assert bench.registry.get_sample_value("voice_dialer_late_sends_total") == 1
    await bench.pacing.sent(CallId("unknown"), grant)
    assert (await bench.pacing.ask(CallId("next"), Claimant(number(2)))).wait_s > 1.1


async def test_a_single_call_whose_answer_was_lost_is_looked_up(bench: Bench) -> None:
    plays = {
        number(1): Play(Verdict.OUTCOME_UNKNOWN, end=BUSY, is_told=False),
        number(2): Play(Verdict.PLATFORM_ERROR, is_dialled=False),
    }
    bench.vobiz.play = lambda to, n: plays[to]
    for n in (1, 2):
        with pytest.raises(VobizFailure):
            await bench.dialer.place(order(n))
    await asyncio.sleep(0.3)
    await bench.reconciler.look()
    records = {record.to_number: record for record in await bench.bus.calls.recent(9)}
    assert records[number(1)].state is CallState.BUSY
    assert records[number(1)].call_uuid is not None
    assert records[number(2)].end_reason is EndReason.PROVIDER_FAILED
    assert records[number(2)].error == "Vobiz never had this call."
    await asyncio.sleep(1.1)
    assert (await bench.pacing.use()).channels == 0


async def test_a_dialer_that_died_before_the_record_leaves_nothing(bench: Bench) -> None:
    assert (await bench.pacing.ask(CallId("dead"), Claimant(number(1)))).answer == "go"
    assert (await bench.pacing.use()).channels == 1
    await asyncio.sleep(0.3)
    await bench.reconciler.look()
    assert await bench.bus.calls.recent(9) == []
    await asyncio.sleep(1.1)
    assert (await bench.pacing.use()).channels == 0
