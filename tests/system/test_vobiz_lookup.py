"""Make Call's last moment, and looking calls up, over real HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.vobiz.account import VobizAccount
from shared.vobiz.client import VobizClient, open_vobiz
from shared.vobiz.errors import Verdict, VobizFailure
from tests.support.vobiz_rest import Answer, VobizStandIn

pytestmark = pytest.mark.system

BODY: dict[str, str | int] = {"from": "+918000000001", "to": "+918000000002"}


@asynccontextmanager
async def opened(base: str, *, timeout_s: float = 0.5) -> AsyncIterator[VobizClient]:
    account = VobizAccount("MA_EXAMPLE1", "example-token", base)
    async with open_vobiz(account, timeout_s=timeout_s, connect_timeout_s=0.4) as vobiz:
        yield vobiz


@pytest.fixture
async def vobiz() -> AsyncIterator[VobizStandIn]:
    async with VobizStandIn().serve() as stand_in:
        yield stand_in


class Forbidden(Exception):
    """What a test raises in the last moment."""


async def test_nothing_is_sent_before_the_last_moment_is_over(vobiz: VobizStandIn) -> None:
    seen_before: list[int] = []
    sent_s = 0.0

    async def wait() -> None:
        nonlocal sent_s
        await asyncio.sleep(0.8)  # longer than the request may take: that begins afterwards
        seen_before.append(len(vobiz.seen))
        sent_s = time.monotonic()

    async with opened(vobiz.base) as client:
        assert await client.make_call(BODY, before_sending=wait) == "vobiz-uuid-1"
    assert seen_before == [0, 0]  # before the head, and before the body
    assert len(vobiz.seen) == 1
    assert time.monotonic() - sent_s < 0.5


async def test_what_is_raised_before_the_last_part_comes_to_the_caller_and_is_no_request(
    vobiz: VobizStandIn,
) -> None:
    looks, sent = 0, 0

    async def refuse_the_second() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise Forbidden

    async def after() -> None:
        nonlocal sent
        sent += 1

    async with opened(vobiz.base) as client:
        with pytest.raises(Forbidden):
            await client.make_call(BODY, before_sending=refuse_the_second, after_sending=after)
        await asyncio.sleep(0.1)
        assert (looks, sent, vobiz.seen) == (2, 0, [])
        assert await client.make_call(BODY, before_sending=refuse_the_second, after_sending=after)
    assert (looks, sent, len(vobiz.seen)) == (4, 1, 1)


async def test_what_is_raised_then_comes_to_the_caller_and_nothing_is_sent(
    vobiz: VobizStandIn,
) -> None:
    async def refuse() -> None:
        raise Forbidden

    async with opened(vobiz.base) as client:
        with pytest.raises(Forbidden):
            await client.make_call(BODY, before_sending=refuse)
        await asyncio.sleep(0.1)
        assert vobiz.seen == []
        assert await client.make_call(BODY) == "vobiz-uuid-1"


async def test_a_lost_answer_is_unknown_although_there_was_a_last_moment(
    vobiz: VobizStandIn,
) -> None:
    async def nothing() -> None:
        return

    vobiz.answers.append(Answer(hangs=True))
    async with opened(vobiz.base) as client:
        with pytest.raises(VobizFailure) as caught:
            await client.make_call(BODY, before_sending=nothing)
    assert caught.value.verdict is Verdict.OUTCOME_UNKNOWN


async def test_where_nobody_listens_the_last_moment_never_comes() -> None:
    async def never() -> None:
        raise AssertionError

    async with opened("http://127.0.0.1:9/api/v1") as client:
        with pytest.raises(VobizFailure) as caught:
            await client.make_call(BODY, before_sending=never)
    assert caught.value.verdict is Verdict.UNREACHABLE


async def test_calls_are_looked_up_in_either_form_of_the_path(vobiz: VobizStandIn) -> None:
    vobiz.answers += [
        Answer.of(401, {"error": "path"}),
        Answer.of(200, {"calls": ["u-1"]}),
        Answer.of(200, {"calls": [f"q-{n}" for n in range(20)]}),
        Answer.of(404, {"error": "call not found"}),
        Answer.of(404, {"error": "call not found"}),
        Answer.of(200, {"call_uuid": "u-1", "to": "918000000002"}),
        *[Answer.of(404, {"error": "call not found"})] * 4,
        Answer.of(404, {"error": "CDR not found"}),
        Answer.of(200, {"data": []}),
    ]
    async with opened(vobiz.base) as client:
        up = await client.calls_up()
        assert len(up.call_uuids) == 21
        assert not up.is_complete
        facts = await client.call_up("u-1")
        assert facts is not None
        assert facts.to_digits == "918000000002"
        assert await client.call_up("u-1") is None
        assert await client.call_over("u-1") is None
        assert await client.calls_over(2) == []
    paths = [seen.path.rpartition("MA_EXAMPLE1/")[2] for seen in vobiz.seen]
    assert paths == [
        *["Call/", "Call", "Call/"],
        *["Call/u-1/", "Call/u-1", "Call/u-1/"],
        *["Call/u-1/", "Call/u-1"] * 2,
        *["cdr/u-1", "cdr"],
    ]


async def test_a_look_that_fails_says_so(vobiz: VobizStandIn) -> None:
    async with opened(vobiz.base) as client:
        for look in (client.calls_up, lambda: client.call_up("u"), lambda: client.call_over("u")):
            vobiz.answers = [Answer.of(503)]
            with pytest.raises(VobizFailure):
                await look()
