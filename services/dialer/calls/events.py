"""Server-sent events: what happens to calls and campaigns, as it happens and without a gap.

An event's `id` is its place in the bus's stream, which remembers about an hour: a client that comes
back with Last-Event-ID gets what it has missed.

Source: WHATWG HTML, 9.2.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.dialer.problems import Problem, Refused
from shared.bus.base import Bus, BusUnavailable
from shared.bus.messages import BusEvent, Channel
from shared.protocol.call import CallId, CallRecord
from shared.protocol.errand import (
    EVENT_MACHINE,
    EVENT_TRANSFER_ANSWERED,
    EVENT_TRANSFER_FAILED,
)
from shared.runtime.tasks import TaskOwner, closing

MEDIA_TYPE = "text/event-stream"
TOLD_OF_CALLS = frozenset(
    {"state", "hangup", EVENT_MACHINE, EVENT_TRANSFER_ANSWERED, EVENT_TRANSFER_FAILED}
)
"""Kinds of events of a call that are told; others hold keys pressed, or are our own business."""
_OVER_QUIET_S = 0.5
"""How long it is waited for what was missed of a call that is over."""
_SEND_S = 30.0
"""Who takes nothing for so long is gone."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamBounds:
    """How many may follow at once, when a comment goes out, when a stream ends for good."""

    most: int = 100
    heartbeat_s: float = 15.0
    longest_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is followed: all events of some channels, or those of one call until its end.

    `after` is the place of the last event that is known already.
    """

    channels: frozenset[Channel]
    call_id: CallId | None = None
    after: str | None = None

    def takes(self, event: BusEvent) -> bool:
        """Whether an event is to be told."""
        if event.call_id is None:
            return self.call_id is None
        return self.call_id in (None, event.call_id) and event.kind in TOLD_OF_CALLS


class EventStreams:
    """Opens streams of events.

    Args:
        bus: where events and records are.
        bounds: see there.
        draining: set when the process stops: every stream ends then, and clients go elsewhere.
    """

    def __init__(self, bus: Bus, bounds: StreamBounds, draining: asyncio.Event) -> None:
        self.bus = bus
        self.bounds = bounds
        self.draining = draining
        self._open = 0

    def __len__(self) -> int:
        return self._open

    def follow(self, wanted: Wanted) -> Response:
        """Return an answer that streams; that about a call begins with its record as it stands.

        It turns out to be Refused, 503, where too many follow, or the process is stopping.
        """
        return _EventStream(self, wanted)

    def __enter__(self) -> None:
        if self.draining.is_set():
            raise Refused(Problem.of("draining", "Try another one.", retry_after_s=1))
        if self._open >= self.bounds.most:
            raise Refused(Problem.of("too-many-followers", retry_after_s=5))
        self._open += 1

    def __exit__(self, *_: object) -> None:
        self._open -= 1


class _EventStream(Response):
    """One stream, sent by hand: Starlette's own would cancel the subscription in mid-step."""

    media_type = MEDIA_TYPE

    def __init__(self, streams: EventStreams, wanted: Wanted) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._streams = streams
        self._wanted = wanted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until there are no more, the client is gone, or the process stops."""
        bus, wanted = self._streams.bus, self._wanted
        with self._streams:
            # Before anything is sent, so that an absent bus can still be said.
            async with bus.events.subscribe(*wanted.channels, after=wanted.after) as events:
                await send(
                    {
                        "type": "http.response.start",
                        "status": self.status_code,
                        "headers": self.raw_headers,
                    }
                )
                try:
                    async with closing(events), TaskOwner("events") as tasks:
                        ends = (
                            tasks.start(_until_gone(receive), name="gone"),
                            tasks.start(self._streams.draining.wait(), name="draining"),
                        )
                        async for text in self._texts(tasks, events, ends):
                            await _send(send, text)
                    await _send(send, b"", more=False)
                except BusUnavailable as exc:
                    _log.warning("event_stream_lost", error=str(exc))  # the client comes again
                except (OSError, TimeoutError):
                    _log.debug("event_stream_left")

    async def _texts(
        self,
        tasks: TaskOwner,
        events: AsyncIterator[BusEvent],
        ends: tuple[asyncio.Task[Any], ...],
    ) -> AsyncIterator[bytes]:
        wanted, bounds = self._wanted, self._streams.bounds
        yield b"retry: 1000\n\n"
        is_over = False
        if wanted.call_id is not None:
            record = await self._streams.bus.calls.get(wanted.call_id)
            if record is not None:
                yield _record_text(record)
            is_over = record is None or record.state.is_final
        quiet_s = _OVER_QUIET_S if is_over else bounds.heartbeat_s
        loop = asyncio.get_running_loop()
        until_s = loop.time() + bounds.longest_s
        coming: asyncio.Task[BusEvent | None] | None = None
        while loop.time() < until_s:
            # A task of its own, because a wait that is given up would end the iterator.
            coming = coming or tasks.start(_next(events), name="next")
            left_s = max(0.0, min(quiet_s, until_s - loop.time()))
            await asyncio.wait({coming, *ends}, timeout=left_s, return_when="FIRST_COMPLETED")
            if any(end.done() for end in ends):
                return
            if coming.done():
                event, coming = coming.result(), None
                if event is None:
                    return
                if wanted.takes(event):
                    yield _event_text(event)
                    if wanted.call_id is not None and event.channel is Channel.HANGUPS:
                        return
            elif is_over:
                return
            else:
                yield b": still here\n\n"


async def _next(events: AsyncIterator[BusEvent]) -> BusEvent | None:
    return await anext(events, None)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, text: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(_SEND_S):
        await send({"type": "http.response.body", "body": text, "more_body": more})


def _event_text(event: BusEvent) -> bytes:
    data = {
        "channel": event.channel,
        "kind": event.kind,
        "call_id": event.call_id,
        "data": dict(event.data),
    }
    return f"id: {event.entry_id}\nevent: {event.kind}\ndata: {_line(data)}\n\n".encode()


def _record_text(record: CallRecord) -> bytes:
    return f"event: record\ndata: {_line(record.to_json())}\n\n".encode()


def _line(data: dict[str, Any]) -> str:
    """Write JSON in one line: line ends within texts are escaped."""
    return json.dumps(data, separators=(",", ":"))
