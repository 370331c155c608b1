"""Lists of calls, and acting on those that are up; on a real Redis, with a Vobiz that obeys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.dialer.calls import listing
from shared.protocol.call import CallChange, CallId, CallState, Direction
from shared.protocol.errand import TransferErrand, errand_key, parse_errand
from shared.vobiz.errors import Verdict, VobizFailure
from tests.support.dialer_api import FROM, ORDER, TO, DialerApi, new_prefix, open_dialer_api

pytestmark = pytest.mark.system

CALL = "call-1"


@pytest.fixture
async def desk(kept_redis: str) -> AsyncIterator[DialerApi]:
    async with open_dialer_api(kept_redis, prefix=new_prefix()) as made:
        yield made


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


async def record(
    desk: DialerApi, call_id: str = CALL, state: CallState = CallState.IN_PROGRESS, **fields: Any
) -> None:
    defaults = {
        "direction": Direction.OUTBOUND,
        "call_uuid": f"uuid-{call_id}",
        "from_number": FROM,
        "to_number": TO,
    }
    await desk.bus.calls.apply(CallChange(CallId(call_id), state, defaults | fields))


# --- orders -------------------------------------------------------------------------------------


async def test_an_order_brings_variables_times_and_its_own_machine_detection(
    desk: DialerApi,
) -> None:
    machine = {"mode": "hangup", "sync": True, "time_ms": 4000, "max_words": 2}
    order = {
        **ORDER,
        "variables": {"name": "Asha", "when": "tomorrow"},
        "ring_timeout_s": 25,
        "time_limit_s": 600,
        "machine_detection": machine,
    }
    placed = (await desk.api.post("/v1/calls", json=order)).json()
    assert placed["variables"] == order["variables"]
    (sent,) = desk.vobiz.made
    assert (sent["ring_timeout"], sent["time_limit"]) == (25, 600)
    about_machines = {name: value for name, value in sent.items() if "machine" in name}
    assert about_machines == {
        "machine_detection": "hangup",
        "machine_detection_time": 4000,
        "machine_detection_maximum_words": 2,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"variables": {"": "x"}},
        {"variables": {"x": "y" * 513}},
        {"variables": {f"n{n}": "y" for n in range(51)}},
        {"variables": {f"n{n}": "y" * 500 for n in range(7)}},
        {"ring_timeout_s": 4},
        {"time_limit_s": 90_000},
        {"machine_detection": {"mode": "detect", "time_ms": 100}},
        {"machine_detection": {"sync": True}},
    ],
)
async def test_an_order_out_of_bounds_is_refused(desk: DialerApi, wrong: dict[str, Any]) -> None:
    refused = await desk.api.post("/v1/calls", json={**ORDER, **wrong})
    status, kind = problem(refused)
    assert (status, kind) in {(422, "invalid-order"), (422, "invalid-request")}
    assert desk.vobiz.made == []


# --- lists --------------------------------------------------------------------------------------


async def listed(desk: DialerApi, **query: str | int) -> list[str]:
    answer = await desk.api.get("/v1/calls", params=query)
    assert answer.status_code == 200, answer.text
    return [call["call_id"] for call in answer.json()["calls"]]


async def test_calls_are_listed_by_state_direction_agent_campaign_and_number(
    desk: DialerApi,
) -> None:
    await record(desk, "a", CallState.COMPLETED, agent="desk")
    await record(desk, "b", CallState.BUSY, metadata={"campaign": "c-1"})
    await record(desk, "c", CallState.RINGING, direction=Direction.INBOUND, to_number=FROM)
    assert await listed(desk) == ["c", "b", "a"]
    assert await listed(desk, state="busy") == ["b"]
    assert await listed(desk, direction="inbound") == ["c"]
    assert await listed(desk, agent="desk") == ["a"]
    assert await listed(desk, campaign="c-1") == ["b"]
    assert await listed(desk, to="+91 80000 00002") == ["b", "a"]
    assert await listed(desk, state="busy", agent="desk") == []
    assert problem(await desk.api.get("/v1/calls?state=odd")) == (422, "invalid-request")
    assert problem(await desk.api.get("/v1/calls?to=odd")) == (422, "invalid-order")


async def test_pages_of_a_list_follow_each_other_without_gap_or_repeat(
    desk: DialerApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_PAGE", 2)
    monkeypatch.setattr(listing, "_MOST_LOOKED_AT", 3)
    states = [CallState.BUSY if n % 3 == 0 else CallState.COMPLETED for n in range(12)]
    for n, state in enumerate(states):
        await record(desk, f"call-{n:02}", state)
    pages: list[tuple[dict[str, str | int], list[int]]] = [
        ({"limit": 5}, list(range(11, -1, -1))),
        ({"limit": 2, "state": "busy"}, [9, 6, 3, 0]),
    ]
    for query, wanted in pages:
        found: list[str] = []
        cursor: dict[str, str] = {}
        for _ in range(12):
            page = (await desk.api.get("/v1/calls", params={**query, **cursor})).json()
            found += [call["call_id"] for call in page["calls"]]
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert found == [f"call-{n:02}" for n in wanted]
    assert await listed(desk, cursor="nobody") == []


# --- acting -------------------------------------------------------------------------------------


async def test_a_call_is_handed_to_another_url(desk: DialerApi) -> None:
    await record(desk)
    url = "https://voice.example.com/queue.xml"
    done = await desk.api.post(f"/v1/calls/{CALL}/transfer", json={"url": url})
    assert (done.status_code, done.json()) == (202, {"call_id": CALL, "action": "transfer"})
    assert desk.vobiz.acts == [("transfer", f"uuid-{CALL}", url)]


@pytest.mark.parametrize(
    ("direction", "shown"), [(Direction.OUTBOUND, FROM), (Direction.INBOUND, TO)]
)
async def test_a_call_is_handed_to_a_number_by_way_of_the_gateway(
    desk: DialerApi, direction: Direction, shown: str
) -> None:
    await record(desk, direction=direction)
    done = await desk.api.post(f"/v1/calls/{CALL}/transfer", json={"to": "+91 80000 00003"})
    assert done.status_code == 202
    url = f"http://127.0.0.1:5000/errand?c={CALL}"
    assert desk.vobiz.acts == [("transfer", f"uuid-{CALL}", url)]
    errand = parse_errand(await desk.bus.values.get(errand_key(CallId(CALL))) or "")
    assert isinstance(errand, TransferErrand)
    assert (errand.to, errand.caller_id) == ("+918000000003", shown)


@pytest.mark.parametrize(
    ("verdict", "is_left"), [(Verdict.FORBIDDEN, False), (Verdict.OUTCOME_UNKNOWN, True)]
)
async def test_an_errand_is_taken_back_only_when_vobiz_surely_did_not_fetch_it(
    desk: DialerApi, verdict: Verdict, is_left: bool
) -> None:
    await record(desk)
    desk.vobiz.failure = VobizFailure(verdict)
    failed = await desk.api.post(f"/v1/calls/{CALL}/transfer", json={"to": "+918000000003"})
    assert failed.status_code >= 400
    assert failed.json()["call_id"] == CALL
    assert (await desk.bus.values.get(errand_key(CallId(CALL))) is not None) == is_left


async def test_keys_are_pressed_and_words_said(desk: DialerApi) -> None:
    await record(desk)
    pressed = await desk.api.post(f"/v1/calls/{CALL}/dtmf", json={"digits": "1w2#"})
    words = {"text": "One moment.", "language": "en-IN", "voice": "WOMAN"}
    said = await desk.api.post(f"/v1/calls/{CALL}/speak", json=words)
    assert (pressed.status_code, said.status_code) == (202, 202)
    assert desk.vobiz.acts == [
        ("dtmf", f"uuid-{CALL}", "1w2#"),
        ("speak", f"uuid-{CALL}", "One moment.", "WOMAN", "en-IN"),
    ]


ACTS: list[tuple[str, dict[str, Any]]] = [
    ("transfer", {"url": "https://voice.example.com/queue.xml"}),
    ("transfer", {"to": "+918000000003"}),
    ("dtmf", {"digits": "1"}),
    ("speak", {"text": "x"}),
]


@pytest.mark.parametrize(("act", "body"), ACTS)
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (CallState.RINGING, (409, "not-in-progress")),
        (CallState.COMPLETED, (409, "call-over")),
        (None, (404, "unknown-call")),
    ],
)
async def test_only_a_call_that_is_up_is_acted_on(
    desk: DialerApi,
    act: str,
    body: dict[str, Any],
    state: CallState | None,
    expected: tuple[int, str],
) -> None:
    if state is not None:
        await record(desk, state=state)
    assert problem(await desk.api.post(f"/v1/calls/{CALL}/{act}", json=body)) == expected
    assert desk.vobiz.acts == []


@pytest.mark.parametrize(("act", "body"), ACTS)
async def test_a_call_that_ends_meanwhile_is_said_to_be_over(
    desk: DialerApi, act: str, body: dict[str, Any]
) -> None:
    await record(desk)
    desk.vobiz.is_over = True
    done = await desk.api.post(f"/v1/calls/{CALL}/{act}", json=body)
    assert problem(done) == (409, "call-over")
    assert await desk.bus.values.get(errand_key(CallId(CALL))) is None


@pytest.mark.parametrize(
    ("act", "body"),
    [
        ("transfer", {}),
        ("transfer", {"url": "ftp://x"}),
        ("transfer", {"url": "https://x.example", "to": TO}),
        ("dtmf", {"digits": "9x"}),
        ("dtmf", {"digits": ""}),
        ("speak", {"text": ""}),
        ("speak", {"text": "x" * 1001}),
    ],
)
async def test_what_cannot_be_done_is_refused_before_vobiz_is_asked(
    desk: DialerApi, act: str, body: dict[str, Any]
) -> None:
    await record(desk)
    refused = await desk.api.post(f"/v1/calls/{CALL}/{act}", json=body)
    assert problem(refused) == (422, "invalid-request")
    assert desk.vobiz.acts == []
