"""The media socket of one `<Stream>`: connects, writes from one place, reads, reconnects, ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from random import Random
from typing import Any

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from services.simulator.calls.forms import CallFacts, written_number
from services.simulator.calls.knobs import HangupKnob, Knobs, ReconnectKnob
from services.simulator.calls.timeline import Moment, Timeline
from services.simulator.calls.verbs import StreamPlan
from services.simulator.calls.wheel import SimulatedClock
from services.simulator.line.bursts import Bursts
from services.simulator.line.garbage import garbage
from services.simulator.line.line import Line, LineStep
from services.simulator.line.outbox import Outbox
from services.simulator.line.playback import PlaybackQueue
from services.simulator.line.stream_core import (
    MAX_COMMAND_CHARS,
    Action,
    Callback,
    EndStream,
    SendText,
    StreamCore,
    StreamIdentity,
)
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
ACCOUNT_NUMBER = "528191"
"""`start.accountId`: an internal number, not the Auth ID."""
_CLOSE_TIMEOUT_S = 1.0
_GARBAGE_PER_STEP = 20
DROPPED = "connection disconnected with the remote service"
DEGRADED = "connection degraded"


class StreamEnd(StrEnum):
    """Why a stream is over; all but CALL_OVER go on with the next verb."""

    STOPPED = "stopped"
    TIMEOUT = "timeout"
    LOST = "lost"
    CALL_OVER = "call_over"


@dataclass(frozen=True, slots=True)
class StreamContext:
    """What a stream needs of its call.

    `origin_s` is the clock's time of the recording's beginning. `report` POSTs a stream status
    webhook: event, stream id, further fields.
    """

    facts: CallFacts
    line: Line
    knobs: Knobs
    clock: SimulatedClock
    timeline: Timeline
    owner: TaskOwner
    rng: Random
    origin_s: float
    report: Callable[[str, str, Mapping[str, str]], None]


class MediaStream:
    """Runs one stream; `on_step` is called by the call for every 20 ms of its line."""

    def __init__(self, plan: StreamPlan, context: StreamContext) -> None:
        self.stream_id = str(uuid.uuid4())
        self.cores: list[StreamCore] = []
        self.opened_s: float | None = None
        self.began: datetime | None = None
        self.status = "in-progress"
        self.plan = plan
        self._context = context
        self._knobs = context.knobs
        self._socket: ClientConnection | None = None
        self._outbox: Outbox | None = None
        self._is_closing = False
        self._is_stopped = False
        self._over = asyncio.Event()
        self._drops_due = sorted(context.knobs.drop_socket_at_s)
        jitter_s = context.knobs.jitter_s
        self._bursts = Bursts(jitter_s, context.rng.randrange) if jitter_s else None
        self._garbage = garbage(context.rng, context.knobs.garbage_messages)

    async def run(self) -> StreamEnd:
        """Stay until the stream has ended; cancelling closes the socket."""
        timeout_s = self.plan.timeout_s / self._context.clock.speed
        try:
            async with asyncio.timeout(timeout_s) as limit:
                end = await self._run_sockets()
                self.status = "failed" if self.opened_s is None else "completed"
                return end
        except TimeoutError:
            if not limit.expired():
                raise
            self._report("StopStream")  # leaving the socket has closed it gracefully
            return StreamEnd.TIMEOUT

    async def close(self, how: HangupKnob = HangupKnob.CLOSE_1000) -> None:
        """End the stream because the call is over or goes elsewhere, within about a second.

        No status callback is sent. Harmless when it has ended.
        """
        self._is_closing = True
        self._over.set()
        if self._outbox is not None:
            self._outbox.clear()
        opened = self._socket
        if opened is None:
            return
        if how is HangupKnob.STOP_EVENT and self.cores:
            with contextlib.suppress(ConnectionClosed, TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await opened.send(self.cores[-1].stop_event().text)
        if how is HangupKnob.ABORT_1006:
            opened.transport.abort()
        await opened.close()

    async def stop(self) -> None:
        """End the stream as a REST request does; the next verb runs."""
        self._is_stopped = True
        self._over.set()
        if self._socket is not None:
            await self._socket.close()

    def on_step(self, step: LineStep) -> None:
        """Send what 20 ms of the line have to say. Never waits."""
        if self._socket is None or self._is_closing or not self.cores:
            return
        now_s = self._now_s()
        self._perform(self._in_bursts(self.cores[-1].on_step(step, now_s)))
        for _ in range(_GARBAGE_PER_STEP):
            if (text := next(self._garbage, None)) is None:
                break
            self._enqueue(text)
        if self._drops_due and now_s >= self._drops_due[0]:
            self._drops_due.pop(0)
            self._socket.transport.abort()

    def _in_bursts(self, actions: list[Action]) -> list[Action]:
        if self._bursts is None:
            return actions
        texts = [a.text for a in actions if isinstance(a, SendText) and not a.after_s]
        rest: list[Action] = [a for a in actions if not isinstance(a, SendText) or a.after_s]
        return [*rest, *map(SendText, self._bursts.step(texts))]

    def _now_s(self) -> float:
        return self._context.clock.now_s() - self._context.origin_s

    def _note(self, moment: Moment, **detail: object) -> None:
        self._context.timeline.add(moment, self._now_s(), **detail)

    def _report(self, event: str, fields: Mapping[str, str] | None = None) -> None:
        self._context.report(event, self.stream_id, fields or {})

    async def _run_sockets(self) -> StreamEnd:
        if self.plan.never_opens:
            self._note(Moment.NOTE, text="24 kHz inbound: the socket never opens")
            await self._over.wait()
            return self._ended_by_cloud() or StreamEnd.CALL_OVER
        retries = self.plan.max_retries + len(self._knobs.drop_socket_at_s)
        for attempt in range(retries + 1):
            end = await self._run_socket(is_first=attempt == 0)
            if (ended := self._ended_by_cloud()) is not None:
                return ended
            if end is not StreamEnd.LOST or attempt == retries:
                return end
            self._context.line.is_agent_away = True
            try:
                await self._context.clock.sleep(self._knobs.reconnect_delay_s)
            finally:
                self._context.line.is_agent_away = False
        raise AssertionError("the last attempt returns")

    async def _run_socket(self, *, is_first: bool) -> StreamEnd:
        if not is_first:
            self.stream_id = str(uuid.uuid4())
        opened = await self._connect(None if is_first else self._knobs.reconnect_to)
        if opened is None:
            self._report("DroppedStream", {"Error": DROPPED})
            return StreamEnd.LOST
        self._socket = opened
        self._outbox = outbox = self._open_outbox(opened)
        if self.opened_s is None:
            self.opened_s = self._now_s()
            self.began = self._context.clock.wall()
        self._note(Moment.SOCKET_OPEN, stream_id=self.stream_id)
        self._report("StartStream", {"ServiceURL": self.plan.url})
        core = self._open_core()
        self.cores.append(core)
        sends_start = is_first or self._knobs.reconnect is ReconnectKnob.A
        self._perform(core.open(self._now_s(), sends_start=sends_start))
        writer = self._context.owner.start(outbox.write_to(opened), name="stream-writer")
        try:
            end = await self._read(opened, core)
        finally:
            self._socket = None
            writer.cancel()
            self._context.line.replace_playback(PlaybackQueue())  # nothing queued survives
            await opened.close()
        self._note(Moment.SOCKET_CLOSED, code=opened.close_code, by=self._closed_by(end))
        self._report_end(end)
        return end

    def _ended_by_cloud(self) -> StreamEnd | None:
        if self._is_closing:
            return StreamEnd.CALL_OVER
        return StreamEnd.STOPPED if self._is_stopped else None

    def _closed_by(self, end: StreamEnd) -> str:
        if self._ended_by_cloud() is not None:
            return "cloud"
        return "stop" if end is StreamEnd.STOPPED else "application"

    def _report_end(self, end: StreamEnd) -> None:
        if self._is_closing:
            return
        if end is StreamEnd.STOPPED or self._is_stopped:
            self._report("StopStream")
        else:
            self._report("DroppedStream", {"Error": DROPPED})

    def _open_core(self) -> StreamCore:
        facts, knobs = self._context.facts, self._knobs
        identity = StreamIdentity(
            call_id=facts.call_uuid,
            stream_id=self.stream_id,
            account_id=ACCOUNT_NUMBER,
            from_number=written_number(facts.from_number, knobs.numbers),
            to_number=written_number(facts.to_number, knobs.numbers),
            began_ms=round(self._context.clock.wall().timestamp() * 1000),
        )
        context = self._context
        return StreamCore(identity, self.plan, context.line, knobs, context.rng, context.timeline)

    async def _connect(self, elsewhere: str | None) -> ClientConnection | None:
        host, _, port = (elsewhere or "").rpartition(":")
        address: dict[str, Any] = {"host": host, "port": int(port)} if elsewhere else {}
        try:
            opened = await connect(
                self.plan.url,
                compression=None,
                user_agent_header="",
                proxy=None,
                open_timeout=self._knobs.connect_timeout_s,
                close_timeout=_CLOSE_TIMEOUT_S,
                ping_interval=self._knobs.ping_interval_s,
                ping_timeout=None,  # how long pongs may take is the application's affair
                max_size=MAX_COMMAND_CHARS,
                **address,
            )
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError, ConnectionClosed) as exc:
            self._note(Moment.SOCKET_FAILED, problem=f"{type(exc).__name__}: {exc}")
            return None
        raw: socket.socket = opened.transport.get_extra_info("socket")
        if self._knobs.send_buffer_bytes is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._knobs.send_buffer_bytes)
        return opened

    async def _read(self, opened: ClientConnection, core: StreamCore) -> StreamEnd:
        try:
            async for message in opened:
                if isinstance(message, bytes):
                    self._note(Moment.COMMAND_IGNORED, why="a binary frame")
                    continue
                actions = core.on_text(message, self._now_s())
                self._perform(actions)
                if actions and isinstance(actions[-1], EndStream):
                    return StreamEnd.STOPPED
        except ConnectionClosed:
            pass
        return StreamEnd.LOST

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case SendText(text, after_s) if after_s:
                    self._later(after_s, self._enqueue_for(self._socket), text)
                case SendText(text):
                    self._enqueue(text)
                case Callback(event, fields, after_s):
                    self._later(after_s, self._report, event, fields)
                case EndStream():
                    pass

    def _later(self, after_s: float, act: Callable[..., None], *args: object) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(after_s / self._context.clock.speed, act, *args)

    def _enqueue_for(self, opened: ClientConnection | None) -> Callable[[str], None]:
        """Return an enqueuer that does nothing once another socket is open."""
        return lambda text: self._enqueue(text) if self._socket is opened else None

    def _enqueue(self, text: str) -> None:
        if self._socket is None or self._outbox is None or self._is_closing:
            return
        self._outbox.put(text)

    def _open_outbox(self, opened: ClientConnection) -> Outbox:
        def warn(backlog_s: float) -> None:
            self._note(Moment.DEGRADED, backlog_s=round(backlog_s, 2))
            self._report("DegradedStream", {"Error": DEGRADED})

        return Outbox(self._knobs.backlog_s, warn, opened.transport.abort)
