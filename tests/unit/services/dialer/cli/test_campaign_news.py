"""When `campaign watch` looks: at each event of its campaign, and by the clock where none come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from services.dialer.cli.campaign_news import CampaignNews, campaign_news
from services.dialer.cli.client import DialerClient

MINE, OTHER = "c-000000000001", "c-000000000002"


class Stream(httpx.AsyncByteStream):
    """Lines as they are put in; None ends it."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[str | None] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield them."""
        while (line := await self.lines.get()) is not None:
            yield line.encode()

    def tell(self, campaign_id: str, kind: str = "progress") -> None:
        """An event of a campaign."""
        data = f'{{"channel":"campaigns","kind":"{kind}","data":{{"campaign":"{campaign_id}"}}}}'
        self.lines.put_nowait(f"id: 1-0\nevent: {kind}\ndata: {data}\n\n")


class Dialer:
    """Answers GET /v1/events as told: with streams in turn, then with a status."""

    def __init__(self, *streams: Stream, status: int = 403) -> None:
        self.streams = list(streams)
        self.status = status
        self.last_ids: list[str | None] = []

    async def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/events"
        self.last_ids.append(request.headers.get("last-event-id"))
        if not self.streams:
            return httpx.Response(self.status, json={"title": "no"})
        return httpx.Response(200, stream=self.streams.pop(0))


@asynccontextmanager
async def watching(dialer: Dialer, *, every_s: float) -> AsyncIterator[CampaignNews]:
    """Watch the first campaign."""
    transport = httpx.MockTransport(dialer.answer)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://dialer") as http,
        campaign_news(DialerClient(http), MINE, every_s=every_s) as news,
    ):
        yield news


async def is_soon(waiting: asyncio.Task[None], within_s: float = 0.2) -> bool:
    done, _ = await asyncio.wait({waiting}, timeout=within_s)
    return bool(done)


async def test_an_event_of_the_campaign_wakes_at_once_and_others_do_not() -> None:
    stream = Stream()
    async with watching(Dialer(stream), every_s=0.05) as news:
        stream.lines.put_nowait(": still here\n\n")
        await asyncio.sleep(0.1)  # now it is known that events come
        waiting = asyncio.ensure_future(news.wait())
        stream.tell(OTHER)
        assert not await is_soon(waiting)
        stream.tell(MINE)
        assert await is_soon(waiting)


@pytest.mark.parametrize("status", [403, 404, 503])
async def test_where_no_events_come_it_is_looked_by_the_clock(status: int) -> None:
    dialer = Dialer(status=status)
    async with watching(dialer, every_s=0.05) as news:
        await asyncio.sleep(0.02)
        await news.wait()
        began_s = time.monotonic()
        for _ in range(3):
            await news.wait()
        assert 0.1 < time.monotonic() - began_s < 0.4
    assert dialer.last_ids == [None]


async def test_after_a_break_it_is_looked_and_followed_from_the_last_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.dialer.cli.campaign_news._AGAIN_S", 0.05)
    first, second = Stream(), Stream()
    dialer = Dialer(first, second)
    async with watching(dialer, every_s=5.0) as news:
        first.tell(MINE)
        await asyncio.wait_for(news.wait(), 0.5)
        first.lines.put_nowait(None)
        await asyncio.wait_for(news.wait(), 0.5)
        await asyncio.sleep(0.1)
        second.tell(MINE, "finished")
        await asyncio.wait_for(news.wait(), 0.5)
    assert dialer.last_ids == [None, "1-0"]
