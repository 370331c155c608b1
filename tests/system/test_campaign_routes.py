"""Campaigns over the API: lists taken in, moved, shown, on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.dialer.campaigns.model import CampaignId
from services.dialer.campaigns.requests import CampaignRules
from services.dialer.desk.body import BodyBounds
from services.dialer.desk.upload import UploadBounds
from shared.bus.base import BusUnavailable
from shared.runtime.http import serve_app
from shared.runtime.tasks import TaskOwner
from tests.support.campaign_api import CSV, READERS_KEY, CampaignApi, open_campaign_api

pytestmark = [
    pytest.mark.system,
    # What differs between one server and a Cluster is the scripts, which other tests try on both.
    pytest.mark.parametrize("session_redis", ["embedded"], indirect=True, scope="session"),
]

A, B, C = "+918000000001", "+918000000002", "+12025550123"
NOBODY = "c-000000000000"


@pytest.fixture
async def dialer(redis_url: str) -> AsyncIterator[CampaignApi]:
    async with open_campaign_api(redis_url) as opened:
        yield opened


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def made(answer: httpx.Response) -> Any:
    assert answer.status_code == 201, answer.text
    return answer.json()


async def rows_of(dialer: CampaignApi, campaign_id: str) -> list[dict[str, Any]]:
    answer = await dialer.api.get(f"/v1/campaigns/{campaign_id}/rows")
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["rows"]
    return rows


# --- lists ----------------------------------------------------------------------------------------


async def test_a_table_becomes_rows_with_variables_zones_and_agents(dialer: CampaignApi) -> None:
    text = (
        "\ufeffname;Phone;time_zone;agent;city\r\n"
        f'"Asha; R.";+91 80000 00001;;;Pune\r\n'
        f"Sam;{C};America/Denver;desk;\r\n"
    )
    answer = await dialer.upload(
        text, "/v1/campaigns?name=Renewals&priority=7&cps=1.5&from=" + "%2B918000000009"
    )
    campaign = made(answer)
    assert answer.headers["location"] == f"/v1/campaigns/{campaign['id']}"
    assert (campaign["state"], campaign["total"], campaign["waiting"]) == ("ready", 2, 2)
    assert (campaign["priority"], campaign["cps"]) == (7, 1.5)
    assert campaign["from"] == "+918000000009"
    first, second = await rows_of(dialer, campaign["id"])
    assert (first["to"], first["zones"], first["line"]) == (A, ["Asia/Calcutta"], 2)
    assert first["variables"] == {"name": "Asha; R.", "city": "Pune"}
    assert (second["zones"], second["agent"]) == (["America/Denver"], "desk")
    assert second["variables"] == {"name": "Sam"}


async def test_json_becomes_the_same(dialer: CampaignApi) -> None:
    body = {
        "name": "Renewals",
        "agent": "renewals",
        "variables": {"shop": "Acme"},
        "machine_detection": {"mode": "detect", "time_ms": 4000},
        "windows": {"days": {"mon": [["10:00", "19:00"]]}, "zone": "Asia/Kolkata"},
        "retry": {"max_attempts": 2, "after_s": {"busy": [60]}},
        "rows": [{"to": A, "variables": {"name": "Asha"}, "line": 17}, {"to": B}],
    }
    campaign = made(await dialer.api.post("/v1/campaigns", json=body))
    assert campaign["windows"] == body["windows"]
    assert campaign["retry"] == {"max_attempts": 2, "after_s": {"busy": [60.0]}}
    first, second = await rows_of(dialer, campaign["id"])
    assert (first["variables"], first["line"]) == ({"name": "Asha"}, 17)
    assert (second["variables"], second["line"]) == ({}, 2)
    spec = (await dialer.ledger.get(CampaignId(campaign["id"]))).spec
    assert spec.machine_detection == {"mode": "detect", "sync": False, "time_ms": 4000}
    assert spec.variables == {"shop": "Acme"}


async def test_bad_rows_are_told_by_line_and_left_out(dialer: CampaignApi) -> None:
    text = f"to,name\n{A},x\n123,y\n{B}\n\n,,\n{B},z\n+80012345678,toll\n{A},again\n"
    campaign = made(await dialer.upload(text))
    assert (campaign["total"], campaign["refused"], campaign["duplicates"]) == (2, 3, 1)
    told = {row["line"]: (row["number"], row["problem"]) for row in campaign["bad_rows"]}
    assert set(told) == {3, 4, 8}
    assert told[3][0] == "123"
    assert "international" in told[3][1]
    assert "1 values" in told[4][1]
    assert "zone" in told[8][1]
    assert [row["to"] for row in await rows_of(dialer, campaign["id"])] == [A, B]


@pytest.mark.parametrize("is_table", [True, False])
async def test_a_list_with_a_bad_row_adds_nothing_where_that_is_asked_for(
    dialer: CampaignApi, *, is_table: bool
) -> None:
    if is_table:
        text = f"to\n{A}\nx\n"
        answer = await dialer.upload(text, "/v1/campaigns?name=l&on_bad_row=refuse")
    else:
        body = {"name": "l", "on_bad_row": "refuse", "rows": [{"to": A}, {"to": "x"}]}
        answer = await dialer.api.post("/v1/campaigns", json=body)
    assert problem(answer) == (422, "bad-rows")
    assert answer.json()["refused"] == 1
    assert answer.json()["bad_rows"][0]["number"] == "x"
    assert await dialer.keys() == set()


async def test_no_more_than_a_hundred_bad_rows_are_told(dialer: CampaignApi) -> None:
    campaign = made(await dialer.upload("to\n" + "x\n" * 150 + A))
    assert (len(campaign["bad_rows"]), campaign["refused"]) == (100, 150)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b"", "no header"),
        (b"\n\n", "no header"),
        (b"name,city\nx,y\n", "no column to"),
        (b"to,name,name\n", "same name"),
        (b"to,machine\n", "keeps for itself"),
        (b"to,\n", "1 to 64"),
        (b"to\n\xff\xfe\n", "UTF-8"),
        (b'to,name\n+918000000001,"never', "never end"),
        (b'to,name\n+918000000001,"a"b\n', "closing quote"),
        (b"to\n" + b"1" * 70_000, "longer than"),
        (b"to," + b",".join(b"v%d" % n for n in range(33)), "more than 32"),
    ],
)
async def test_what_is_no_table_adds_nothing(dialer: CampaignApi, text: bytes, word: str) -> None:
    answer = await dialer.upload(text)
    assert problem(answer) == (422, "bad-table")
    assert word in answer.json()["detail"]
    assert answer.json()["line"] > 0
    assert await dialer.keys() == set()


async def test_an_upload_that_breaks_off_adds_nothing(dialer: CampaignApi) -> None:
    """The client goes away in the middle of the body: what was read is forgotten again."""
    lines = b"".join(b"+9180%08d\n" % n for n in range(1200))
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"to\n" + lines, "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if len(messages) == 1:
            assert any(name.startswith("staged:") for name in await dialer.keys())
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"text/csv"), (b"authorization", b"Bearer root-key-of-the-tests")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/campaigns",
        "raw_path": b"/v1/campaigns",
        "query_string": b"name=l",
        "headers": headers,
        "scheme": "http",
    }
    await dialer.app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert b"upload-broken" in sent[1]["body"]
    assert await dialer.keys() == set()


async def test_lists_are_bounded_in_rows_bytes_and_time(redis_url: str) -> None:
    bounds = UploadBounds(max_bytes=2000, timeout_s=5, pause_s=0.2)
    rules = CampaignRules(list_body=BodyBounds(2000, 0.2), upload=bounds)

    async def stalled() -> AsyncIterator[bytes]:
        yield b"to\n"
        await asyncio.sleep(5)

    async with open_campaign_api(redis_url, rules, rows_max=3) as dialer:
        path = "/v1/campaigns?name=l"
        assert problem(await dialer.upload("to\n" + "+918000000001\n" * 4)) == (
            413,
            "too-many-rows",
        )
        assert problem(await dialer.upload("to\n" + "x" * 2000)) == (413, "too-large")
        pieces = (b"to\n" + b"\n" * 400 for _ in range(6))
        assert problem(await dialer.upload(pieces)) == (413, "too-large")
        slow = await dialer.api.post(path, content=stalled(), headers=CSV)
        assert problem(slow) == (408, "too-slow")
        long = {"name": "l", "rows": [{"to": A}] * 200}
        assert problem(await dialer.api.post("/v1/campaigns", json=long)) == (413, "too-large")
        assert await dialer.keys() == set()
        campaign = made(await dialer.upload(f"to\n{A}\n{B}\n"))
        more = f"/v1/campaigns/{campaign['id']}/rows"
        assert problem(await dialer.upload(f"to\n{C}\n+918000000003\n", more)) == (
            409,
            "campaign-full",
        )
        assert (await dialer.api.get(f"/v1/campaigns/{campaign['id']}")).json()["total"] == 2


async def test_no_more_than_eight_lists_are_read_at_once(dialer: CampaignApi) -> None:
    done = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"to\n"
        await done.wait()

    async def upload() -> httpx.Response:
        return await dialer.api.post("/v1/campaigns?name=l", content=slow(), headers=CSV)

    async with TaskOwner("test") as tasks, asyncio.timeout(20):
        waiting = [tasks.start(upload(), name=f"upload-{n}") for n in range(9)]
        refused, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert [problem(task.result()) for task in refused] == [(503, "too-many-uploads")]
        done.set()
        assert [(await task).status_code for task in others] == [201] * 8
    assert made(await dialer.upload(f"to\n{A}\n"))["total"] == 1


async def test_rows_are_added_while_it_runs_and_known_numbers_are_not(dialer: CampaignApi) -> None:
    campaign = made(await dialer.upload(f"to\n{A}\n", "/v1/campaigns?name=l&start=true"))
    assert campaign["state"] == "running"
    path = f"/v1/campaigns/{campaign['id']}/rows"
    answer = await dialer.upload(f"to\n{A}\n{B}\nx\n", path)
    assert answer.status_code == 200
    added = answer.json()
    assert (added["added"], added["duplicates"], added["refused"]) == (1, 1, 1)
    assert added["bad_rows"][0]["line"] == 4
    answer = await dialer.api.post(path, json={"rows": [{"to": B}, {"to": C}]})
    assert (answer.json()["added"], answer.json()["duplicates"]) == (1, 1)
    told = (await dialer.api.get(f"/v1/campaigns/{campaign['id']}")).json()
    assert (told["total"], told["duplicates"], told["refused"]) == (3, 2, 1)


async def test_a_list_of_bad_rows_alone_is_counted(dialer: CampaignApi) -> None:
    campaign = made(await dialer.upload("to\nx\ny\n"))
    assert (campaign["total"], campaign["refused"]) == (0, 2)


@pytest.mark.parametrize(
    ("body", "kind", "word"),
    [
        ({}, "invalid-request", "name"),
        ({"name": ""}, "invalid-request", "name"),
        ({"name": "a\nb"}, "invalid-request", "name"),
        ({"name": "l", "agent": "a b"}, "invalid-request", "agent"),
        ({"name": "l", "priority": 10}, "invalid-request", "priority"),
        ({"name": "l", "cps": 0}, "invalid-request", "cps"),
        ({"name": "l", "concurrency": 0}, "invalid-request", "concurrency"),
        ({"name": "l", "colour": "red"}, "invalid-request", "colour"),
        ({"name": "l", "from": "123"}, "invalid-order", "from"),
        ({"name": "l", "windows": {"zone": "Mars"}}, "invalid-order", "windows"),
        ({"name": "l", "windows": []}, "invalid-order", "windows"),
        ({"name": "l", "retry": {"after_s": {"busy": [0]}}}, "invalid-order", "retry"),
        ({"name": "l", "pause_rules": {"over_last": 1}}, "invalid-order", "pause_rules"),
        ({"name": "l", "variables": {"machine": "x"}}, "invalid-order", "variables"),
        ({"name": "l", "machine_detection": {"mode": "x"}}, "invalid-request", "machine"),
        ({"name": "l", "rows": "x"}, "invalid-request", "rows"),
    ],
    ids=range(16),
)
async def test_what_is_no_campaign_is_refused(
    dialer: CampaignApi, body: dict[str, Any], kind: str, word: str
) -> None:
    answer = await dialer.api.post("/v1/campaigns", json=body)
    assert problem(answer) == (422, kind)
    assert word in answer.text
    assert await dialer.keys() == set()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 60_000,
        b'{"name":' + b"[" * 60_000,
        b'{"name":"l","rows":' + b"[" * 60_000,
        b'{"name":"l","rows":{}}',
        b'{"name":"l","rows":null}',
        b'{"name":"\\ud800"}',
        b'{"name":"l","rows":[{"to":"\\ud800"}]}',
        b'{"name":"l","rows":[' + b"[" * 5000 + b"]" * 5000 + b"]}",
    ],
)
async def test_what_is_no_json_is_refused(dialer: CampaignApi, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await dialer.api.post("/v1/campaigns", content=content, headers=headers)
    assert problem(answer) == (422, "invalid-request")
    assert await dialer.keys() == set()


async def test_rows_of_json_that_are_no_rows_are_bad_ones(dialer: CampaignApi) -> None:
    content = b'{"name":"l","rows":[1e999,"x",null,{"to":"+918000000001"}]}'
    headers = {"Content-Type": "application/json"}
    campaign = made(await dialer.api.post("/v1/campaigns", content=content, headers=headers))
    assert (campaign["total"], campaign["refused"]) == (1, 3)


async def test_a_request_that_comes_again_makes_no_second_campaign(dialer: CampaignApi) -> None:
    path, keyed = "/v1/campaigns?name=l&start=true", {**CSV, "Idempotency-Key": "list-of-monday"}
    first = await dialer.api.post(path, content=f"to\n{A}\nx\n", headers=keyed)
    again = await dialer.api.post(path, content=f"to\n{A}\nx\n", headers=keyed)
    assert made(again) == made(first)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    for text, other in ((f"to\n{B}\n", path), (f"to\n{A}\nx\n", f"{path}&cps=1")):
        answer = await dialer.api.post(other, content=text, headers=keyed)
        assert problem(answer) == (409, "key-used-otherwise")
    await dialer.api.post(f"/v1/campaigns/{first.json()['id']}/cancel")
    assert made(await dialer.api.post(path, content=f"to\n{A}\nx\n", headers=keyed)) == first.json()
    await dialer.api.delete(f"/v1/campaigns/{first.json()['id']}")
    forgotten = await dialer.api.post(path, content=f"to\n{A}\nx\n", headers=keyed)
    assert problem(forgotten) == (409, "key-used-otherwise")
    body = {"name": "l", "rows": [{"to": A}]}
    answers = [
        await dialer.api.post("/v1/campaigns", json=body, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert made(answers[0])["id"] == made(answers[1])["id"]
    assert len((await dialer.api.get("/v1/campaigns")).json()["campaigns"]) == 1


async def test_a_request_that_failed_half_way_is_completed_when_it_comes_again(
    dialer: CampaignApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rows, left = dialer.ledger.add_rows, [1]

    async def failing(*args: Any, **named: Any) -> Any:
        if not left:
            raise BusUnavailable("away")
        left.pop()
        return await add_rows(*args, **named)

    text = "to\n" + "".join(f"+9180{n:08}\n" for n in range(600))
    path, keyed = "/v1/campaigns?name=l&start=true", {**CSV, "Idempotency-Key": "k"}
    monkeypatch.setattr(dialer.ledger, "add_rows", failing)
    failed = await dialer.api.post(path, content=text, headers=keyed)
    assert problem(failed) == (503, "records-unavailable")
    (held,) = (await dialer.api.get("/v1/campaigns")).json()["campaigns"]
    assert (held["state"], held["total"]) == ("ready", 250)
    monkeypatch.setattr(dialer.ledger, "add_rows", add_rows)
    campaign = made(await dialer.api.post(path, content=text, headers=keyed))
    assert campaign["id"] == held["id"]
    assert (campaign["state"], campaign["total"]) == ("running", 600)


async def test_options_stand_where_they_belong(dialer: CampaignApi) -> None:
    answer = await dialer.api.post("/v1/campaigns?cps=1", json={"name": "l"})
    assert problem(answer) == (422, "invalid-request")
    assert problem(await dialer.upload("to\n", "/v1/campaigns")) == (422, "invalid-request")
    assert problem(await dialer.upload("to\n", "/v1/campaigns?name=l&priority=x"))[0] == 422
    path = f"/v1/campaigns/{made(await dialer.upload('to'))['id']}/rows?on_bad_row=refuse"
    answer = await dialer.api.post(path, json={"rows": []})
    assert problem(answer) == (422, "invalid-request")
    assert problem(await dialer.upload("to\nx\n", path)) == (422, "bad-rows")
    answer = await dialer.api.post("/v1/campaigns", content="to\n", headers={"Content-Type": "a/b"})
    assert problem(answer) == (415, "not-a-list")


async def test_a_campaign_without_a_caller_is_refused_where_none_is_set_up(redis_url: str) -> None:
    async with open_campaign_api(redis_url, CampaignRules(has_caller=False)) as dialer:
        answer = await dialer.api.post("/v1/campaigns", json={"name": "l"})
        assert problem(answer) == (422, "invalid-order")
        assert "FROM_NUMBER" in answer.text


# --- moving ---------------------------------------------------------------------------------------


async def test_a_campaign_is_started_paused_resumed_cancelled_and_forgotten(
    dialer: CampaignApi,
) -> None:
    campaign = made(await dialer.upload(f"to\n{A}\n{B}\n"))
    path = f"/v1/campaigns/{campaign['id']}"
    for verb, state in (
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("cancel", "cancelled"),
    ):
        answer = await dialer.api.post(f"{path}/{verb}")
        assert (answer.status_code, answer.json()["state"]) == (200, state)
        assert (verb == "pause") == (answer.json()["reason"] == "asked")
    told = (await dialer.api.get(path)).json()
    assert (told["waiting"], told["ended"], told["outcomes"]) == (0, 2, {"cancelled": 2})
    for verb in ("start", "pause", "resume"):
        answer = await dialer.api.post(f"{path}/{verb}")
        assert problem(answer) == (409, "campaign-state")
        assert answer.json()["state"] == "cancelled"
    assert problem(await dialer.upload(f"to\n{C}\n", f"{path}/rows")) == (409, "campaign-state")
    assert (await dialer.api.delete(path)).status_code == 204
    assert problem(await dialer.api.get(path)) == (404, "unknown-campaign")
    assert not any(campaign["id"] in name for name in await dialer.keys())


async def test_a_running_campaign_is_not_forgotten(dialer: CampaignApi) -> None:
    campaign = made(await dialer.upload(f"to\n{A}\n", "/v1/campaigns?name=l&start=true"))
    answer = await dialer.api.delete(f"/v1/campaigns/{campaign['id']}")
    assert problem(answer) == (409, "campaign-state")


async def test_what_is_wanted_changes_and_the_rest_stays(dialer: CampaignApi) -> None:
    campaign = made(await dialer.upload(f"to\n{A}\n", "/v1/campaigns?name=l&cps=3&concurrency=4"))
    path = f"/v1/campaigns/{campaign['id']}"
    patch = {"cps": None, "windows": {"always": True}, "priority": 9}
    told = (await dialer.api.patch(path, json=patch)).json()
    assert (told["cps"], told["concurrency"], told["priority"]) == (None, 4, 9)
    assert told["windows"] == {"always": True}
    assert told["retry"] == campaign["retry"]
    for bad, kind in (({"cps": -1}, "invalid-request"), ({"windows": {"x": 1}}, "invalid-order")):
        assert problem(await dialer.api.patch(path, json=bad)) == (422, kind)
    told = (await dialer.api.patch(path, json={"windows": None, "pause_rules": None})).json()
    assert told["windows"] == {"daily": [["09:00", "21:00"]]}


# --- looking --------------------------------------------------------------------------------------


async def test_campaigns_are_listed_newest_first_page_by_page(dialer: CampaignApi) -> None:
    ids = []
    for n in range(5):
        dialer.clock.unix_s += 1
        ids.append(made(await dialer.upload(f"to\n{A}\n", f"/v1/campaigns?name=l{n}"))["id"])
    await dialer.api.post(f"/v1/campaigns/{ids[1]}/start")
    seen, cursor = [], ""
    for _ in range(3):
        page = (await dialer.api.get(f"/v1/campaigns?limit=2{cursor}")).json()
        seen += [campaign["id"] for campaign in page["campaigns"]]
        cursor = f"&cursor={page['next']}"
    assert page["next"] is None
    assert seen == ids[::-1]
    running = (await dialer.api.get("/v1/campaigns?state=running")).json()["campaigns"]
    assert [campaign["id"] for campaign in running] == [ids[1]]
    for query in ("limit=0", "limit=201", "cursor=x", "state=x"):
        assert problem(await dialer.api.get(f"/v1/campaigns?{query}")) == (422, "invalid-request")


async def test_rows_are_shown_page_by_page_and_one_by_one(dialer: CampaignApi) -> None:
    campaign = made(await dialer.upload(f"to\n{A}\n{B}\n{C}\n"))
    path = f"/v1/campaigns/{campaign['id']}/rows"
    first = (await dialer.api.get(f"{path}?limit=2")).json()
    second = (await dialer.api.get(f"{path}?limit=2&cursor={first['next']}")).json()
    assert [row["n"] for row in first["rows"] + second["rows"]] == [1, 2, 3]
    assert second["next"] is None
    assert (await dialer.api.get(f"{path}/2")).json()["to"] == B
    assert problem(await dialer.api.get(f"{path}/4")) == (404, "unknown-row")
    assert (await dialer.api.get(f"{path}?state=ended")).json() == {"rows": [], "next": None}
    for query in ("state=x", "outcome=x", "cursor=-1", "limit=0"):
        assert problem(await dialer.api.get(f"{path}?{query}")) == (422, "invalid-request")


@pytest.mark.parametrize("campaign_id", [NOBODY, "x", "c-%00", "%C3%A9"])
async def test_unknown_campaigns_are_not_found(dialer: CampaignApi, campaign_id: str) -> None:
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"cps": 1}),
        ("DELETE", "", None),
        ("POST", "/start", None),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
        ("POST", "/cancel", None),
        ("POST", "/rows", {"rows": [{"to": A}]}),
        ("GET", "/rows", None),
        ("GET", "/rows/1", None),
        ("GET", "/results.csv", None),
    ):
        answer = await dialer.api.request(method, f"/v1/campaigns/{campaign_id}{path}", json=body)
        assert problem(answer) == (404, "unknown-campaign")


async def test_a_key_that_reads_may_look_and_nothing_else(dialer: CampaignApi) -> None:
    campaign = made(await dialer.upload(f"to\n{A}\n"))
    reader = {"Authorization": f"Bearer {READERS_KEY}"}
    path = f"/v1/campaigns/{campaign['id']}"
    for looked in ("/v1/campaigns", path, f"{path}/rows", f"{path}/results.csv"):
        assert (await dialer.api.get(looked, headers=reader)).status_code == 200
    for method, written in (
        ("POST", "/v1/campaigns"),
        ("POST", f"{path}/rows"),
        ("POST", f"{path}/start"),
        ("PATCH", path),
        ("DELETE", path),
        ("POST", "/v1/do-not-call"),
        ("DELETE", f"/v1/do-not-call/{A}"),
    ):
        answer = await dialer.api.request(method, written, headers=reader)
        assert problem(answer) == (403, "missing-scope")


async def test_every_answer_is_documented(dialer: CampaignApi) -> None:
    documents = (await dialer.api.get("/openapi.json")).json()
    for path, methods in documents["paths"].items():
        for method, said in methods.items():
            assert {"401", "403", "429", "422", "503"} <= set(said["responses"]), (method, path)
            good = {status for status in said["responses"] if status < "300"}
            assert len(good) == 1, (method, path)
            if method in {"post", "patch"} and path.endswith(("rows", "campaigns", "call")):
                content = said["requestBody"]["content"]
                assert content["application/json"]["examples"]
                assert "example" in content.get("text/csv", {"example": 1})


# --- Redis that fails -----------------------------------------------------------------------------


async def test_a_campaign_that_cannot_be_filled_is_not_left_behind(
    dialer: CampaignApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise BusUnavailable("away")

    monkeypatch.setattr(dialer.ledger, "add_rows", away)
    answer = await dialer.upload(f"to\n{A}\n")
    assert problem(answer) == (503, "records-unavailable")
    assert await dialer.keys() <= {"campaigns"}


async def test_a_batch_whose_answer_is_lost_is_added_once(
    dialer: CampaignApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rows, lost = dialer.ledger.add_rows, [True]

    async def forgetful(*args: Any, **named: Any) -> Any:
        done = await add_rows(*args, **named)
        if lost.pop():
            lost.append(False)
            raise BusUnavailable("its answer was lost")
        lost.append(False)
        return done

    monkeypatch.setattr(dialer.ledger, "add_rows", forgetful)
    campaign = made(await dialer.upload(f"to\n{A}\n{B}\nx\n"))
    assert (campaign["total"], campaign["duplicates"], campaign["refused"]) == (2, 0, 1)


async def test_results_that_cannot_be_read_to_their_end_break_off(
    dialer: CampaignApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads them must not take a part for the whole."""
    text = "to\n" + "".join(f"+9180{n:08}\n" for n in range(1100))
    path = f"/v1/campaigns/{made(await dialer.upload(text))['id']}/results.csv"
    rows = dialer.ledger.rows

    async def failing(*args: Any, after: int = 0, **named: Any) -> Any:
        if after >= 1000:
            raise BusUnavailable("away")
        return await rows(*args, after=after, **named)

    async with serve_app(dialer.app, host="127.0.0.1", port=0) as port:
        headers = dict(dialer.api.headers)
        url = f"http://127.0.0.1:{port}{path}"
        async with httpx.AsyncClient(headers=headers, trust_env=False) as api:
            assert (await api.get(url)).text.count("\r\n") == 1101
            monkeypatch.setattr(dialer.ledger, "rows", failing)
            with pytest.raises(httpx.RemoteProtocolError):
                await api.get(url)
