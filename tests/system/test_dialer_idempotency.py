"""The same order twice is one call, whatever happens in between; on a real Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.dialer.calls.dialer import Dialer
from services.dialer.calls.idempotency import Begun, Idempotency, fingerprint_of
from services.dialer.calls.order import CallOrder
from services.dialer.calls.permit import NoPermit
from services.dialer.desk.door import ROOT
from services.dialer.errors import AtLimit, DoNotCall
from shared.protocol.call import CallChange, CallId, CallState
from shared.runtime.tasks import TaskOwner
from shared.vobiz.errors import Verdict, VobizFailure
from tests.support.dialer_api import ORDER, DialerApi, new_prefix, open_dialer_api

pytestmark = pytest.mark.system

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


class Turns(NoPermit):
    """A Permit that refuses as told."""

    def __init__(self) -> None:
        self.refusals: list[Exception] = []

    async def obtain(self, call_id: CallId) -> None:
        """Refuse with the next refusal, if there is one."""
        if self.refusals:
            raise self.refusals.pop(0)


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
async def desk(kept_redis: str, turns: Turns) -> AsyncIterator[DialerApi]:
    async with open_dialer_api(kept_redis, prefix=new_prefix(), permit=turns) as made:
        yield made


async def order(desk: DialerApi, headers: dict[str, str] = KEY, **changes: Any) -> httpx.Response:
    return await desk.api.post("/v1/calls", json={**ORDER, **changes}, headers=headers)


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


async def records(desk: DialerApi) -> int:
    return len(await desk.bus.calls.recent(100))


async def test_the_same_order_gets_the_same_answer_and_one_call(desk: DialerApi) -> None:
    first = await order(desk)
    await desk.bus.calls.apply(CallChange(CallId(first.json()["call_id"]), CallState.RINGING))
    text = json.dumps(dict(reversed(ORDER.items())), indent=2)
    headers = {**KEY, "Content-Type": "application/json"}
    second = await desk.api.post("/v1/calls", content=text, headers=headers)
    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert second.headers["location"] == first.headers["location"]
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    quoted = await order(desk, {"Idempotency-Key": f'"{KEY["Idempotency-Key"]}"'})
    assert quoted.json() == first.json()
    assert (len(desk.vobiz.made), await records(desk)) == (1, 1)


async def test_a_key_is_remembered_for_a_day(desk: DialerApi) -> None:
    await order(desk)
    (name,) = [
        n async for n in desk.bus.store.redis.scan_iter(f"{desk.bus.store.prefix}:dial:idem:*")
    ]
    assert 86_390 < await desk.bus.store.redis.ttl(name) <= 86_400
    assert KEY["Idempotency-Key"] not in name


async def test_another_order_under_the_same_key_is_refused(desk: DialerApi) -> None:
    await order(desk)
    assert problem(await order(desk, agent="desk")) == (409, "key-used-otherwise")
    assert len(desk.vobiz.made) == 1


async def test_without_a_key_or_with_another_it_is_another_call(desk: DialerApi) -> None:
    for headers in (KEY, {}, {}, {"Idempotency-Key": "b"}):
        assert (await order(desk, headers)).status_code == 201
    assert len(desk.vobiz.made) == 4


async def test_keys_of_different_principals_have_nothing_to_do_with_each_other(
    desk: DialerApi,
) -> None:
    first = await order(desk)
    async with desk.client(await desk.make_key("calls:write")) as other:
        second = await other.post("/v1/calls", json=ORDER, headers=KEY)
    assert second.status_code == 201
    assert second.json()["call_id"] != first.json()["call_id"]


@pytest.mark.parametrize("key", ["x" * 201, "a b", '"a', 'a"', '""', "\t"])
async def test_a_key_that_is_none_is_refused(desk: DialerApi, key: str) -> None:
    assert problem(await order(desk, {"Idempotency-Key": key})) == (422, "invalid-request")
    assert desk.vobiz.made == []


async def test_while_the_first_is_under_way_the_second_is_told_so(desk: DialerApi) -> None:
    desk.vobiz.holds = asyncio.Event()
    async with TaskOwner("test") as tasks:
        first = tasks.start(order(desk), name="first")
        await desk.vobiz.asked.wait()
        second = await order(desk)
        assert problem(second) == (409, "key-in-use")
        assert second.headers["retry-after"] == "1"
        desk.vobiz.holds.set()
        answer = await first
    assert (await order(desk)).json() == answer.json()
    assert len(desk.vobiz.made) == 1


async def test_of_many_at_once_one_dials(desk: DialerApi, kept_redis: str) -> None:
    async with open_dialer_api(kept_redis, prefix=desk.bus.store.prefix) as other:
        answers = await asyncio.gather(*(order(desk if n % 2 else other) for n in range(24)))
        assert len(desk.vobiz.made) + len(other.vobiz.made) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    placed = {answer.json()["call_id"] for answer in answers if answer.status_code == 201}
    assert len(placed) == 1
    assert await records(desk) == 1


@pytest.mark.parametrize(
    "verdict", [Verdict.NO_BALANCE, Verdict.RATE_LIMITED, Verdict.OUTCOME_UNKNOWN]
)
async def test_what_vobiz_said_is_said_again_without_asking_it(
    desk: DialerApi, verdict: Verdict
) -> None:
    desk.vobiz.failure = VobizFailure(verdict, status=400, retry_after_s=7)
    first = await order(desk)
    assert first.status_code >= 400
    desk.vobiz.failure = None
    second = await order(desk)
    assert problem(second) == problem(first)
    assert second.json() == first.json()
    assert second.headers["retry-after"] == "7"
    assert len(desk.vobiz.made) == 1


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [(AtLimit("rate", 2.4), (429, "at-limit")), (DoNotCall(), (409, "do-not-call"))],
)
async def test_what_was_refused_before_dialling_may_be_tried_again(
    desk: DialerApi, turns: Turns, refusal: Exception, expected: tuple[int, str]
) -> None:
    turns.refusals = [refusal]
    first = await order(desk)
    assert problem(first) == expected
    assert await records(desk) == 0
    if isinstance(refusal, AtLimit):
        assert (first.headers["retry-after"], first.json()["why"]) == ("3", "rate")
    assert (await order(desk)).status_code == 201
    assert len(desk.vobiz.made) == 1


# --- a dialer that dies -------------------------------------------------------------------------


class Died(Exception):
    """Stands for SIGKILL at one instruction: nothing after it happens."""


async def killed_at(desk: DialerApi, place: str) -> CallId:
    """Carry out an order until one instruction, and die there; return the id of its call."""
    idempotency = Idempotency(desk.bus.store, lease_s=60)
    fingerprint = fingerprint_of("POST", "/v1/calls", ORDER)
    key = KEY["Idempotency-Key"]
    begun = await idempotency.begin(ROOT, key, fingerprint, CallId("chosen-1"))
    assert isinstance(begun, Begun)
    if place == "before the record":
        return begun.call_id

    async def die(*_: Any, **__: Any) -> Any:
        raise Died

    if place == "before make call":
        desk.dialer._control = _DiesFirst()  # type: ignore[assignment] # as a killed process would
    else:
        desk.dialer._note = die  # type: ignore[method-assign] # likewise
    with pytest.raises(Died):
        await desk.dialer.place(_ORDER, call_id=begun.call_id)
    return begun.call_id


async def lapse(desk: DialerApi) -> None:
    """Let the time pass that an order may take."""
    redis = desk.bus.store.redis
    (name,) = [name async for name in redis.scan_iter(f"{desk.bus.store.prefix}:dial:idem:*")]
    known = json.loads(await redis.get(name) or "")
    await redis.set(name, json.dumps({**known, "until_ms": 0}), keepttl=True)


class _DiesFirst:
    async def make_call(self, body: Any, *, before_sending: Any, after_sending: Any) -> str | None:
        await before_sending()
        raise Died


_ORDER = CallOrder(ORDER["to"], ORDER["from"])


@pytest.mark.parametrize(
    ("place", "dialled"),
    [("before the record", 1), ("before make call", 0), ("before the answer is noted", 1)],
)
async def test_a_dialer_killed_in_between_never_makes_two_calls_of_one_key(
    kept_redis: str, desk: DialerApi, place: str, dialled: int
) -> None:
    call_id = await killed_at(desk, place)
    async with open_dialer_api(kept_redis, prefix=desk.bus.store.prefix) as other:
        assert problem(await order(other)) == (409, "key-in-use")
        await lapse(desk)
        second = await order(other)
        assert second.status_code == 201
        assert (second.json()["call_id"], second.json()["state"]) == (call_id, "queued")
        assert (await order(other)).json() == second.json()
        assert len(desk.vobiz.made) + len(other.vobiz.made) == dialled
    assert await records(desk) == 1


async def test_who_was_only_slow_and_wakes_up_does_not_dial_again(desk: DialerApi) -> None:
    """A process that hung between the key and the record must not dial what another has since."""
    call_id = await killed_at(desk, "before the record")
    await lapse(desk)
    assert (await order(desk)).json()["call_id"] == call_id
    slow = await desk.dialer.place(_ORDER, call_id=call_id)
    assert slow.call_id == call_id
    assert len(desk.vobiz.made) == 1


async def test_of_many_dialers_that_place_one_id_one_dials(
    desk: DialerApi, kept_redis: str
) -> None:
    async with open_dialer_api(kept_redis, prefix=desk.bus.store.prefix) as other:
        dialers: list[Dialer] = [desk.dialer, other.dialer] * 10
        placed = await asyncio.gather(
            *(dialer.place(_ORDER, call_id=CallId("one")) for dialer in dialers)
        )
        assert {record.call_id for record in placed} == {"one"}
        assert len(desk.vobiz.made) + len(other.vobiz.made) == 1
