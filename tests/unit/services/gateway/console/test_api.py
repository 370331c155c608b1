"""The console's API: what goes on, what there was, whom to call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.gateway.console.charts import CHARTS
from services.gateway.console.live import follow
from services.gateway.console.stream import Watchers, event_stream
from shared.bus.messages import Channel, WorkerLease
from shared.protocol.call import CallChange, CallId, CallState, EndReason, WorkerId
from shared.protocol.live import EVENT_WATCH, ShownAgent, ShownCall, WorkerView, view_key
from tests.support.console import PASSWORD, Console, console_of, with_neighbours

API = "/console/api"
WORKER = WorkerId("w-1")
VIEW = WorkerView(
    (ShownAgent("sales", "v2", "en", "Hello, sales."),),
    (
        ShownCall(
            "talking", "sales", "inbound", "+918000000001", "", "speaking", 3.2, 0.4, 640.0, 2
        ),
    ),
)


@pytest.fixture
async def console() -> AsyncIterator[Console]:
    async with console_of() as console:
        yield console


async def show_worker(console: Console, *, draining: bool = False) -> None:
    lease = WorkerLease(WORKER, "w:5001", 20, lag_ms=1.234, version="0.1", draining=draining)
    await console.bus.workers.heartbeat(lease, [CallId("talking")])
    await console.bus.values.put(view_key(WORKER), VIEW.to_json(), ttl_s=60)


# --- now ----------------------------------------------------------------------------------------


async def test_now_has_the_calls_of_workers_and_those_that_ring(console: Console) -> None:
    await show_worker(console)
    ringing = {"from_number": "+918000000003", "to_number": "+918000000004"}
    now = console.clock.wall()
    for call_id, state, age_s in (
        ("rings", CallState.RINGING, 20),
        ("over", CallState.COMPLETED, 20),
        ("being taken over", CallState.IN_PROGRESS, 20),
        ("lost for good", CallState.IN_PROGRESS, 70),
    ):
        times = {"created_at": (now - timedelta(seconds=age_s)).isoformat()}
        times |= {"answered_at": times["created_at"]} if state is CallState.IN_PROGRESS else {}
        await console.bus.calls.apply(CallChange(CallId(call_id), state, ringing | times))
    await console.bus.calls.apply(CallChange(CallId("talking"), CallState.IN_PROGRESS))
    said = json.loads(await console.state.console.outlook.text())
    first, *others = said["calls"]
    assert (first["call_id"], first["state"], first["worker_id"]) == ("talking", "speaking", WORKER)
    assert (first["last_turn_ms"], first["turns"]) == (640.0, 2)
    assert {call["call_id"] for call in others} == {"rings", "being taken over"}
    assert said["workers"] == [
        {"worker_id": WORKER, "capacity": 20, "active": 1, "lag_ms": 1.23, "version": "0.1"}
        | {"zone": "", "draining": False}
    ]
    assert said["health"] == {"redis": "ok", "workers": "ok"}


async def test_now_says_what_is_not_well(console: Console) -> None:
    with_neighbours(console, {"/readyz": httpx.Response(503)})
    await show_worker(console, draining=True)
    now = json.loads(await console.state.console.outlook.text())
    assert now["health"] == {
        "redis": "ok",
        "workers": "none takes calls",
        "dialer": "not ready (503)",
        "prometheus": "does not answer",
    }


async def test_a_view_of_another_version_hides_no_worker(console: Console) -> None:
    await show_worker(console)
    await console.bus.values.put(view_key(WORKER), '{"other": 1}', ttl_s=60)
    now = json.loads(await console.state.console.outlook.text())
    assert [worker["worker_id"] for worker in now["workers"]] == [WORKER]


async def test_agents_are_those_of_all_workers(console: Console) -> None:
    await show_worker(console)
    answer = await console.get(f"{API}/agents")
    assert answer.json() == {
        "agents": [
            {"name": "sales", "version": "v2", "language": "en", "greeting": "Hello, sales."}
        ]
    }


async def test_a_worker_is_told_to_drain_and_to_take_calls_again(console: Console) -> None:
    await show_worker(console)
    async with console.bus.events.subscribe(Channel.WORKERS) as events:
        for kind in ("drain", "undrain"):
            answer = await console.post(f"{API}/workers/{WORKER}/{kind}", {})
            assert answer.status_code == 202
            async with asyncio.timeout(2):
                told = await anext(events)
            assert (told.kind, told.data) == (kind, {"worker_id": WORKER})
    answer = await console.post(f"{API}/workers/unknown/drain", {})
    assert (answer.status_code, answer.json()) == (404, {"problem": "There is no such worker now."})


async def test_charts_are_drawn_from_what_prometheus_says(console: Console) -> None:
    result = [{"metric": {}, "values": [[1000, "2"], [1030, "NaN"], [1060, "640.12345"]]}]
    path = "/api/v1/query_range"
    asked = with_neighbours(console, {path: httpx.Response(200, json={"data": {"result": result}})})
    body = (await console.get(f"{API}/series?window_s=3600")).json()
    assert body["is_available"]
    assert [chart["name"] for chart in body["charts"]] == [chart.name for chart in CHARTS]
    line = body["charts"][0]["series"][0]
    assert line == {"label": "calls", "points": [[1000.0, 2.0], [1030.0, None], [1060.0, 640.123]]}
    assert len(asked) == sum(len(chart.lines) for chart in CHARTS)
    assert float(asked[0].url.params["step"]) == 30.0


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(500), httpx.Response(200, json={"data": {}}), httpx.Response(200, text="?")],
)
async def test_without_prometheus_there_are_no_charts(
    console: Console, answer: httpx.Response
) -> None:
    nothing = {"is_available": False, "charts": []}
    assert (await console.get(f"{API}/series")).json() == nothing
    with_neighbours(console, {"/api/v1/query_range": answer})
    assert (await console.get(f"{API}/series")).json() == nothing
    with_neighbours(console, {})
    assert (await console.get(f"{API}/series")).json() == nothing


# --- calls --------------------------------------------------------------------------------------


async def keep_calls(console: Console, count: int) -> None:
    for n in range(count):
        said = [{"who": "caller", "text": f"order number {n}", "at_ms": 100}]
        fields = {"from_number": f"+9180000000{n:02}", "agent": "sales", "transcript": said}
        await console.bus.calls.apply(CallChange(CallId(f"c{n}"), CallState.COMPLETED, fields))


async def test_calls_are_listed_newest_first_page_by_page(console: Console) -> None:
    await keep_calls(console, 7)
    found, before = [], ""
    for _ in range(3):
        page = (await console.get(f"{API}/calls?limit=3&before={before}")).json()
        found += [call["call_id"] for call in page["calls"]]
        before = page["next"]
        if before is None:
            break
    assert found == [f"c{n}" for n in range(6, -1, -1)]
    assert before is None
    assert "transcript" not in page["calls"][0]


async def test_calls_are_found_by_number_agent_id_and_words(console: Console) -> None:
    await keep_calls(console, 30)
    for asked, expected in (
        ("number 17", ["c17"]),
        ("00000012", ["c12"]),
        ("C5", ["c5"]),
        ("nobody said this", []),
    ):
        page = (await console.client.get(f"{API}/calls", params={"q": asked})).json()
        assert [call["call_id"] for call in page["calls"]] == expected
    page = (await console.client.get(f"{API}/calls", params={"q": "sales", "limit": 10})).json()
    assert len(page["calls"]) == 10
    older = {"q": "sales", "limit": 200, "before": page["next"]}
    rest = (await console.client.get(f"{API}/calls", params=older)).json()
    assert len(rest["calls"]) == 20
    assert rest["next"] is None


async def test_one_call_comes_with_its_marks(console: Console) -> None:
    marks = [{"kind": "clear", "at_ms": 4200}]
    await console.bus.calls.apply(CallChange(CallId("c"), CallState.COMPLETED, {"marks": marks}))
    body = (await console.get(f"{API}/calls/c")).json()
    assert (body["marks"], body["recording"]) == (marks, None)
    assert body["record"]["call_id"] == "c"
    for unknown in ("other", "no$id"):
        assert (await console.get(f"{API}/calls/{unknown}")).status_code == 404


# --- live ---------------------------------------------------------------------------------------


async def test_who_follows_a_call_is_told_what_its_worker_tells(console: Console) -> None:
    bus, call_id = console.bus, CallId("c")
    async with bus.events.subscribe(Channel.CALLS) as events, asyncio.timeout(5):
        told = follow(bus, call_id)
        first = asyncio.ensure_future(anext(told))
        watch = await anext(events)
        assert (watch.kind, watch.call_id) == (EVENT_WATCH, call_id)
        texts = ['{"kind":"caller","n":0}', '{"kind":"ended","reason":"agent_hung_up"}']
        for text in texts:
            await bus.live.publish(call_id, text)
        assert [await first, *[text async for text in told]] == texts


async def test_of_a_call_that_is_over_the_record_tells(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.console.live._ASK_S", 0.02)
    said: list[dict[str, Any]] = [
        {"who": "caller", "text": "stop", "at_ms": 900, "is_understood": False},
        {"kind": "keys", "who": "caller", "text": "1", "at_ms": 950, "count": 1},
        {"who": "agent", "text": "I", "at_ms": 1000, "is_interrupted": True},
        {"who": "agent", "text": "Goodbye.", "at_ms": 2000, "is_interrupted": False},
    ]
    fields = {"transcript": said, "duration_s": 3.5, "end_reason": EndReason.CALLER_HUNG_UP}
    await console.bus.calls.apply(CallChange(CallId("c"), CallState.COMPLETED, fields))
    async with asyncio.timeout(5):
        told = [json.loads(text) async for text in follow(console.bus, CallId("c"))]
    assert [(one["kind"], one["at_ms"]) for one in told] == [
        ("caller", 900),
        ("interrupted", 1000),
        ("said", 2000),
        ("ended", 3500),
    ]
    assert told[-1]["reason"] == "caller_hung_up"


async def test_a_stream_of_events_ends_and_lets_the_next_one_in() -> None:
    watchers = Watchers(1)

    async def two() -> Any:
        yield '{"n":1}'
        yield '{"n":2}'

    stream = event_stream(watchers, two())
    lines = b"".join([bytes(part) async for part in stream.body_iterator])  # type: ignore[arg-type] # ours are bytes
    assert lines == (b'retry: 1000\n\ndata: {"n":1}\n\ndata: {"n":2}\n\nevent: over\ndata: {}\n\n')
    watchers.check()
    with watchers, pytest.raises(Exception, match="Too many"):
        watchers.check()


# --- dial ---------------------------------------------------------------------------------------


async def test_a_call_is_placed_by_the_dialer(console: Console) -> None:
    placed = httpx.Response(201, json={"call_id": "new", "state": "queued"})
    asked = with_neighbours(console, {"/v1/calls": placed})
    body = {"to": " +918000000009 ", "agent": "sales", "variables": {"name": "Asha"}}
    answer = await console.post(f"{API}/dial", body)
    assert (answer.status_code, answer.json()) == (201, {"call_id": "new"})
    assert asked[0].headers["authorization"] == "Bearer dialer-key"
    assert json.loads(asked[0].content) == {
        "to": "+918000000009",
        "agent": "sales",
        "variables": {"name": "Asha"},
    }


async def test_what_the_dialer_refuses_is_said_in_its_words(console: Console) -> None:
    refusal = {"title": "That number can't be dialled", "detail": "It is too short."}
    with_neighbours(console, {"/v1/calls": httpx.Response(422, json=refusal)})
    answer = await console.post(f"{API}/dial", {"to": "12"})
    words = "That number can't be dialled. It is too short."
    assert (answer.status_code, answer.json()) == (422, {"problem": words})
    with_neighbours(console, {})
    answer = await console.post(f"{API}/dial", {"to": "+918000000009"})
    assert (answer.status_code, answer.json()) == (502, {"problem": "The dialer does not answer."})


@pytest.mark.parametrize(
    "body", [{}, {"to": ""}, {"to": 5}, {"to": "1", "agent": 1}, {"to": "1", "variables": [1]}]
)
async def test_an_order_that_can_not_be_meant_is_refused(
    console: Console, body: dict[str, Any]
) -> None:
    with_neighbours(console, {})
    assert (await console.post(f"{API}/dial", body)).status_code == 400


async def test_without_a_dialer_nothing_is_placed(console: Console) -> None:
    assert (await console.post(f"{API}/dial", {"to": "+918000000009"})).status_code == 503


# --- who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["now", "agents", "series", "calls", "calls/c", "calls/c/live"])
async def test_a_stranger_sees_nothing(path: str) -> None:
    async with console_of(console_password=PASSWORD) as console:
        assert (await console.get(f"{API}/{path}")).status_code == 401
        for write in ("dial", "workers/w/drain"):
            assert (await console.post(f"{API}/{write}", {})).status_code == 401
