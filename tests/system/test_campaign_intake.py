"""Lists taken in, on every kind of Redis."""

from __future__ import annotations

import asyncio
import csv
import gc
import io
import json
import time

import pytest

from shared.runtime.tasks import TaskOwner
from tests.support.campaign_api import open_campaign_api

pytestmark = pytest.mark.system


async def test_five_thousand_rows_arrive_in_their_order(redis_url: str) -> None:
    parts = [b"to,name\n", *(b"+9180%08d,N%d\n" % (n, n) for n in range(5000))]
    text = b"".join(parts)
    sizes = (text[place : place + 997] for place in range(0, len(text), 997))
    async with open_campaign_api(redis_url) as dialer:
        answer = await dialer.upload(sizes)
        assert answer.status_code == 201, answer.text
        campaign = answer.json()
        assert (campaign["total"], campaign["refused"], campaign["duplicates"]) == (5000, 0, 0)
        answer = await dialer.api.get(f"/v1/campaigns/{campaign['id']}/results.csv")
        assert not any(name.startswith("staged:") for name in await dialer.keys())
    read = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["to"] for row in read] == [f"+9180{n:08}" for n in range(5000)]
    assert [json.loads(row["variables"])["name"] for row in read[:3]] == ["N0", "N1", "N2"]
    assert all(row["state"] == "waiting" for row in read)


async def test_a_list_holds_the_loop_for_milliseconds_at_a_time(
    redis_url: str, request: pytest.FixtureRequest
) -> None:
    """Counted in time of the processor, so that a busy machine changes nothing.

    Nor does the collector, which among thousands of tests has more to look through than a dialer.
    """
    gc.disable()
    request.addfinalizer(gc.enable)
    bad = b"nobody,x\n" * 20_000
    text = b"to,name\n" + b"".join(b"+9180%08d,N%d\n" % (n, n) for n in range(5000)) + bad
    held_s, done = [0.0], asyncio.Event()

    async def watch() -> None:
        last_s = time.thread_time()
        while not done.is_set():
            await asyncio.sleep(0)
            now_s = time.thread_time()
            held_s.append(now_s - last_s)
            last_s = now_s

    async with open_campaign_api(redis_url) as dialer, TaskOwner("test") as tasks:
        await dialer.upload("to\n+918000000001\n")  # what is read once is read
        watching = tasks.start(watch(), name="watch")
        answer = await dialer.upload(text)
        done.set()
        await watching
    assert answer.json()["total"] == 5000
    assert sum(held_s) > 0.1
    assert max(held_s) < 0.02


async def test_numbers_not_to_be_called_are_kept_listed_and_taken_off(redis_url: str) -> None:
    path = "/v1/do-not-call"
    async with open_campaign_api(redis_url) as dialer:
        table = "Number;reason\n+91 80000 00001;asked\nx;\n" + "".join(
            f"+9180{n:08};\n" for n in range(1200)
        )
        answer = await dialer.upload(table, path)
        assert answer.json() == {
            "added": 1200,
            "already": 1,
            "refused": 1,
            "bad_rows": [
                {
                    "line": 3,
                    "number": "x",
                    "problem": "number: must be an international number such as +918000000001",
                }
            ],
        }
        body = {"numbers": ["+12025550123", "+918000000001"], "reason": "regulator"}
        answer = await dialer.api.post(path, json=body)
        assert (answer.json()["added"], answer.json()["already"]) == (1, 1)
        seen, cursor = [], ""
        while True:
            page = (await dialer.api.get(f"{path}?limit=200{cursor}")).json()
            seen += [entry["number"] for entry in page["numbers"]]
            if page["next"] is None:
                break
            cursor = f"&cursor=%2B{page['next'][1:]}"
        assert seen == sorted({"+12025550123", *(f"+9180{n:08}" for n in range(1200))})
        for name in ("+918000000001", "918000000001"):
            entry = (await dialer.api.get(f"{path}/{name}")).json()
            assert (entry["number"], entry["reason"], entry["by"]) == (
                *("+918000000001", "asked"),
                "root",
            )
        assert (await dialer.api.delete(f"{path}/918000000001")).status_code == 204
        for method in ("GET", "DELETE"):
            for name in ("918000000001", "x", "%00"):
                answer = await dialer.api.request(method, f"{path}/{name}")
                assert answer.status_code == 404
                assert answer.json()["type"] == "urn:parley:problem:unknown-number"
        dialled = await dialer.bus.store.redis.hget("{parley}:dial:dnc", "+918000000001")
        assert dialled is None
        assert await dialer.bus.store.redis.hget("{parley}:dial:dnc", "+12025550123") is not None


async def test_a_table_of_numbers_that_breaks_says_what_it_has_added(redis_url: str) -> None:
    async with open_campaign_api(redis_url) as dialer:
        answer = await dialer.upload('to\n+918000000001\n"x', "/v1/do-not-call")
        assert answer.status_code == 422
        assert (answer.json()["line"], answer.json()["added"]) == (3, 1)
        for text in ("", "name\nx\n"):
            answer = await dialer.upload(text, "/v1/do-not-call")
            assert answer.json()["type"] == "urn:parley:problem:bad-table"
        answer = await dialer.upload("name,to\nx\n", "/v1/do-not-call")
        assert answer.json()["bad_rows"][0]["problem"] == "has fewer values than the header"


async def test_two_lists_of_one_campaign_at_once_share_no_row(redis_url: str) -> None:
    async with open_campaign_api(redis_url) as dialer:
        made = await dialer.api.post("/v1/campaigns", json={"name": "l"})
        path = f"/v1/campaigns/{made.json()['id']}/rows"
        lists = ["to\n" + "".join(f"+9180{n:08}\n" for n in range(k, 1500 + k)) for k in (0, 500)]
        answers = await asyncio.gather(*(dialer.upload(text, path) for text in lists))
        assert sum(answer.json()["added"] for answer in answers) == 2000
        assert sum(answer.json()["duplicates"] for answer in answers) == 1000
        campaign = (await dialer.api.get(path.removesuffix("/rows"))).json()
        assert (campaign["total"], campaign["waiting"]) == (2000, 2000)
