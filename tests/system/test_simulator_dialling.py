"""The simulated cloud as a careful dialler meets it: its book, crowds, lost answers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.simulator_rest import AUTH_ID, CALLS, TO, Rest, open_rest

pytestmark = pytest.mark.system

CDR = f"/Account/{AUTH_ID}/cdr"


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with open_rest() as opened:
        yield opened


async def ask(rest: Rest, path: str, **body: Any) -> dict[str, Any]:
    answer = await rest.client.post(f"{rest.root}/simulator/{path}", json=body)
    assert answer.status_code == 200, answer.text
    asked: dict[str, Any] = answer.json()
    return asked


async def dialled(rest: Rest, **query: int) -> dict[str, Any]:
    answer = await rest.client.get(f"{rest.root}/simulator/dialled", params=query)
    assert answer.status_code == 200, answer.text
    book: dict[str, Any] = answer.json()
    return book


async def test_the_book_says_what_was_asked_what_was_told_and_how_it_ended(rest: Rest) -> None:
    await rest.person(number=TO, hangup_after_s=0.3)
    await ask(rest, "faults", status=429, operation=f"POST {CALLS}")
    assert (await rest.dial()).status_code == 429
    call_uuid = (await rest.dial()).json()["request_uuid"]
    await rest.over(call_uuid)
    assert (await rest.dial(**{"from": ""})).status_code == 400
    book = await dialled(rest, numbers=10)
    limited, accepted, bad = book["calls"]
    assert (limited["verdict"], limited["status"], limited["call_uuid"]) == ("refused", 429, None)
    assert (accepted["verdict"], accepted["call_uuid"]) == ("accepted", call_uuid)
    assert (accepted["to"], accepted["from"]) == (TO, "+918000000001")
    assert accepted["query"] == {"c": "our-id"}
    assert (accepted["cause_code"], accepted["channels"]) == (4000, 1)
    talked_s = accepted["ended_s"] - accepted["answered_s"]
    assert talked_s == pytest.approx(0.3, abs=0.2)
    assert accepted["at_s"] < accepted["answered_s"]
    assert bad["status"] == 400
    figures = book["figures"]
    assert (figures["asked"], figures["most_channels"], book["next"]) == (3, 1, 3)
    assert figures["dialled_by_number"] == {TO: 1}
    assert (await dialled(rest, after=3))["calls"] == []


@pytest.mark.parametrize("dials", [True, False])
async def test_an_answer_can_be_lost_before_and_after_the_dialling(rest: Rest, dials: bool) -> None:
    await rest.person(number=TO, hangup_after_s=0.3)
    await ask(rest, "faults", answer="none", dials=dials)
    with pytest.raises(httpx.RemoteProtocolError):
        await rest.dial()
    (lost,) = (await dialled(rest))["calls"]
    assert (lost["verdict"], lost["status"]) == ("lost", None)
    assert (lost["call_uuid"] is not None) is dials
    if dials:
        await rest.over(lost["call_uuid"])
    assert ("Hangup" in rest.server.events()) is dials


async def test_an_answer_can_come_later_than_anybody_waits(rest: Rest) -> None:
    await rest.person(number=TO, hangup_after_s=0.2)
    await ask(rest, "faults", answer="late", delay_s=2)
    with pytest.raises(httpx.ReadTimeout):
        await rest.client.post(CALLS, json=rest.body(), timeout=0.5)
    (late,) = (await dialled(rest))["calls"]
    assert late["verdict"] == "late"
    await rest.over(late["call_uuid"])


@pytest.mark.parametrize("dials", [True, False])
async def test_a_server_error_may_have_dialled(rest: Rest, dials: bool) -> None:
    await rest.person(number=TO, hangup_after_s=0.2)
    await ask(rest, "faults", status=503, dials=dials)
    assert (await rest.dial()).status_code == 503
    (failed,) = (await dialled(rest))["calls"]
    assert (failed["verdict"], failed["status"]) == ("failed", 503)
    assert (failed["call_uuid"] is not None) is dials
    if dials:
        await rest.over(failed["call_uuid"])


async def test_a_burst_of_429_names_its_limit_and_ends_with_its_time(rest: Rest) -> None:
    burst = {"status": 429, "share": 1.0, "for_s": 0.5, "limit": "concurrency", "retry_after_s": 3}
    await ask(rest, "faults", **burst)
    refused = await rest.dial()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3")
    assert refused.json()["error"]["details"]["limitType"] == "concurrency"
    await asyncio.sleep(0.6)
    assert (await rest.dial()).status_code == 201


async def test_trouble_is_listed_and_forgotten(rest: Rest) -> None:
    await ask(rest, "faults", status=500, share=0.5, operation="POST")
    listed = (await rest.client.get(f"{rest.root}/simulator/faults")).json()["faults"]
    assert [fault["operation"] for fault in listed] == ["POST"]
    assert (await rest.client.delete(f"{rest.root}/simulator/faults")).status_code == 204
    assert (await rest.client.get(f"{rest.root}/simulator/faults")).json()["faults"] == []


async def test_other_requests_meet_trouble_too(rest: Rest) -> None:
    await ask(rest, "faults", answer="none", operation="GET")
    with pytest.raises(httpx.RemoteProtocolError):
        await rest.client.get(CALLS, params={"status": "live"})
    await ask(rest, "faults", answer="late", delay_s=0.3, operation="GET")
    began_s = time.monotonic()
    assert (await rest.client.get(CALLS, params={"status": "live"})).status_code == 200
    assert time.monotonic() - began_s >= 0.3


async def test_a_crowd_does_what_its_shares_say_in_calls_as_short_as_they_may_be(
    rest: Rest,
) -> None:
    await ask(rest, "account", cps=100, concurrency=100)
    shares = {"answer": 1, "busy": 1, "carrier-no-answer": 1, "reject": 1}
    await ask(rest, "mix", shares=shares, after_s=[0, 0.1], talk_s=[0.3, 0.3])
    numbers = "<".join(f"+9180000{number:05d}" for number in range(40))
    ids = (await rest.dial(to=numbers)).json()["request_uuid"]
    await asyncio.gather(*(rest.over(call_uuid) for call_uuid in ids))
    calls = (await dialled(rest))["calls"]
    seen = Counter(call["cause_code"] for call in calls)
    assert set(seen) == {4000, 3010, 3000, 3020}
    assert max(seen.values()) < 25
    assert max(call["ended_s"] - call["at_s"] for call in calls) < 4


async def test_the_ending_of_a_number_scripts_whoever_has_no_script_of_their_own(
    rest: Rest,
) -> None:
    await rest.person(number="*2", outcome="busy")
    await rest.person(number="*02", outcome="reject")
    await rest.person(number="+918000000112", outcome="invalid")
    await ask(rest, "account", cps=100)
    ids = (await rest.dial(to="+918000000012<+918000000002<+918000000112")).json()["request_uuid"]
    await asyncio.gather(*(rest.over(call_uuid) for call_uuid in ids))
    assert [call["cause_code"] for call in (await dialled(rest))["calls"]] == [3010, 3020, 3050]


async def test_records_are_found_by_number_and_state(rest: Rest) -> None:
    await rest.person(hangup_after_s=0.2)
    await rest.person(number="*22", outcome="busy")
    answered = (await rest.dial()).json()["request_uuid"]
    busy = (await rest.dial(to="+918000000022")).json()["request_uuid"]
    for call_uuid in (answered, busy):
        await rest.over(call_uuid)
        await rest.cdr(call_uuid)

    async def found(path: str = "/search", **query: str) -> list[str]:
        answer = (await rest.client.get(f"{CDR}{path}", params=query)).json()
        return [record["call_uuid"] for record in answer["data"]]

    assert await found() == await found("/recent") == await found("")
    assert set(await found()) == {answered, busy}
    assert await found(to_number=TO) == [answered]
    assert await found(to_number="918000000022", call_status="busy") == [busy]
    assert await found(from_number="+918000000001", per_page="1", page="2") != []
    assert await found(from_number="+918000000009") == []
    assert await found(start_date="2000-01-01", end_date="2000-12-31") == []
    assert set(await found(start_date="2000-01-01", call_direction="outbound")) == {answered, busy}


async def test_lists_of_the_older_shape_say_who_is_called(rest: Rest) -> None:
    await ask(rest, "account", lists_objects=True)
    await rest.person(number=TO, after_s=20)
    call_uuid = (await rest.dial()).json()["request_uuid"]
    queued = (await rest.client.get(CALLS, params={"status": "queued"})).json()["calls"]
    assert (queued[0]["call_state"], queued[0]["to"]) == ("QUEUED", TO.removeprefix("+"))
    await rest.server.wait_for("Ring")
    (live,) = (await rest.client.get(CALLS, params={"status": "live"})).json()["calls"]
    assert (live["call_uuid"], live["call_state"]) == (call_uuid, "RINGING")
    await rest.client.delete(f"{CALLS}{call_uuid}/")
    await rest.over(call_uuid)


async def test_detection_that_is_waited_for_tells_its_verdict_with_the_answer(rest: Rest) -> None:
    await rest.person(number=TO, outcome="machine", hangup_after_s=2.5)
    response = await rest.dial(machine_detection="true", machine_detection_time="2000")
    await rest.over(response.json()["request_uuid"])
    assert rest.server.webhook("StartApp").fields["Machine"] == "true"
