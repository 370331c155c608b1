"""Ended calls on their way to a real receiver on loopback that fails in every way."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry

from services.agent.after_call.deliver import Deliverer, DeliveryBounds
from services.agent.after_call.post_call import PostCall, sign_body
from shared.bus.base import Outbox
from shared.bus.memory import MemoryBus
from shared.bus.memory_outbox import MemoryOutbox
from shared.bus.messages import Added, Claim, DeadLetter, OutboxCounts, OutboxItem, Retried
from shared.bus.redis import open_bus
from shared.metrics.catalogue import AfterCallMetrics
from shared.runtime.clock import SystemClock
from tests.support.fragile_bus import FragileBus
from tests.support.receiver import Answer, Receiver, running_receiver

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
BODY = '{"event":"call.ended","text":"नमस्ते"}'
QUICK = DeliveryBounds(timeout_s=0.3, lease_s=5.0, poll_s=0.02)


@dataclass
class Impatient:
    """An outbox that notes how long a retry should wait, and does not wait."""

    box: Outbox
    waits_s: list[float] = field(default_factory=list)
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    async def add(self, item: OutboxItem) -> Added:
        return await self.box.add(item)

    async def claim(self, worker: str, *, lease_s: float, limit: int) -> list[Claim]:
        return await self.box.claim(worker, lease_s=lease_s, limit=limit)

    async def done(self, item_id: str) -> bool:
        is_done = await self.box.done(item_id)
        self.settled.set()
        return is_done

    async def retry(self, claim: Claim, *, after_s: float) -> Retried:
        self.waits_s.append(after_s)
        outcome = await self.box.retry(claim, after_s=0.0)
        if outcome is Retried.DEAD:
            self.settled.set()
        return outcome

    async def bury(self, claim: Claim, *, reason: str) -> bool:
        is_buried = await self.box.bury(claim, reason=reason)
        self.settled.set()
        return is_buried

    async def dead(self, limit: int) -> list[DeadLetter]:
        return await self.box.dead(limit)

    async def counts(self) -> OutboxCounts:
        return await self.box.counts()


class Post:
    """A deliverer at work on an outbox, and what became of it."""

    def __init__(self, box: Outbox, *, bounds: DeliveryBounds = QUICK) -> None:
        self.box = Impatient(box)
        self.registry = CollectorRegistry()
        self.deliverer = Deliverer(
            self.box,
            worker="w",
            secret_of={"HOOK_SECRET": "s3cret"}.get,
            metrics=AfterCallMetrics(self.registry),
            clock=SystemClock(),
            chance=random.Random(1),
            bounds=bounds,
        )

    async def settled(self) -> None:
        async with asyncio.timeout(5):
            await self.box.settled.wait()

    def counted(self, outcome: str) -> float:
        labels = {"outcome": outcome}
        return self.registry.get_sample_value("voice_agent_post_call_total", labels) or 0.0

    async def dead(self) -> Sequence[tuple[str, str]]:
        return [(letter.item_id, letter.reason) for letter in await self.box.dead(9)]


@asynccontextmanager
async def posting(
    box: Outbox | None = None, *, bounds: DeliveryBounds = QUICK
) -> AsyncIterator[Post]:
    post = Post(box or MemoryBus().outbox, bounds=bounds)
    async with post.deliverer:
        yield post


def item(
    url: str,
    name: str = "call-1",
    *,
    secret: str | None = "HOOK_SECRET",  # noqa: S107 - a variable's name
    allow_private: bool = True,
    max_attempts: int = 40,
) -> OutboxItem:
    payload = PostCall(url, BODY, secret, allow_private).to_json()
    return OutboxItem(name, payload, max_attempts=max_attempts)


def check_signature(receiver: Receiver) -> None:
    for request in receiver.got:
        given = request.headers["parley-signature"]
        at_s = int(given.removeprefix("t=").partition(",")[0])
        assert given == sign_body(request.body, "s3cret", at_s)


async def test_an_ended_call_is_posted_once_signed_and_named() -> None:
    async with running_receiver() as receiver, posting() as post:
        await post.deliverer.hand_over(item(receiver.url))
        await post.settled()
        await post.deliverer.hand_over(item(receiver.url))
        await asyncio.sleep(0.1)
        (request,) = receiver.got
        assert post.counted("delivered") == 1
        assert post.registry.get_sample_value("voice_agent_post_call_seconds_count") == 1
        assert (await post.box.counts()).pending == 0
    check_signature(receiver)
    assert request.target == "/hook?key=1"
    assert request.body == BODY.encode()
    assert json.loads(request.body)["event"] == request.headers["parley-event"] == "call.ended"
    assert request.headers["idempotency-key"] == "call-1"
    assert request.headers["parley-delivery-attempt"] == "1"
    assert request.headers["user-agent"] == "parley-agent"
    assert request.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("bad", "least_wait_s"),
    [
        ([Answer(500)], 2.5),
        ([Answer(429, {"Retry-After": "77"})], 77.0),
        ([Answer(503, {"Retry-After": "nonsense"}), Answer(408), Answer(425)], 2.5),
        ([Answer(302, {"Location": "http://127.0.0.1:1/elsewhere"})], 2.5),
        ([Answer(200, delay_s=1.0)], 2.5),
        ([Answer(0)], 2.5),
    ],
    ids=["500", "429 with Retry-After", "three in a row", "a redirect", "too slow", "cut off"],
)
async def test_a_receiver_in_trouble_is_asked_again_with_the_same_key(
    bad: list[Answer], least_wait_s: float
) -> None:
    async with running_receiver(*bad) as receiver, posting() as post:
        await post.deliverer.hand_over(item(receiver.url))
        await post.settled()
        await receiver.wait_for(len(bad) + 1)
    assert len(post.box.waits_s) == len(bad) == post.counted("retried")
    assert post.counted("delivered") == 1
    assert all(least_wait_s <= wait_s <= max(20, least_wait_s) for wait_s in post.box.waits_s)
    assert {request.headers["idempotency-key"] for request in receiver.got} == {"call-1"}
    assert [request.headers["parley-delivery-attempt"] for request in receiver.got] == [
        str(number + 1) for number in range(len(bad) + 1)
    ]
    assert len({request.body for request in receiver.got}) == 1
    check_signature(receiver)


@pytest.mark.parametrize("status", [410, 400, 401, 404])
async def test_a_refusal_for_good_is_a_dead_letter_at_once(status: int) -> None:
    async with running_receiver(Answer(status)) as receiver, posting() as post:
        await post.deliverer.hand_over(item(receiver.url))
        await post.settled()
        assert await post.dead() == [("call-1", f"status_{status}")]
    assert len(receiver.got) == post.counted("dead") == 1


async def test_a_receiver_that_never_works_is_given_up_after_the_last_try() -> None:
    async with running_receiver(*[Answer(500)] * 9) as receiver, posting() as post:
        await post.deliverer.hand_over(item(receiver.url, max_attempts=3))
        await post.settled()
        assert await post.dead() == [("call-1", "tries")]
    assert len(receiver.got) == 3
    assert (post.counted("retried"), post.counted("dead")) == (2, 1)


@pytest.mark.parametrize(
    "answer", [Answer(200, body_bytes=3_000_000), Answer(200, body_bytes=9, is_cut=True)]
)
async def test_a_long_or_broken_answers_body_does_not_matter(answer: Answer) -> None:
    async with running_receiver(answer) as receiver, posting() as post:
        await post.deliverer.hand_over(item(receiver.url))
        await post.settled()
    assert post.counted("delivered") == len(receiver.got) == 1


async def test_private_addresses_are_refused_unless_allowed() -> None:
    async with running_receiver() as receiver, posting() as post:
        await post.deliverer.hand_over(item(receiver.url, allow_private=False))
        await post.settled()
        assert await post.dead() == [("call-1", "private_address")]
    assert receiver.got == []


async def test_a_closed_port_is_tried_again_and_a_bad_url_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with posting() as post:
        await post.deliverer.hand_over(item(f"http://127.0.0.1:{port}/", max_attempts=2))
        await post.settled()
        assert await post.dead() == [("call-1", "tries")]
        post.box.settled.clear()
        await post.deliverer.hand_over(item("ftp://hooks.example/", "call-2"))
        await post.settled()
        post.box.settled.clear()
        await post.deliverer.hand_over(OutboxItem("call-3", "no payload"))
        await post.settled()
        assert (await post.dead())[:2] == [("call-3", "unreadable"), ("call-2", "bad_request")]


async def test_no_secret_means_unsigned_and_a_missing_one_means_later() -> None:
    async with running_receiver() as receiver, posting() as post:
        await post.deliverer.hand_over(item(receiver.url, secret=None))
        await post.settled()
        assert "parley-signature" not in receiver.got[0].headers
        post.box.settled.clear()
        await post.deliverer.hand_over(item(receiver.url, "2", secret="UNSET", max_attempts=1))
        await post.settled()
    assert len(receiver.got) == 1


async def test_nothing_secret_or_personal_is_logged_or_kept() -> None:
    answers = [Answer(500), Answer(429), Answer(0)]
    with structlog.testing.capture_logs() as logs:
        async with running_receiver(*answers) as receiver, posting() as post:
            sent = item(receiver.url)
            await post.deliverer.hand_over(sent)
            await post.settled()
    told = repr(logs)
    assert "post_call_delivered" in told
    for secret in ("s3cret", "key=1", "नमस्ते", "v1="):
        assert secret not in told
    assert "s3cret" not in sent.payload


async def test_a_slow_receiver_does_not_hold_up_the_others() -> None:
    bounds = DeliveryBounds(timeout_s=3.0, poll_s=0.02, at_once=2)
    async with (
        running_receiver(Answer(200, delay_s=1.0)) as slow,
        running_receiver() as quick,
        posting(bounds=bounds) as post,
    ):
        await post.deliverer.hand_over(item(slow.url, "slow"))
        await slow.wait_for(1)
        for number in range(6):
            await post.deliverer.hand_over(item(quick.url, f"{number}"))
        await quick.wait_for(6)
        assert post.counted("delivered") <= 6


async def test_calls_that_end_while_the_outbox_is_away_are_put_in_later() -> None:
    bus = FragileBus()
    bounds = DeliveryBounds(timeout_s=0.3, poll_s=0.02, waiting=2)
    async with running_receiver() as receiver, posting(bus.outbox, bounds=bounds) as post:
        bus.is_away = True
        with structlog.testing.capture_logs() as logs:
            for name in ("lost", "a", "b"):
                await post.deliverer.hand_over(item(receiver.url, name))
            await asyncio.sleep(0.1)
        assert [log["event"] for log in logs].count("outbox_away") == 1
        bus.is_away = False
        await receiver.wait_for(2)
    assert {request.headers["idempotency-key"] for request in receiver.got} == {"a", "b"}
    assert post.registry.get_sample_value("voice_agent_post_call_dropped_total") == 1


async def test_a_full_outbox_drops_what_ends_and_counts_it() -> None:
    box = MemoryOutbox(SystemClock(), max_pending=1)
    answers = [Answer(200, delay_s=5)]
    bounds = DeliveryBounds(poll_s=0.02)
    async with running_receiver(*answers) as receiver, posting(box, bounds=bounds) as post:
        await post.deliverer.hand_over(item(receiver.url, "1"))
        await receiver.wait_for(1)
        await post.deliverer.hand_over(item(receiver.url, "2"))
        assert post.registry.get_sample_value("voice_agent_post_call_dropped_total") == 1
        await asyncio.sleep(0.05)
        assert post.registry.get_sample_value("voice_agent_post_call_pending") == 1


async def test_an_outbox_that_is_away_after_the_delivery_brings_the_call_again() -> None:
    """At least once: the receiver tells by the key that it has the call already."""
    bus = FragileBus()
    bounds = DeliveryBounds(timeout_s=2.0, lease_s=0.3, poll_s=0.02)
    async with (
        running_receiver(Answer(200, delay_s=0.1)) as receiver,
        posting(bus.outbox, bounds=bounds) as post,
    ):
        await post.deliverer.hand_over(item(receiver.url))
        await receiver.wait_for(1)
        bus.is_away = True
        await asyncio.sleep(0.2)
        bus.is_away = False
        await post.settled()
        assert (await post.box.counts()).pending == 0
    assert [request.headers["idempotency-key"] for request in receiver.got] == ["call-1"] * 2


async def test_of_many_workers_each_call_is_delivered_by_one(redis_url: str) -> None:
    async with open_bus(redis_url) as bus, running_receiver() as receiver:
        async with posting(bus.outbox) as one, posting(bus.outbox) as two, posting(bus.outbox):
            for number in range(30):
                await (one, two)[number % 2].deliverer.hand_over(item(receiver.url, f"{number}"))
            await receiver.wait_for(30)
            await asyncio.sleep(0.1)
        keys = [request.headers["idempotency-key"] for request in receiver.got]
        assert sorted(keys, key=int) == [f"{number}" for number in range(30)]
        assert (await bus.outbox.counts()).pending == 0


async def test_a_worker_killed_before_it_was_done_leaves_the_call_to_another(
    redis_url: str,
) -> None:
    async with open_bus(redis_url) as bus, running_receiver(Answer(200, delay_s=30)) as receiver:
        await bus.outbox.add(item(receiver.url))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.delivering_process", redis_url, "0.4"),
            cwd=ROOT,
        )
        await receiver.wait_for(1, limit_s=15)
        process.kill()
        await process.wait()
        async with posting(bus.outbox) as post:
            await post.settled()
    assert [request.headers["parley-delivery-attempt"] for request in receiver.got] == ["1", "2"]
    assert {request.headers["idempotency-key"] for request in receiver.got} == {"call-1"}
    assert post.counted("delivered") == 1
