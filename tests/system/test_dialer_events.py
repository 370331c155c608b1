"""Server-sent events of the dialer, over real sockets and a real Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from services.dialer.calls import events as event_streams
from services.dialer.calls.events import EventStreams, StreamBounds
from shared.bus.messages import BusEvent, Channel
from shared.protocol.call import CallChange, CallId, CallState, Direction
from shared.runtime.http import serve_app
from tests.support.dialer_api import ROOT_KEY, DialerApi, open_dialer_api
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.system

CALL = CallId("call-1")
_WAIT_S = 5.0


@dataclass
class Heard:
    """One event as a browser would see it."""

    id: str = ""
    event: str = "message"
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class Served:
    """A dialer behind a port."""

    desk: DialerApi
    base: str

    @asynccontextmanager
    async def follow(
        self, path: str, *, key: str = ROOT_KEY, after: str | None = None
    ) -> AsyncIterator[AsyncIterator[Heard | str]]:
        headers = {"Authorization": f"Bearer {key}"}
        if after is not None:
            headers["Last-Event-ID"] = after
        async with (
            httpx.AsyncClient(base_url=self.base, trust_env=False) as client,
            client.stream("GET", path, headers=headers, timeout=_WAIT_S) as answer,
        ):
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield heard(answer)

    async def status(self, path: str, **headers: str) -> tuple[int, str]:
        async with httpx.AsyncClient(base_url=self.base, trust_env=False) as client:
            given = {"Authorization": f"Bearer {ROOT_KEY}", **headers}
            answer = await client.get(path, headers=given)
            return answer.status_code, answer.json()["type"].rpartition(":")[2]

    async def change(self, state: CallState, call_id: CallId = CALL) -> None:
        fields = {"direction": Direction.OUTBOUND}
        await self.desk.bus.calls.apply(CallChange(call_id, state, fields))


async def heard(answer: httpx.Response) -> AsyncIterator[Heard | str]:
    """Yield events, and comments as their text."""
    now = Heard()
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if line.startswith(":"):
            yield line[1:].strip()
        elif name == "data":
            now.data = json.loads(value)
        elif name in {"id", "event"}:
            setattr(now, name, value)
        elif not line and now.data:
            yield now
            now = Heard()


async def take(stream: AsyncIterator[Heard | str], number: int) -> list[Heard | str]:
    async with asyncio.timeout(_WAIT_S):
        return [await anext(stream) for _ in range(number)]


async def rest(stream: AsyncIterator[Heard | str]) -> list[Heard | str]:
    async with asyncio.timeout(_WAIT_S):
        return [one async for one in stream]


def named(events: list[Heard | str]) -> list[str]:
    return [
        one if isinstance(one, str) else f"{one.event} {_state_of(one)}".strip() for one in events
    ]


def _state_of(one: Heard) -> str:
    return str(one.data.get("state") or one.data.get("data", {}).get("state", ""))


@pytest.fixture
async def served(redis_server: RedisServer) -> AsyncIterator[Served]:
    async with (
        open_dialer_api(redis_server.url, dialer_followers_max=3) as desk,
        serve_app(desk.app, host="127.0.0.1", port=0) as port,
    ):
        yield Served(desk, f"http://127.0.0.1:{port}")


async def test_a_call_is_told_from_its_record_to_its_end(served: Served) -> None:
    await served.change(CallState.QUEUED)
    async with served.follow(f"/v1/calls/{CALL}/events") as stream:
        assert named(await take(stream, 1)) == ["record queued"]
        await served.change(CallState.RINGING, CallId("another"))
        await served.change(CallState.RINGING)
        await served.change(CallState.IN_PROGRESS)
        keys = BusEvent(Channel.CALLS, "gathered", CALL, {"digits": "4711"})
        await served.desk.bus.events.publish(keys)
        await served.change(CallState.COMPLETED)
        told = await rest(stream)
    expected = ["state ringing", "state in-progress", "state completed", "hangup completed"]
    assert named(told) == expected


async def test_who_comes_back_gets_what_was_missed_and_nothing_twice(served: Served) -> None:
    await served.change(CallState.QUEUED)
    async with served.follow(f"/v1/calls/{CALL}/events") as stream:
        await served.change(CallState.RINGING)
        told = await take(stream, 2)
    last = told[-1]
    assert isinstance(last, Heard)
    await served.change(CallState.IN_PROGRESS)
    await served.change(CallState.NO_ANSWER)
    async with served.follow(f"/v1/calls/{CALL}/events", after=last.id) as stream:
        missed = await rest(stream)
    expected = ["record no-answer", "state in-progress", "state no-answer", "hangup no-answer"]
    assert named(missed) == expected


async def test_the_stream_of_a_call_that_is_over_ends_at_once(served: Served) -> None:
    await served.change(CallState.COMPLETED)
    async with served.follow(f"/v1/calls/{CALL}/events") as stream:
        assert named(await rest(stream)) == ["record completed"]


async def test_all_events_come_and_campaigns_only_to_who_may_read_them(served: Served) -> None:
    key = await served.desk.make_key("calls:read")
    async with (
        served.follow("/v1/events") as everything,
        served.follow("/v1/events", key=key) as of_calls,
    ):
        await served.change(CallState.QUEUED)
        started = BusEvent(Channel.CAMPAIGNS, "started", None, {"campaign": "c-1"})
        await served.desk.bus.events.publish(started)
        await served.change(CallState.BUSY, CallId("call-2"))
        told, less = await take(everything, 4), await take(of_calls, 3)
    assert named(told) == ["state queued", "started", "state busy", "hangup busy"]
    assert named(less) == ["state queued", "state busy", "hangup busy"]
    ids = [one.id for one in told if isinstance(one, Heard)]
    assert len(set(ids)) == 4


async def test_the_number_of_followers_is_bounded_and_who_leaves_makes_room(
    served: Served,
) -> None:
    async with served.follow("/v1/events"), served.follow("/v1/events"):
        async with served.follow("/v1/events"):
            assert await served.status("/v1/events") == (503, "too-many-followers")
        async with asyncio.timeout(_WAIT_S):
            while True:
                try:
                    async with served.follow("/v1/events"):
                        break
                except AssertionError:
                    await asyncio.sleep(0.02)


async def test_a_stopping_dialer_ends_every_stream(served: Served) -> None:
    async with served.follow("/v1/events") as stream:
        served.desk.draining.set()
        assert await rest(stream) == []
        assert await served.status("/v1/events") == (503, "draining")


async def test_a_place_that_is_none_and_a_call_that_is_none_are_refused(served: Served) -> None:
    answer = await served.status("/v1/events", **{"Last-Event-ID": "yesterday"})
    assert answer == (422, "invalid-request")
    assert await served.status("/v1/calls/nobody/events") == (404, "unknown-call")


async def test_without_redis_a_stream_is_refused_and_not_left_empty(
    redis_server: RedisServer,
) -> None:
    async with (
        open_dialer_api(redis_server.url, timeout_s=0.3) as desk,
        serve_app(desk.app, host="127.0.0.1", port=0) as port,
    ):
        redis_server.stop()
        served = Served(desk, f"http://127.0.0.1:{port}")
        assert await served.status("/v1/events") == (503, "records-unavailable")


async def test_comments_keep_a_quiet_stream_open(
    redis_server: RedisServer,
) -> None:
    async with open_dialer_api(redis_server.url) as desk:
        bounds = StreamBounds(heartbeat_s=0.05, longest_s=0.5)
        streams = EventStreams(desk.bus, bounds, desk.draining)
        wanted = event_streams.Wanted(frozenset({Channel.CALLS}))

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await streams.follow(wanted)(scope, receive, send)

        async with serve_app(app, host="127.0.0.1", port=0) as port:
            served = Served(desk, f"http://127.0.0.1:{port}")
            async with served.follow("/") as stream:
                comments = await rest(stream)
        assert set(comments) == {"still here"}
        assert 3 <= len(comments) <= 11
        assert len(streams) == 0
