"""A list of which a part alone was added: the campaign says so, and is not dialled as if whole.

Whoever adds a list may die after any batch. Its client may send the list again, or never.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import httpx
import pytest

from services.dialer.campaigns.model import (
    ANY_TIME,
    CampaignId,
    CampaignSpec,
    CampaignState,
    ExpectedRows,
    NewRow,
)
from services.dialer.errors import CampaignIncomplete
from shared.bus.redis.store import Store
from tests.support.campaign_api import CSV, CampaignApi, open_campaign_api
from tests.support.campaign_stage import Pace, Stage
from tests.support.campaigns import FROM, campaign_redis, filled, number
from tests.support.redis_server import RedisServer

__all__ = ["campaign_redis"]
pytestmark = pytest.mark.system

ROWS = 600
TABLE = "to\n" + "".join(f"+9180{n:08}\n" for n in range(ROWS))
LACKS = {"missing": ROWS - 250, "rows": ROWS}
SPEC = CampaignSpec("test", windows=ANY_TIME, needs_agent=False, from_number=FROM)


class Died(BaseException):
    """The process is gone."""


def die_after(dialer: CampaignApi, batches: int, patch: pytest.MonkeyPatch) -> None:
    """Let the process die when it is about to add one batch more."""
    add_rows, left = dialer.ledger.add_rows, batches

    async def mortal(*args: Any, **named: Any) -> Any:
        nonlocal left
        if not left:
            raise Died
        left -= 1
        return await add_rows(*args, **named)

    patch.setattr(dialer.ledger, "add_rows", mortal)


async def send_and_die(dialer: CampaignApi, path: str, batches: int, **headers: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        die_after(dialer, batches, patch)
        with pytest.raises(Died):
            await dialer.api.post(path, content=TABLE, headers=CSV | headers)


async def pass_half_a_minute(store: Store, campaign_id: str) -> None:
    """Nobody has gone on with a list for so long."""
    lists = f"{store.prefix}:dial:lists:{campaign_id}"
    for name, text in (await store.redis.hgetall(lists)).items():
        await store.redis.hset(lists, name, json.dumps(json.loads(text) | {"til": 0}))
    await store.redis.hset(f"{store.prefix}:dial:campaign:{campaign_id}", "filling_until", "0")


async def only(dialer: CampaignApi) -> dict[str, Any]:
    (campaign,) = (await dialer.api.get("/v1/campaigns")).json()["campaigns"]
    assert isinstance(campaign, dict)
    return campaign


def refused(answer: httpx.Response) -> tuple[int, str, dict[str, Any]]:
    said = answer.json()
    lacks = {name: said[name] for name in ("missing", "rows", "is_being_added")}
    return answer.status_code, said["type"].rpartition(":")[2], lacks


async def test_a_new_campaign_with_a_part_of_its_list_says_so_and_does_not_start(
    redis_url: str,
) -> None:
    """It was `ready` with 250 of 600 rows, and started like any other."""
    async with open_campaign_api(redis_url) as dialer:
        await send_and_die(dialer, "/v1/campaigns?name=l&start=true", batches=1)
        campaign = await only(dialer)
        assert (campaign["state"], campaign["total"]) == ("ready", 250)
        assert campaign["incomplete"] == {**LACKS, "is_being_added": True}
        path = f"/v1/campaigns/{campaign['id']}"
        for is_being_added, words in ((True, "just now"), (False, "send the list again")):
            answer = await dialer.api.post(f"{path}/start")
            lacks = {**LACKS, "is_being_added": is_being_added}
            assert refused(answer) == (409, "campaign-incomplete", lacks)
            assert words in answer.json()["detail"]
            assert "350 of 600 rows" in answer.json()["detail"]
            await pass_half_a_minute(dialer.bus.store, campaign["id"])
        campaign = await only(dialer)
        assert (campaign["state"], campaign["incomplete"]["is_being_added"]) == ("ready", False)

        added = (await dialer.upload(TABLE, f"{path}/rows")).json()
        assert (added["added"], added["duplicates"]) == (350, 250)
        campaign = (await dialer.api.post(f"{path}/start")).json()
        assert (campaign["state"], campaign["total"], campaign["incomplete"]) == (
            *("running", ROWS, None),
        )


async def test_a_dialer_that_dies_before_the_first_row_leaves_a_campaign_that_lacks_all(
    redis_url: str,
) -> None:
    async with open_campaign_api(redis_url) as dialer:
        await send_and_die(dialer, "/v1/campaigns?name=l", batches=0)
        campaign = await only(dialer)
        assert (campaign["total"], campaign["incomplete"]["missing"]) == (0, ROWS)


async def test_the_same_request_completes_what_its_first_sending_left(redis_url: str) -> None:
    async with open_campaign_api(redis_url) as dialer:
        path, key = "/v1/campaigns?name=l&start=true", {"Idempotency-Key": "k"}
        await send_and_die(dialer, path, 2, **key)
        lacking = await only(dialer)
        assert lacking["incomplete"]["missing"] == 100
        redis = dialer.bus.store.redis
        (name,) = await redis.keys(f"{dialer.bus.store.prefix}:dial:idem:*")
        begun = json.loads(await redis.get(name) or "")
        await redis.set(name, json.dumps({**begun, "until_ms": 0}))
        answer = await dialer.api.post(path, content=TABLE, headers=CSV | key)
        assert answer.json()["id"] == lacking["id"]
        assert (answer.json()["state"], answer.json()["incomplete"]) == ("running", None)


async def test_an_operator_may_say_that_what_is_missing_stays_so(redis_url: str) -> None:
    async with open_campaign_api(redis_url) as dialer:
        await send_and_die(dialer, "/v1/campaigns?name=l", batches=1)
        path = f"/v1/campaigns/{(await only(dialer))['id']}"
        campaign = (await dialer.api.post(f"{path}/start?accept_incomplete=true")).json()
        assert (campaign["state"], campaign["total"], campaign["incomplete"]) == (
            *("running", 250, None),
        )
        await dialer.api.post(f"{path}/pause")
        await send_and_die(dialer, f"{path}/rows", batches=1)
        assert (await dialer.api.post(f"{path}/resume")).status_code == 409
        answer = await dialer.api.post(f"{path}/resume?accept_incomplete=1")
        assert answer.json()["state"] == "running"
        names = await dialer.keys()
        assert not any(name.startswith("lists:") for name in names)


async def test_a_running_campaign_goes_on_says_so_and_pauses_where_it_would_have_finished(
    campaign_redis: RedisServer,
) -> None:
    """Finished, it would have taken no more rows, and nobody would have been told."""
    async with Stage(campaign_redis.url, "{lacks}", Pace()).open() as stage:
        campaign = await filled(stage.ledger, 3, SPEC)
        name = campaign.campaign_id
        await stage.ledger.start(name, now_ms=stage.wall_ms())
        rows = [NewRow(number(n)) for n in range(4, 9)]
        await add_part(stage, name, rows, 2)
        stage.replica()
        await dialled(stage, 5)
        assert (await stage.ledger.get(name)).state is CampaignState.RUNNING
        await pass_half_a_minute(stage.bus.store, name)
        paused = await stage.until(name, CampaignState.PAUSED)
        assert paused.reason == "incomplete_list"
        lacks = (await stage.ledger.progress(name)).incomplete
        assert lacks is not None
        assert (lacks.missing, lacks.rows, lacks.is_being_added) == (3, 5, False)
        with pytest.raises(CampaignIncomplete):
            await stage.ledger.resume(name, now_ms=stage.wall_ms())

        await stage.ledger.expect_rows(name, ExpectedRows("list", 5))
        await stage.ledger.add_rows(name, rows, more_follow=False, of_list="list")
        await stage.ledger.resume(name, now_ms=stage.wall_ms())
        await stage.until(name, CampaignState.FINISHED)
        assert stage.vobiz.dialled() == Counter(number(n) for n in range(1, 9))


async def add_part(stage: Stage, name: CampaignId, rows: list[NewRow], count: int) -> None:
    """Begin to add a list, and go no further than so many rows."""
    await stage.ledger.expect_rows(name, ExpectedRows("list", len(rows)))
    await stage.ledger.add_rows(name, rows[:count], more_follow=True, of_list="list")


async def dialled(stage: Stage, count: int) -> None:
    async with asyncio.timeout(10):
        while len(stage.vobiz.asked) < count:  # noqa: ASYNC110 - the replica has no event for it
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
