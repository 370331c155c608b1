"""Server-sent events: bounded in number, each with a life of its own.

Source: WHATWG HTML, 9.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.responses import StreamingResponse

from services.gateway.console.problem import Problem
from shared.bus.base import BusUnavailable

EventStream = StreamingResponse
_QUIET_S = 15.0
"""A comment goes out after so long without an event, so that nothing between gives up."""
_LONGEST_S = 3600.0
"""Then the page asks again, and shows that it is still let in."""


class Watchers:
    """How many streams may be open at once.

    Args:
        most: so many.
        words: told to whoever comes when that many are open.
    """

    def __init__(self, most: int, words: str = "Too many pages of the console are open.") -> None:
        self._most = most
        self._words = words
        self._open = 0

    def check(self) -> None:
        """Raise Problem where no more may be opened."""
        if self._open >= self._most:
            raise Problem(503, self._words)

    def __enter__(self) -> None:
        self._open += 1

    def __exit__(self, *_: object) -> None:
        self._open -= 1


def event_stream(watchers: Watchers, texts: AsyncGenerator[str, None]) -> EventStream:
    """Answer with a stream of texts, each one line of JSON, and `over` when there are no more.

    Raises:
        Problem: too many are open.
    """
    watchers.check()
    return StreamingResponse(
        _events(watchers, texts),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _events(watchers: Watchers, texts: AsyncGenerator[str, None]) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    until_s = loop.time() + _LONGEST_S
    following: asyncio.Future[str] | None = None
    with watchers:
        try:
            yield b"retry: 1000\n\n"
            while loop.time() < until_s:
                following = following or asyncio.ensure_future(anext(texts))
                await asyncio.wait({following}, timeout=_QUIET_S)
                if not following.done():
                    yield b": still here\n\n"
                    continue
                text, following = following.result(), None
                yield b"data: " + text.encode() + b"\n\n"
        except StopAsyncIteration:
            yield b"event: over\ndata: {}\n\n"
        except BusUnavailable:
            return  # the page asks again
        finally:
            if following is not None:
                following.cancel()
                await asyncio.wait({following})
            await texts.aclose()
