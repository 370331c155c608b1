"""`parley-dialer` against the dialer itself: every command finds the API it was written for."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from shared.bus.redis import RedisBus, open_bus
from shared.protocol.call import CallChange, CallId, CallState
from tests.support.dialer_cli import COLUMNS, Ran, run_command
from tests.support.redis_server import RedisServer
from tests.support.vobiz_rest import VobizStandIn
from tests.system.test_dialer_process import open_dialer, until

pytestmark = pytest.mark.system

TO, FROM, OTHER = "+918000000002", "+918000000001", "+918000000003"
Run: TypeAlias = Callable[..., Awaitable[Ran]]


@pytest.fixture
async def run(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Run]:
    async with (
        VobizStandIn().serve() as vobiz,
        open_dialer(vobiz, redis_server, tmp_path) as dialer,
    ):
        await until(dialer.is_ready)

        async def run(*arguments: str, status: int = 0) -> Ran:
            ran = await run_command(*arguments, http=dialer.api)
            assert ran.status == status, (arguments, ran)
            assert {"--json", "results"} & set(arguments) or ran.widest <= COLUMNS, ran.out
            return ran

        yield run


async def document(run: Run, *arguments: str) -> Any:
    return json.loads((await run(*arguments, "--json")).out)


async def test_calls(run: Run, redis_server: RedisServer) -> None:
    order = ("call", "--to", TO, "--from", FROM, "--var", "name=Asha", "--metadata", "lead=42")
    key = ("--idempotency-key", "order-1")
    placed = await document(run, *order, *key, "--ring-timeout-s", "30", "--time-limit-s", "600")
    call_id = placed["call_id"]
    again = await document(run, *order, *key, "--ring-timeout-s", "30", "--time-limit-s", "600")
    assert again["call_id"] == call_id
    refused = await run("call", "--to", OTHER, "--from", FROM, *key, status=1)
    assert refused.err.startswith("Error: ")
    assert refused.err.count("\n") == 1
    (listed,) = (await document(run, "calls", "list", "--to", TO, "--state", "queued"))["calls"]
    assert listed["call_id"] == call_id
    assert listed["metadata"]["lead"] == "42"
    assert call_id in (await run("calls", "list")).out
    assert "lead=42" in (await run("calls", "show", call_id)).out
    async with open_bus(redis_server.url) as bus:
        await bus.calls.apply(CallChange(CallId(call_id), CallState.IN_PROGRESS))
    await run("calls", "speak", call_id, "Good morning", "--language", "en-US")
    await run("calls", "dtmf", call_id, "1w2#")
    await run("calls", "transfer", call_id, "--to-url", "https://voice.example.com/xml")
    await run("calls", "hang-up", call_id)
    missing = await run("calls", "show", "no-such-call", status=1)
    assert missing.err.count("\n") == 1


async def test_a_call_is_followed_by_the_dialers_events(
    run: Run, redis_server: RedisServer
) -> None:
    placed = await document(run, "call", "--to", TO, "--from", FROM)
    call_id = CallId(placed["call_id"])

    async def go_on(bus: RedisBus) -> None:
        for state in (CallState.RINGING, CallState.IN_PROGRESS, CallState.COMPLETED):
            await asyncio.sleep(0.5)
            await bus.calls.apply(CallChange(call_id, state))

    async with open_bus(redis_server.url) as bus, asyncio.TaskGroup() as tasks:
        tasks.create_task(go_on(bus))
        async with asyncio.timeout(20):
            ran = await run("calls", "follow", call_id)
    states = [line.strip() for line in ran.out.splitlines()]
    assert states[:4] == ["queued", "ringing", "in-progress", "completed"]
    assert states[4].startswith("ended: ")


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    path = tmp_path / "renewals.csv"
    numbers = [f"+9180000{index:05}" for index in range(1000)]
    lines = ["to,name", *(f"{number},Asha" for number in numbers), "12,Sam", f"{numbers[0]},Bo"]
    path.write_text("\n".join(lines))
    return path


async def test_campaigns(run: Run, rows_file: Path) -> None:
    rules = ("--window", "mon-fri=09:00-18:00", "--holiday", "2026-12-25", "--max-attempts", "2")
    more = ("--retry-after", "busy=300", "--pause-error-rate", "0.4", "--var", "brand=Parley")
    made = await document(
        *(run, "campaign", "create", str(rows_file), "--from", FROM, "--cps", "1", *rules, *more)
    )
    assert (made["added"], made["duplicates"], made["refused"]) == (1000, 1, 1)
    assert made["bad_rows"][0]["line"] == 1002
    campaign_id = made["id"]
    shown = await document(run, "campaign", "show", campaign_id)
    assert (shown["state"], shown["total"], shown["name"]) == ("ready", 1000, "renewals")
    assert shown["windows"]["days"]["fri"] == [["09:00", "18:00"]]
    assert shown["retry"]["max_attempts"] == 2
    rows = (await document(run, "campaign", "rows", campaign_id, "--limit", "150"))["rows"]
    assert [row["n"] for row in rows] == list(range(1, 151))
    assert "+918000000000" in (await run("campaign", "rows", campaign_id)).out
    added = await run("campaign", "add", campaign_id, str(rows_file))
    assert "0 rows, 1001 duplicates left out, 1 refused." in added.out
    await run("campaign", "change", campaign_id, "--concurrency", "3", "--any-time")
    assert campaign_id in (await run("campaign", "list", "--state", "ready")).out
    for verb, state in (("start", "running"), ("pause", "paused"), ("resume", "running")):
        assert state in (await run("campaign", verb, campaign_id)).out
    await run("campaign", "remove", campaign_id, status=1)
    await run("campaign", "cancel", campaign_id)
    assert "cancelled" in (await run("campaign", "watch", campaign_id, status=4)).out
    table = list(csv.DictReader(io.StringIO((await run("campaign", "results", campaign_id)).out)))
    assert len(table) == 1000
    await run("campaign", "remove", campaign_id)
    await run("campaign", "show", campaign_id, status=1)


async def test_bad_rows_that_are_to_be_refused_leave_no_campaign(run: Run, rows_file: Path) -> None:
    ran = await run(
        "campaign", "create", str(rows_file), "--from", FROM, "--on-bad-row", "refuse", status=1
    )
    assert "1002" in ran.out
    assert ran.err.count("\n") == 1
    assert (await document(run, "campaign", "list"))["campaigns"] == []


async def test_the_do_not_call_list_keys_and_the_trail(run: Run, tmp_path: Path) -> None:
    assert (await run("dnc", "add", TO, "--reason", "asked")).out == "1 added.\n"
    path = tmp_path / "list.csv"
    path.write_text(f"number,reason\n{TO},again\n{OTHER},asked\n")
    assert (await run("dnc", "import", str(path))).out == "1 added, 1 already there.\n"
    assert "asked" in (await run("dnc", "check", TO, status=4)).out
    numbers = (await document(run, "dnc", "list"))["numbers"]
    assert [entry["number"] for entry in numbers] == [TO, OTHER]
    barred = await run("call", "--to", TO, "--from", FROM, status=1)
    assert "do-not-call" in barred.err.lower()
    await run("dnc", "remove", TO, OTHER)
    assert (await run("dnc", "check", TO)).out == f"{TO} is not on the list.\n"

    made = await document(run, "keys", "create", "shop", "--scope", "calls:read")
    listed = await document(run, "keys", "list")
    assert made["key"] not in json.dumps(listed)
    assert made["id"] in (await run("keys", "list")).out
    await run("keys", "revoke", made["id"])
    deeds = {entry["action"] for entry in (await document(run, "audit"))["entries"]}
    assert {"POST /v1/keys", "POST /v1/do-not-call"} <= deeds
    assert "POST keys" in (await run("audit")).out
    account = await document(run, "account")
    assert (account["concurrency"], account["in_use"], account["balance"]) == (3, 0, None)
    assert "calls at once" in (await run("account")).out
