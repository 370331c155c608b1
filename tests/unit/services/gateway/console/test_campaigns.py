"""services.gateway.console.campaigns: the dialer's campaigns, behind the console's door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from services.gateway.console import campaigns
from services.gateway.console.campaign_look import CampaignLook
from services.gateway.console.campaigns import table_parts
from services.gateway.console.neighbours import Neighbours
from services.gateway.console.problem import Problem
from tests.support.console import LOCAL, PASSWORD, Console, beside, console_of, with_neighbours

API = "/console/api/campaigns"
ID = "c-5e3f1c0a4d52"
ONE = f"/v1/campaigns/{ID}"
TABLE = {"content-type": "text/csv", "origin": LOCAL}
KNOWN = {"id": ID, "name": "November", "state": "running", "reason": None, "total": 3, "cps": 2.0}


@pytest.fixture
async def console() -> AsyncIterator[Console]:
    async with console_of() as console:
        yield console


def said(body: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


# --- questions ----------------------------------------------------------------------------------


async def test_campaigns_and_rows_are_asked_for_with_the_dialers_key(console: Console) -> None:
    page = {"campaigns": [KNOWN], "next": "c-000000000001"}
    rows: dict[str, Any] = {"rows": [], "next": None}
    asked = with_neighbours(
        console, {"/v1/campaigns": said(page), ONE: said(KNOWN), f"{ONE}/rows": said(rows)}
    )
    assert (await console.get(f"{API}?limit=5&cursor=c-000000000009")).json() == page
    one = await console.get(f"{API}/{ID}")
    assert one.json() == KNOWN
    assert one.headers["cache-control"] == "no-store"
    assert (await console.get(f"{API}/{ID}/rows?outcome=busy&cursor=50")).json() == rows
    assert [dict(request.url.params) for request in asked] == [
        {"limit": "5", "cursor": "c-000000000009"},
        {},
        {"outcome": "busy", "limit": "50", "cursor": "50"},
    ]
    assert {request.headers["authorization"] for request in asked} == {"Bearer dialer-key"}


async def test_a_campaign_is_made_steered_and_removed(console: Console) -> None:
    verbs = ("start", "pause", "resume", "cancel")
    asked = with_neighbours(
        console,
        {"/v1/campaigns": said(KNOWN, 201), ONE: httpx.Response(204)}
        | {f"{ONE}/{verb}": said(KNOWN) for verb in verbs},
    )
    wanted = {"name": "November", "agent": None, "windows": {"always": True}, "cps": 0.5}
    made = await console.post(API, wanted)
    assert (made.status_code, made.json()) == (201, KNOWN)
    for verb in verbs:
        assert (await console.post(f"{API}/{ID}/{verb}", {})).json() == KNOWN
    headers = {"content-type": "application/json", "origin": LOCAL}
    gone = await console.client.delete(f"{API}/{ID}", headers=headers)
    assert (gone.status_code, gone.content) == (204, b"")
    del wanted["agent"]
    assert json.loads(asked[0].content) == wanted
    told = [(request.method, request.url.path) for request in asked[1:]]
    assert told == [*(("POST", f"{ONE}/{verb}") for verb in verbs), ("DELETE", ONE)]


@pytest.mark.parametrize(
    ("status", "passed_on"),
    [(404, 404), (409, 409), (402, 402), (422, 422), (401, 502), (403, 502), (500, 502)],
)
async def test_the_dialers_problems_become_the_pages_words(
    console: Console, status: int, passed_on: int
) -> None:
    problem = {"title": "No such campaign", "detail": "It may have been removed.", "type": "urn:x"}
    with_neighbours(console, {f"{ONE}/start": said(problem, status)})
    answer = await console.post(f"{API}/{ID}/start", {})
    words = "No such campaign. It may have been removed."
    assert (answer.status_code, answer.json()) == (passed_on, {"problem": words})


async def test_the_field_that_a_problem_is_about_reaches_the_page(console: Console) -> None:
    problem = {"title": "The order is not sound", "field": "retry.max_attempts", "type": "urn:x"}
    asked = with_neighbours(console, {"/v1/campaigns": said(problem, 422)})
    rules = {"machine_detection": "hangup", "priority": 8, "retry": {"max_attempts": 99}}
    answer = await console.post(API, {"name": "x", **rules, "pause_rules": {"error_rate": None}})
    assert (answer.status_code, answer.json()["field"]) == (422, "retry.max_attempts")
    sent = json.loads(asked[0].content)
    assert sent == {"name": "x", **rules, "pause_rules": {"error_rate": None}}


async def test_a_campaign_goes_on_without_rows_that_are_missing_where_that_is_said(
    console: Console,
) -> None:
    asked = with_neighbours(console, {f"{ONE}/start": said(KNOWN)})
    for query in ("", "?accept_incomplete=true", "?accept_incomplete=false"):
        assert (await console.post(f"{API}/{ID}/start{query}", {})).status_code == 200
    assert [dict(request.url.params) for request in asked] == [
        {},
        {"accept_incomplete": "true"},
        {},
    ]


@pytest.mark.parametrize("answer", [httpx.Response(200, text="?"), said([1])])
async def test_an_answer_of_the_dialer_that_can_not_be_read_is_a_problem(
    console: Console, answer: httpx.Response
) -> None:
    with_neighbours(console, {ONE: answer})
    found = await console.get(f"{API}/{ID}")
    words = "The dialer's answer can't be read."
    assert (found.status_code, found.json()) == (502, {"problem": words})


async def test_a_field_that_no_campaign_has_is_refused(console: Console) -> None:
    asked = with_neighbours(console, {})
    answer = await console.post(API, {"name": "x", "rows": []})
    assert (answer.status_code, answer.json()) == (400, {"problem": "A campaign has no rows."})
    assert asked == []


@pytest.mark.parametrize("name", ["..", "c%2F..%2Fcalls", "c-1%3Fx", "c" * 65])
async def test_what_is_no_campaigns_name_is_not_asked_for(console: Console, name: str) -> None:
    asked = with_neighbours(console, {})
    assert (await console.get(f"{API}/{name}/rows")).status_code in {404, 422}
    assert asked == []


async def test_without_a_dialer_it_is_said_and_nothing_is_read(console: Console) -> None:
    words = {"problem": "There is no dialer here: set CONSOLE_DIALER_URL."}
    for answer in (
        await console.get(API),
        await console.post(API, {"name": "x"}),
        await console.client.post(f"{API}/{ID}/rows", content="to\n", headers=TABLE),
        await console.get(f"{API}/{ID}/results.csv"),
    ):
        assert (answer.status_code, answer.json()) == (503, words)
    assert json.loads(await console.state.console.outlook.text())["campaigns"] == []


# --- tables -------------------------------------------------------------------------------------


class SlowDialer(httpx.AsyncBaseTransport):
    """Takes a table piece by piece; `fault` is what broke it off."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.request: httpx.Request | None = None
        self.taken = 0
        self.fault: BaseException | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.request = request
        assert isinstance(request.stream, httpx.AsyncByteStream)
        try:
            async for part in request.stream:
                self.taken += len(part)
        except BaseException as exc:
            self.fault = exc
            raise
        return self.answer


async def test_a_table_is_passed_on_piece_by_piece(console: Console) -> None:
    report = {"added": 2, "duplicates": 1, "refused": 0, "bad_rows": []}
    dialer = SlowDialer(said(report))
    beside(console, dialer)
    ahead: list[int] = []

    async def table() -> AsyncIterator[bytes]:
        for sent in range(100):
            ahead.append(sent * 65_536 - dialer.taken)
            yield b"x" * 65_536

    answer = await console.client.post(
        f"{API}/{ID}/rows?on_bad_row=refuse", content=table(), headers=TABLE
    )
    assert (answer.status_code, answer.json()) == (200, report)
    # Far beyond what other bodies may have, and never more than a few pieces here.
    assert dialer.taken == 6_553_600
    assert max(ahead) <= 2 * 65_536
    assert dialer.request is not None
    assert dict(dialer.request.url.params) == {"on_bad_row": "refuse"}
    assert dialer.request.headers["content-type"] == "text/csv"
    assert dialer.request.headers["authorization"] == "Bearer dialer-key"


async def test_a_declared_length_is_passed_on(console: Console) -> None:
    dialer = SlowDialer(said({}))
    beside(console, dialer)
    await console.client.post(f"{API}/{ID}/rows", content=b"to\n1\n", headers=TABLE)
    assert dialer.request is not None
    assert dialer.request.headers["content-length"] == "5"
    assert "transfer-encoding" not in dialer.request.headers


async def test_bad_rows_come_with_the_words_of_a_refusal(console: Console) -> None:
    bad = [{"line": 2, "number": "12", "problem": "to: is too short"}]
    refusal = {"title": "The list has bad rows", "detail": "1.", "bad_rows": bad, "refused": 1}
    beside(console, SlowDialer(said(refusal, 422)))
    answer = await console.client.post(f"{API}/{ID}/rows", content=b"to\n12\n", headers=TABLE)
    assert answer.status_code == 422
    assert answer.json() == {
        "problem": "The list has bad rows. 1.",
        "bad_rows": bad,
        "refused": 1,
    }


@pytest.mark.parametrize("is_declared", [True, False])
async def test_a_table_that_is_too_large_is_refused(
    console: Console, monkeypatch: pytest.MonkeyPatch, is_declared: bool
) -> None:
    monkeypatch.setattr(campaigns, "TABLE_MAX_BYTES", 2**20)
    dialer = SlowDialer(said({}))
    beside(console, dialer)

    async def table() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 500_000

    content = b"x" * 1_500_000 if is_declared else table()
    answer = await console.client.post(f"{API}/{ID}/rows", content=content, headers=TABLE)
    assert (answer.status_code, answer.json()["problem"][:24]) == (413, "A table has at most 1 MB")
    assert dialer.taken == (0 if is_declared else 1_000_000)
    # Where it had begun, the dialer was left with a table that breaks off.
    assert isinstance(dialer.fault, Problem) is not is_declared


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": ""}, 403),
    ],
)
async def test_a_table_comes_from_our_own_page(
    console: Console, headers: dict[str, str], status: int
) -> None:
    dialer = SlowDialer(said({}))
    beside(console, dialer)
    answer = await console.client.post(f"{API}/{ID}/rows", content=b"to\n", headers=TABLE | headers)
    assert answer.status_code == status
    assert dialer.request is None


async def test_only_so_many_tables_pass_at_once(console: Console) -> None:
    beside(console, SlowDialer(said({"added": 1})))
    transfers = console.state.console.transfers
    with transfers, transfers, transfers, transfers:
        answer = await console.client.post(f"{API}/{ID}/rows", content=b"to\n", headers=TABLE)
        results = await console.get(f"{API}/{ID}/results.csv")
    for refused in (answer, results):
        assert refused.status_code == 503
        assert refused.json()["problem"].startswith("Others upload or download just now.")
    answer = await console.client.post(f"{API}/{ID}/rows", content=b"to\n", headers=TABLE)
    assert answer.status_code == 200


def request_of(*messages: dict[str, Any] | None) -> Request:
    """A request whose body comes so; None: nothing more comes."""
    coming = list(messages)

    async def receive() -> dict[str, Any]:
        message = coming.pop(0)
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        return message

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


PIECE = {"type": "http.request", "body": b"to\n", "more_body": True}


async def test_a_table_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "_PAUSE_S", 0.01)
    parts = table_parts(request_of(PIECE, None))
    assert await anext(parts) == b"to\n"
    with pytest.raises(Problem, match="in time") as raised:
        await anext(parts)
    assert raised.value.status == 408


async def test_a_table_that_breaks_off_is_told_apart_from_one_that_ends() -> None:
    parts = table_parts(request_of(PIECE, {"type": "http.disconnect"}))
    assert await anext(parts) == b"to\n"
    with pytest.raises(Problem, match="broke off") as raised:
        await anext(parts)
    assert raised.value.status == 400
    ended = table_parts(
        request_of(PIECE, {"type": "http.request", "body": b"", "more_body": False})
    )
    assert [part async for part in ended] == [b"to\n"]


class Table(httpx.AsyncByteStream):
    """A long answer of the dialer's, which may break off."""

    def __init__(self, *parts: bytes, breaks_off: bool = False) -> None:
        self._parts = parts
        self._breaks_off = breaks_off
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
        if self._breaks_off:
            raise httpx.ReadError("gone")

    async def aclose(self) -> None:
        self.is_closed = True


async def test_results_are_passed_back_as_they_come(console: Console) -> None:
    table = Table(b"row,to\r\n", b"1,+918000000001\r\n")
    with_neighbours(console, {f"{ONE}/results.csv": httpx.Response(200, stream=table)})
    answer = await console.get(f"{API}/{ID}/results.csv")
    assert answer.content == b"row,to\r\n1,+918000000001\r\n"
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == f'attachment; filename="{ID}.csv"'
    assert table.is_closed
    console.state.console.transfers.check()


async def test_results_that_are_refused_are_a_problem(console: Console) -> None:
    problem = {"title": "No such campaign"}
    with_neighbours(console, {f"{ONE}/results.csv": said(problem, 404)})
    answer = await console.get(f"{API}/{ID}/results.csv")
    assert (answer.status_code, answer.json()) == (404, {"problem": "No such campaign."})


async def test_results_that_break_off_do_not_look_whole(console: Console) -> None:
    table = Table(b"row,to\r\n", breaks_off=True)
    with_neighbours(console, {f"{ONE}/results.csv": httpx.Response(200, stream=table)})
    # The transport of these tests asserts that an answer has its last piece; this one has none.
    with pytest.raises(AssertionError):
        await console.get(f"{API}/{ID}/results.csv")
    assert table.is_closed


# --- now ----------------------------------------------------------------------------------------


class Listed(httpx.AsyncBaseTransport):
    """A dialer that knows campaigns by state, two a page."""

    def __init__(self, **by_state: int) -> None:
        self.by_state = by_state
        self.asked = 0
        self.is_away = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.is_away:
            raise httpx.ConnectError("refused")
        state = request.url.params["state"]
        first = int(request.url.params.get("cursor", "0"))
        last = min(first + 2, self.by_state[state])
        found = [
            {"id": f"{state}-{n}", "state": state, "spec": "not shown"} for n in range(first, last)
        ]
        more = str(last) if last < self.by_state[state] else None
        return said({"campaigns": found, "next": more})


async def test_now_tells_of_campaigns_that_run_or_have_paused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dialer = Listed(running=3, paused=1)
    async with Neighbours(None, "http://dialer:5002", None, transport=dialer) as neighbours:
        look = CampaignLook(neighbours)
        found = await look.seen()
        assert [one["id"] for one in found] == ["running-0", "running-1", "running-2", "paused-0"]
        assert "spec" not in found[0]
        assert dialer.asked == 3
        await look.seen()
        assert dialer.asked == 3  # it was just looked at
        monkeypatch.setattr("services.gateway.console.campaign_look._EACH_S", 0.0)
        look = CampaignLook(neighbours)
        await look.seen()
        dialer.is_away = True
        assert await look.seen() == []
        asked = dialer.asked
        await look.seen()
        assert dialer.asked == asked  # and is left alone for a while


# --- who may ------------------------------------------------------------------------------------


async def test_a_stranger_neither_sees_nor_changes_a_campaign() -> None:
    async with console_of(console_password=PASSWORD) as console:
        asked = with_neighbours(console, {})
        for path in ("", f"/{ID}", f"/{ID}/rows", f"/{ID}/results.csv"):
            assert (await console.get(f"{API}{path}")).status_code == 401
        for path in ("", f"/{ID}/start"):
            assert (await console.post(f"{API}{path}", {})).status_code == 401
        table = await console.client.post(f"{API}/{ID}/rows", content=b"to\n", headers=TABLE)
        assert table.status_code == 401
        assert (await console.client.delete(f"{API}/{ID}")).status_code == 401
        assert asked == []
