"""The dialer against a stand-in for Vobiz over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from services.dialer.app import create_app
from services.dialer.calls.dialer import Dialer
from services.dialer.calls.order import CallLimits, GatewayAddress
from services.dialer.calls.placing import Placing
from services.dialer.calls.routes import OrderRules, call_routes
from services.dialer.desk.body import BodyBounds
from services.dialer.desk.desk import Desk
from services.dialer.desk.door import Door
from shared.bus.base import BusUnavailable
from shared.bus.memory import MemoryBus
from shared.bus.messages import Applied
from shared.metrics.catalogue import DialerMetrics
from shared.protocol.call import CallChange, CallId, CallState, Direction
from shared.runtime.tasks import TaskOwner
from shared.vobiz.account import VobizAccount
from shared.vobiz.client import open_vobiz
from tests.support.vobiz_rest import ACCEPTED, Answer, VobizStandIn, serve_rudeness

pytestmark = pytest.mark.system

TO, FROM = "+918000000002", "+918000000001"
KEY = "test-key"
ORDER = {"to": TO, "from": FROM}
ANSWER_TIMEOUT_S = 1.5


@dataclass
class Bench:
    """A dialer on a memory bus."""

    api: httpx.AsyncClient
    bus: MemoryBus
    dialer: Dialer
    registry: CollectorRegistry
    draining: asyncio.Event

    def count(self, verdict: str) -> float:
        labels = {"verdict": verdict}
        return self.registry.get_sample_value("voice_dialer_calls_total", labels) or 0.0


@asynccontextmanager
async def open_bench(
    api_base: str | None, *, bus: MemoryBus | None = None, key: str | None = KEY
) -> AsyncIterator[Bench]:
    bus = bus or MemoryBus()
    registry, draining = CollectorRegistry(), asyncio.Event()
    account = VobizAccount("MA_EXAMPLE1", "example-token", api_base) if api_base else None
    desk = Desk(Door(key), BodyBounds(65_536, 0.5), 100, draining.is_set)
    async with open_vobiz(account, timeout_s=ANSWER_TIMEOUT_S, connect_timeout_s=0.4) as vobiz:
        dialer = Dialer(
            vobiz,
            bus.calls,
            DialerMetrics(registry),
            gateway=GatewayAddress("http://127.0.0.1:5000"),
            limits=CallLimits(),
        )
        routers = [call_routes(dialer, Placing(dialer, None), OrderRules(), desk)]
        app = create_app(routers, bus, registry, is_draining=draining.is_set)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://dialer",
            headers={"Authorization": f"Bearer {key}"} if key else {},
        ) as api:
            yield Bench(api, bus, dialer, registry, draining)


@pytest.fixture
async def vobiz() -> AsyncIterator[VobizStandIn]:
    async with VobizStandIn().serve() as stand_in:
        yield stand_in


@pytest.fixture
async def bench(vobiz: VobizStandIn) -> AsyncIterator[Bench]:
    async with open_bench(vobiz.base) as made:
        yield made


async def only_record(bench: Bench) -> Any:
    (record,) = await bench.bus.calls.recent(10)
    return record


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["title"]
    return answer.status_code, body["type"].rpartition(":")[2]


# --- placing ------------------------------------------------------------------------------------


async def test_a_call_is_placed_with_our_webhooks_and_recorded(
    bench: Bench, vobiz: VobizStandIn
) -> None:
    order = {**ORDER, "to": "+91 80000-00002", "agent": "desk", "metadata": {"lead": "42"}}
    answer = await bench.api.post("/v1/calls", json=order)
    assert answer.status_code == 201
    record = answer.json()
    call_id = record["call_id"]
    assert answer.headers["location"] == f"/v1/calls/{call_id}"
    assert (record["state"], record["direction"]) == ("queued", "outbound")
    assert (record["from_number"], record["to_number"]) == (FROM, TO)
    assert (record["agent"], record["metadata"]) == ("desk", {"lead": "42"})
    assert record["call_uuid"] == ACCEPTED["request_uuid"]
    assert record["milestones"]["vobiz_accepted_ms"] > 0
    assert (await bench.api.get(f"/v1/calls/{call_id}")).json() == record
    (sent,) = vobiz.seen
    assert (sent.method, sent.path) == ("POST", "/api/v1/Account/MA_EXAMPLE1/Call/")
    assert sent.headers["x-auth-id"] == "MA_EXAMPLE1"
    assert sent.headers["x-auth-token"] == "example-token"
    assert sent.body["answer_url"] == f"http://127.0.0.1:5000/answer?c={call_id}&agent=desk"
    assert bench.count("accepted") == 1


async def test_machine_detection_can_be_asked_for(bench: Bench, vobiz: VobizStandIn) -> None:
    order = {**ORDER, "machine_detection": "hangup"}
    assert (await bench.api.post("/v1/calls", json=order)).status_code == 201
    assert vobiz.seen[0].body["machine_detection"] == "hangup"
    refused = await bench.api.post("/v1/calls", json={**ORDER, "machine_detection": "perhaps"})
    assert problem(refused) == (422, "invalid-request")


async def test_the_record_is_there_before_vobiz_is_asked(bench: Bench, vobiz: VobizStandIn) -> None:
    """A webhook can overtake Vobiz's answer; it must find the record."""
    vobiz.answers = [Answer(hangs=True)]
    async with TaskOwner("test") as tasks:
        placing = tasks.start(bench.api.post("/v1/calls", json=ORDER), name="place")
        await vobiz.arrived.wait()
        record = await only_record(bench)
        assert (record.state, record.call_uuid) == (CallState.QUEUED, None)
        under_way = "voice_dialer_orders_under_way"
        assert bench.registry.get_sample_value(under_way) == 1
        assert f"c={record.call_id}" in vobiz.seen[0].body["answer_url"]
        await bench.bus.calls.apply(CallChange(record.call_id, CallState.RINGING))
        answer = await placing
    assert problem(answer) == (504, "outcome-unknown")
    assert bench.registry.get_sample_value(under_way) == 0
    assert (await only_record(bench)).state is CallState.RINGING


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (Answer.of(200, {"request_uuid": "u"}), "u"),
        (Answer.of(202, {"call_uuid": "u"}), "u"),
        (Answer.of(201, {"request_uuid": ["u", "v"]}), "u"),
        (Answer.of(201, {"message": "Call fired"}), None),
    ],
)
async def test_any_2xx_places_the_call(
    bench: Bench, vobiz: VobizStandIn, answer: Answer, name: str | None
) -> None:
    vobiz.answers = [answer]
    placed = await bench.api.post("/v1/calls", json=ORDER)
    assert placed.status_code == 201
    assert placed.json()["call_uuid"] == name


FAILURES = [
    (Answer.of(400, {"error": "failed getting country code"}), 400, "vobiz-invalid", "failed"),
    (Answer.of(401, {"error": {"message": "no"}}), 502, "vobiz-unauthorized", "failed"),
    (Answer.of(402, {"error": "insufficient"}), 402, "vobiz-no-balance", "failed"),
    (Answer.of(403, {"error": "inactive"}), 403, "vobiz-forbidden", "failed"),
    (Answer.of(404, {"message": "Not Found"}), 502, "vobiz-not-found", "failed"),
    (Answer.of(429, {}, Retry_After="7"), 429, "vobiz-rate-limited", "failed"),
    (Answer.of(307, None, Location="http://127.0.0.1:1/"), 502, "vobiz-unexpected", "failed"),
    (Answer.of(500, {"error": "boom"}), 502, "vobiz-error", "queued"),
    (Answer(502, b"<html>bad gateway</html>"), 502, "vobiz-error", "queued"),
    (Answer(200, b"<html>welcome</html>"), 504, "outcome-unknown", "queued"),
    (Answer(201, b"\xff" * 200_000), 504, "outcome-unknown", "queued"),
    (Answer(hangs=True), 504, "outcome-unknown", "queued"),
]


@pytest.mark.parametrize(
    ("answer", "status", "kind", "state"), FAILURES, ids=[f"{f[2]}-{f[0].status}" for f in FAILURES]
)
async def test_each_refusal_is_a_distinct_problem_and_vobiz_is_asked_once(
    bench: Bench, vobiz: VobizStandIn, answer: Answer, status: int, kind: str, state: str
) -> None:
    vobiz.answers = [answer]
    refused = await bench.api.post("/v1/calls", json=ORDER)
    assert problem(refused) == (status, kind)
    record = await only_record(bench)
    assert record.state == state
    assert record.error
    assert refused.json()["call_id"] == record.call_id
    assert len(vobiz.seen) == 1
    assert bench.count(refused.json()["verdict"]) == 1


async def test_a_limit_passes_on_how_long_to_wait(bench: Bench, vobiz: VobizStandIn) -> None:
    vobiz.answers = [Answer.of(429, {"error": {"details": {"retryAfter": 3}}})]
    refused = await bench.api.post("/v1/calls", json=ORDER)
    assert (refused.headers["retry-after"], refused.json()["retry_after_s"]) == ("3", 3)


@pytest.mark.parametrize(
    "reply", [b"", b"HTTP/1.1 201 Created\r\nContent-Le", b"\0\0garbage\r\n\r\n"]
)
async def test_a_cut_connection_leaves_the_outcome_unknown(reply: bytes) -> None:
    async with serve_rudeness(reply) as (base, arrived), open_bench(base) as bench:
        refused = await bench.api.post("/v1/calls", json=ORDER)
        assert arrived.is_set()
        assert problem(refused) == (504, "outcome-unknown")
        assert (await only_record(bench)).state is CallState.QUEUED


async def test_an_unreachable_vobiz_dialled_nothing() -> None:
    async with VobizStandIn().serve() as gone:
        base = gone.base
    async with open_bench(base) as bench:
        assert problem(await bench.api.post("/v1/calls", json=ORDER)) == (503, "vobiz-unreachable")
        assert (await only_record(bench)).state is CallState.FAILED


async def test_without_an_account_there_is_one_clear_line() -> None:
    async with open_bench(None) as bench:
        refused = await bench.api.post("/v1/calls", json=ORDER)
        assert problem(refused) == (503, "vobiz-not-configured")
        assert "VOBIZ_AUTH_ID" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("order", "kind", "word"),
    [
        ({"to": TO}, "invalid-order", "FROM_NUMBER"),
        ({"from": FROM}, "invalid-request", "to"),
        ({**ORDER, "to": "918000000002"}, "invalid-order", "international"),
        ({**ORDER, "to": ["+918000000002"]}, "invalid-request", "to"),
        ({**ORDER, "to": 918000000002}, "invalid-request", "to"),
        ({**ORDER, "agent": "a b"}, "invalid-order", "agent"),
        ({**ORDER, "metadata": {"k": 1}}, "invalid-request", "metadata"),
        ({**ORDER, "answer_url": "https://x"}, "invalid-request", "answer_url"),
        ([], "invalid-request", "body"),
        (None, "invalid-request", "body"),
    ],
    ids=range(10),
)
async def test_unsound_orders_reach_neither_records_nor_vobiz(
    bench: Bench, vobiz: VobizStandIn, order: Any, kind: str, word: str
) -> None:
    headers = {"Content-Type": "application/json"}
    refused = await bench.api.post("/v1/calls", content=json.dumps(order), headers=headers)
    assert problem(refused) == (422, kind)
    assert word in refused.text
    assert (vobiz.seen, await bench.bus.calls.recent(10)) == ([], [])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 60_000, b'{"to":"\\ud800"}'])
async def test_what_is_not_json_is_refused(bench: Bench, content: bytes) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    refused = await bench.api.post("/v1/calls", content=content, headers=headers)
    assert problem(refused) == (422, "invalid-request")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_web_pages_form_places_no_call(bench: Bench, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    refused = await bench.api.post("/v1/calls", content=json.dumps(ORDER), headers=headers)
    assert problem(refused) == (415, "not-json")


async def test_a_large_body_is_refused_declared_or_not(bench: Bench) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b" " * 1024

    for content in (b" " * 2_000_000, pieces()):
        refused = await bench.api.post(
            "/v1/calls", content=content, headers={"Content-Type": "application/json"}
        )
        assert problem(refused) == (413, "too-large")


async def test_a_body_that_never_ends_is_given_up(bench: Bench) -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    refused = await bench.api.post(
        "/v1/calls", content=stalled(), headers={"Content-Type": "application/json"}
    )
    assert problem(refused) == (408, "too-slow")


# --- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer wrong", f"Basic {KEY}", KEY, "Bearer é"]
)
async def test_every_route_of_the_api_is_behind_the_key(
    bench: Bench, vobiz: VobizStandIn, header: str | None
) -> None:
    bench.api.headers.pop("authorization")
    headers = {b"authorization": header.encode("latin-1")} if header else {}
    for method, path in (
        ("POST", "/v1/calls"),
        ("GET", "/v1/calls"),
        ("GET", "/v1/calls/x"),
        ("DELETE", "/v1/calls/x"),
    ):
        refused = await bench.api.request(method, path, headers=headers)
        assert problem(refused) == (401, "unauthorized")
        assert refused.headers["www-authenticate"] == "Bearer"
    assert vobiz.seen == []


async def test_without_a_key_everybody_may_place_calls(vobiz: VobizStandIn) -> None:
    async with open_bench(vobiz.base, key=None) as bench:
        assert (await bench.api.post("/v1/calls", json=ORDER)).status_code == 201


# --- looking up and hanging up ------------------------------------------------------------------


async def test_lists_are_bounded_and_newest_first(bench: Bench) -> None:
    ids = [(await bench.api.post("/v1/calls", json=ORDER)).json()["call_id"] for _ in range(3)]
    listed = (await bench.api.get("/v1/calls?limit=2")).json()["calls"]
    assert [record["call_id"] for record in listed] == ids[:0:-1]
    for limit in ("0", "101", "x"):
        refused = await bench.api.get(f"/v1/calls?limit={limit}")
        assert problem(refused) == (422, "invalid-request")


async def place(bench: Bench) -> CallId:
    return CallId((await bench.api.post("/v1/calls", json=ORDER)).json()["call_id"])


@pytest.mark.parametrize(
    ("answers", "paths"),
    [
        ([Answer.of(204)], ["/"]),
        ([Answer.of(404, {"error": "gone"}), Answer.of(404, {"error": "gone"})], ["/", ""]),
        ([Answer.of(401, {"message": "no"}), Answer.of(204)], ["/", ""]),
        ([Answer.of(404, {"message": "Not Found"}), Answer.of(401, {})], ["/", ""]),
    ],
)
async def test_a_hang_up_tries_both_forms_of_the_path_and_over_is_a_success(
    bench: Bench, vobiz: VobizStandIn, answers: list[Answer], paths: list[str]
) -> None:
    call_id = await place(bench)
    vobiz.answers = answers
    assert (await bench.api.delete(f"/v1/calls/{call_id}")).status_code == 204
    stem = "/api/v1/Account/MA_EXAMPLE1/Call/vobiz-uuid-1"
    assert [(s.method, s.path) for s in vobiz.seen[1:]] == [("DELETE", stem + p) for p in paths]


@pytest.mark.parametrize(
    ("answers", "status", "kind"),
    [
        ([Answer.of(401, {}), Answer.of(401, {})], 502, "vobiz-unauthorized"),
        ([Answer.of(500, {})], 502, "vobiz-error"),
        ([Answer.of(429, {})], 429, "vobiz-rate-limited"),
        ([Answer(hangs=True)], 504, "outcome-unknown"),
    ],
)
async def test_a_hang_up_that_vobiz_refuses_says_so(
    bench: Bench, vobiz: VobizStandIn, answers: list[Answer], status: int, kind: str
) -> None:
    call_id = await place(bench)
    vobiz.answers = answers
    refused = await bench.api.delete(f"/v1/calls/{call_id}")
    assert problem(refused) == (status, kind)
    assert refused.json()["call_id"] == call_id


async def test_a_call_that_is_over_is_not_hung_up_again(bench: Bench, vobiz: VobizStandIn) -> None:
    call_id = await place(bench)
    await bench.bus.calls.apply(CallChange(call_id, CallState.COMPLETED))
    assert (await bench.api.delete(f"/v1/calls/{call_id}")).status_code == 204
    assert len(vobiz.seen) == 1


async def test_an_inbound_call_is_hung_up_by_its_own_id(bench: Bench, vobiz: VobizStandIn) -> None:
    fields = {"direction": Direction.INBOUND}
    await bench.bus.calls.apply(CallChange(CallId("in-1"), CallState.IN_PROGRESS, fields))
    vobiz.answers = [Answer.of(204)]
    assert (await bench.api.delete("/v1/calls/in-1")).status_code == 204
    assert vobiz.seen[0].path.endswith("/Call/in-1/")


async def test_a_call_without_a_name_cannot_be_hung_up_yet(
    bench: Bench, vobiz: VobizStandIn
) -> None:
    vobiz.answers = [Answer.of(500, {})]
    await bench.api.post("/v1/calls", json=ORDER)
    record = await only_record(bench)
    refused = await bench.api.delete(f"/v1/calls/{record.call_id}")
    assert problem(refused) == (409, "not-placed-yet")


@pytest.mark.parametrize("call_id", ["nobody", "x" * 500, "%00", "%C3%A9"])
async def test_unknown_calls_are_not_found(bench: Bench, call_id: str) -> None:
    for method in ("GET", "DELETE"):
        answer = await bench.api.request(method, f"/v1/calls/{call_id}")
        assert problem(answer) == (404, "unknown-call")


async def test_unknown_routes_are_problems_too(bench: Bench) -> None:
    assert problem(await bench.api.get("/v2/calls")) == (404, "not-found")
    assert problem(await bench.api.put("/v1/calls")) == (405, "method-not-allowed")


# --- the bus, stopping, figures -----------------------------------------------------------------


class FailingCalls:
    """Records that fail from the nth change on."""

    def __init__(self, bus: MemoryBus, good: int) -> None:
        self._real = bus.calls
        self._good = good

    async def apply(self, change: CallChange) -> Applied:
        self._good -= 1
        if self._good < 0:
            raise BusUnavailable("away")
        return await self._real.apply(change)

    async def get(self, call_id: CallId) -> Any:
        raise BusUnavailable("away")

    async def recent(self, limit: int, *, before: CallId | None = None) -> Any:
        raise BusUnavailable("away")


async def test_a_bug_is_a_problem_that_tells_nothing_of_the_inside(bench: Bench) -> None:
    async def broken(limit: int, *, before: CallId | None = None) -> Any:
        raise RuntimeError("secret inside")

    bench.bus.calls.recent = broken  # type: ignore[method-assign] # nothing less would break it
    answer = await bench.api.get("/v1/calls")
    assert problem(answer) == (500, "internal")
    assert "secret" not in answer.text


def with_failing_calls(good: int) -> MemoryBus:
    bus = MemoryBus()
    bus.calls = FailingCalls(bus, good)  # type: ignore[assignment] # a CallStore that is away
    return bus


async def test_without_records_nothing_is_dialled(vobiz: VobizStandIn) -> None:
    async with open_bench(vobiz.base, bus=with_failing_calls(0)) as bench:
        requests: list[Callable[[], Awaitable[httpx.Response]]] = [
            lambda: bench.api.post("/v1/calls", json=ORDER),
            lambda: bench.api.get("/v1/calls"),
            lambda: bench.api.get("/v1/calls/x"),
            lambda: bench.api.delete("/v1/calls/x"),
        ]
        for request in requests:
            refused = await request()
            assert problem(refused) == (503, "records-unavailable")
            assert refused.headers["retry-after"] == "1"
    assert vobiz.seen == []


async def test_records_lost_after_dialling_do_not_lose_the_call(vobiz: VobizStandIn) -> None:
    async with open_bench(vobiz.base, bus=with_failing_calls(1)) as bench:
        answer = await bench.api.post("/v1/calls", json=ORDER)
        assert answer.status_code == 201
        assert answer.json()["state"] == "queued"


async def test_a_stopping_dialer_finishes_what_it_began_and_takes_nothing_new(
    bench: Bench, vobiz: VobizStandIn
) -> None:
    vobiz.answers = [Answer(hangs=True)]
    async with TaskOwner("test") as tasks:
        placing = tasks.start(bench.api.post("/v1/calls", json=ORDER), name="place")
        await vobiz.arrived.wait()
        bench.draining.set()
        idle = tasks.start(bench.dialer.until_idle(), name="idle")
        assert problem(await bench.api.post("/v1/calls", json=ORDER)) == (503, "draining")
        assert (await bench.api.get("/readyz")).status_code == 503
        assert not idle.done()
        await placing
        async with asyncio.timeout(2):
            await idle
    assert (await only_record(bench)).error


async def test_health_readiness_and_figures_need_no_key(bench: Bench) -> None:
    await bench.api.post("/v1/calls", json=ORDER)
    bench.api.headers.pop("authorization")
    assert (await bench.api.get("/healthz")).json() == {"status": "ok"}
    assert (await bench.api.get("/readyz")).json() == {"ready": True, "redis": "ok"}
    figures = (await bench.api.get("/metrics")).text
    assert 'voice_dialer_calls_total{verdict="accepted"} 1.0' in figures
    assert 'voice_dialer_vobiz_seconds_count{operation="make_call"} 1.0' in figures
