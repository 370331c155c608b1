"""The ledger of campaigns on a real Redis."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.dialer.campaigns.ledger import Ledger
from services.dialer.campaigns.model import (
    CampaignId,
    CampaignSpec,
    CampaignState,
    NewRow,
    RowState,
)
from services.dialer.campaigns.outcome import Outcome
from services.dialer.errors import CampaignFull, CampaignStands, UnknownCampaign
from shared.bus.messages import Channel
from shared.bus.redis import RedisBus
from tests.support.campaigns import NOW_MS, campaign_bus, campaign_redis, filled, ledger, number

__all__ = ["campaign_bus", "campaign_redis", "ledger"]
pytestmark = pytest.mark.system


async def test_a_campaign_comes_back_as_it_was_made(ledger: Ledger) -> None:
    spec = CampaignSpec("May", "sales", "+918000000001", {"shop": "Süd"}, "detect", 30, 600, 7, 0.5)
    made = await ledger.create(spec, now_ms=NOW_MS)
    assert await ledger.get(made.campaign_id) == made
    assert made.spec == spec


async def test_rows_are_numbered_in_order_and_duplicates_are_named(ledger: Ledger) -> None:
    campaign = await filled(ledger, 3)
    again = [NewRow(number(4)), NewRow(number(2)), NewRow(number(5)), NewRow(number(4))]
    added = await ledger.add_rows(campaign.campaign_id, again, more_follow=False, refused=2)
    assert (added.added, added.first_n, added.duplicates) == (2, 4, (1, 3))
    page = await ledger.rows(campaign.campaign_id, limit=10)
    assert [row.to_number for row in page.rows] == [number(n) for n in (1, 2, 3, 4, 5)]
    assert page.next_n is None
    assert (await ledger.get(campaign.campaign_id)).total == 5
    held = await ledger.get(campaign.campaign_id)
    assert (held.duplicates, held.refused) == (2, 2)


async def test_the_same_batch_is_added_once(ledger: Ledger) -> None:
    campaign = await filled(ledger, 0)
    rows = [NewRow(number(1)), NewRow(number(1))]
    first = await ledger.add_rows(campaign.campaign_id, rows, more_follow=False, batch="b")
    second = await ledger.add_rows(campaign.campaign_id, rows, more_follow=False, batch="b")
    assert first == second
    assert (await ledger.get(campaign.campaign_id)).duplicates == 1


async def test_a_full_campaign_takes_no_row_of_a_batch(campaign_bus: RedisBus) -> None:
    ledger = Ledger(campaign_bus.store, rows_max=3)
    campaign = await filled(ledger, 2)
    with pytest.raises(CampaignFull):
        await ledger.add_rows(
            campaign.campaign_id, [NewRow(number(8)), NewRow(number(9))], more_follow=False
        )
    assert (await ledger.get(campaign.campaign_id)).total == 2


async def test_rows_come_in_pages_and_by_state(ledger: Ledger) -> None:
    campaign = await filled(ledger, 1100)
    seen, after = 0, 0
    while True:
        page = await ledger.rows(campaign.campaign_id, limit=300, after=after)
        seen += len(page.rows)
        if page.next_n is None:
            break
        after = page.next_n
    assert seen == 1100
    page = await ledger.rows(campaign.campaign_id, limit=7, state=RowState.WAITING)
    assert ([row.n for row in page.rows], page.next_n) == (list(range(1, 8)), 7)
    assert not (await ledger.rows(campaign.campaign_id, limit=7, state=RowState.ENDED)).rows
    row = await ledger.row(campaign.campaign_id, 1100)
    assert row is not None
    assert (row.line, row.zones, row.variables) == (
        1101,
        ("Asia/Kolkata",),
        {"name": "Person 1100"},
    )
    assert await ledger.row(campaign.campaign_id, 1101) is None
    assert await ledger.row(campaign.campaign_id, 0) is None


async def test_states_are_moved_as_the_rules_say_and_told_on_the_bus(
    campaign_bus: RedisBus, ledger: Ledger
) -> None:
    campaign = await filled(ledger, 2)
    name = campaign.campaign_id
    with pytest.raises(CampaignStands):
        await ledger.resume(name, now_ms=NOW_MS)
    async with campaign_bus.events.subscribe(Channel.CAMPAIGNS) as events:
        assert (await ledger.start(name, now_ms=NOW_MS)).state is CampaignState.RUNNING
        assert (await ledger.start(name, now_ms=NOW_MS + 5)).started_ms == NOW_MS
        paused = await ledger.pause(name, reason="no_balance", now_ms=NOW_MS)
        assert (paused.state, paused.reason) == (CampaignState.PAUSED, "no_balance")
        assert (await ledger.resume(name, now_ms=NOW_MS)).reason == ""
        assert (await ledger.cancel(name, now_ms=NOW_MS)).state is CampaignState.CANCELLED
        told = [await anext(events) for _ in range(4)]
    assert [event.kind for event in told] == ["started", "paused", "resumed", "cancelled"]
    assert told[3].data == {
        "campaign": name,
        "state": "cancelled",
        "reason": "",
        "total": "2",
        "ended": "2",
        "open": "0",
        "in_call": "0",
    }
    with pytest.raises(CampaignStands):
        await ledger.start(name, now_ms=NOW_MS)
    with pytest.raises(CampaignStands):
        await ledger.add_rows(name, [NewRow(number(9))], more_follow=False)
    progress = await ledger.progress(name)
    assert (progress.waiting, progress.ended) == (0, 2)
    assert progress.outcomes == {Outcome.CANCELLED: 2}
    page = await ledger.rows(name, limit=5, outcome=Outcome.CANCELLED)
    assert [row.state for row in page.rows] == [RowState.ENDED] * 2


async def test_a_patch_changes_what_is_given_alone(ledger: Ledger) -> None:
    campaign = await filled(ledger, 1)
    patched = await ledger.patch(campaign.campaign_id, lambda spec: replace(spec, cps=2.0))
    assert patched.spec == replace(campaign.spec, cps=2.0)
    await ledger.cancel(campaign.campaign_id, now_ms=NOW_MS)
    with pytest.raises(CampaignStands):
        await ledger.patch(campaign.campaign_id, lambda spec: spec)


async def test_campaigns_come_in_pages_the_newest_first(ledger: Ledger) -> None:
    made = [
        (await ledger.create(CampaignSpec(f"n{n}"), now_ms=NOW_MS + n)).campaign_id
        for n in range(3)
    ]
    page = await ledger.page(limit=2)
    assert [found.campaign_id for found in page.campaigns] == [made[2], made[1]]
    rest = await ledger.page(limit=2, after=page.next_id)
    assert [found.campaign_id for found in rest.campaigns] == [made[0]]
    assert rest.next_id is None
    assert not (await ledger.page(limit=2, state=CampaignState.PAUSED)).campaigns
    assert not (await ledger.page(limit=2, after=CampaignId("c-none"))).campaigns


async def test_only_what_is_over_is_removed_and_nothing_of_it_stays(
    campaign_bus: RedisBus, ledger: Ledger
) -> None:
    campaign = await filled(ledger, 5)
    await ledger.start(campaign.campaign_id, now_ms=NOW_MS)
    with pytest.raises(CampaignStands):
        await ledger.remove(campaign.campaign_id)
    await ledger.cancel(campaign.campaign_id, now_ms=NOW_MS)
    await ledger.remove(campaign.campaign_id)
    with pytest.raises(UnknownCampaign):
        await ledger.get(campaign.campaign_id)
    left = await campaign_bus.store.redis.keys("*:dial:*")
    assert [key for key in left if ":batch:" not in key] == []


async def test_what_nobody_made_is_unknown_to_every_step(ledger: Ledger) -> None:
    name = CampaignId("c-none")
    for step in (
        ledger.get(name),
        ledger.progress(name),
        ledger.rows(name, limit=1),
        ledger.row(name, 1),
        ledger.remove(name),
        ledger.start(name, now_ms=NOW_MS),
        ledger.patch(name, lambda spec: spec),
        ledger.add_rows(name, [], more_follow=False),
    ):
        with pytest.raises(UnknownCampaign):
            await step
