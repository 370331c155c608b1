"""A call's media: the caller's socket on one side, a worker's link on the other.

The bridge owns the call's place at this gateway. Caller's sockets may come and go (Vobiz
reconnects), and links may follow one another as long as the caller has heard nothing; the frames
pass unchanged. What a frame, a full queue or a close code means is said in relay.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Protocol

import structlog

from services.gateway.links import LinkClosed, NoWorker, WorkerLink
from services.gateway.relay import (
    FloodGate,
    Next,
    RelayQueue,
    after_link,
    code_for_caller,
    code_for_worker,
    is_clean_end,
    peek_event,
    peek_stream_id,
)
from services.gateway.routing import Parting
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, StreamId, WorkerId
from shared.protocol.telephony import StopStream, serialize_command
from shared.protocol.worker import LinkClose
from shared.runtime.clock import Clock
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
_ABNORMAL = 1006
_INTERNAL_ERROR = 1011
_SERVICE_RESTART = 1012
_YIELD_EVERY = 32
_FLUSH_S = 0.5
_LONGEST_STOP_CHARS = 512
_PARTINGS = {Next.END: Parting.ENDED, Next.AWAY: Parting.AWAY, Next.LOST: Parting.LOST}


class CallerGone(Exception):
    """The caller's socket is closed.

    Args:
        code: the close code, 1005 or 1006 when the connection broke.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class CallerSocket(Protocol):
    """The telephony cloud's socket, as a bridge sees it."""

    async def accept(self) -> None:
        """Complete the upgrade, before all else. Raises CallerGone."""
        ...

    async def receive(self) -> str | bytes:
        """Return the next message, or raise CallerGone."""
        ...

    async def send(self, text: str) -> None:
        """Send a text frame; waits while the other side does not read. Raises CallerGone."""
        ...

    async def close(self, code: int) -> None:
        """Close; does nothing on a closed socket."""
        ...

    def abort(self) -> None:
        """Cut the connection, with whatever waits in it."""
        ...


@dataclass(frozen=True, slots=True)
class BridgeLimits:
    """Bounds of one call's relaying."""

    queue_frames: int
    message_rate: float
    message_max_chars: int
    caller_idle_s: float
    reconnect_grace_s: float
    send_timeout_s: float
    worker_tries: int


@dataclass(frozen=True, slots=True)
class BridgeHooks:
    """What a bridge needs others to do.

    Attributes:
        open_link: gives a link to a worker that is not among those named; raises NoWorker.
        give_up: tells the pool that a worker does not hold the call after all.
        on_first_frame: the caller's first frame has come; must not block.
        on_over: called once, before the caller's socket is closed, with how the media ended;
            None when the call has moved to another gateway.
    """

    open_link: Callable[[Collection[WorkerId]], Awaitable[WorkerLink]]
    give_up: Callable[[WorkerId], Awaitable[None]]
    on_first_frame: Callable[[WorkerId | None], None]
    on_over: Callable[[Parting | None], Awaitable[None]]


class Bridge:
    """Relays one call until its media is over.

    `run` is the task that attaches workers; `serve` is called for each caller's socket.
    """

    def __init__(
        self,
        call_id: CallId,
        link: WorkerLink | None,
        hooks: BridgeHooks,
        limits: BridgeLimits,
        metrics: GatewayMetrics,
        clock: Clock,
    ) -> None:
        self._call_id = call_id
        self._link = link
        self._hooks = hooks
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._to_worker = metrics.relayed_frames.labels(to="worker")
        self._to_caller = metrics.relayed_frames.labels(to="caller")
        self._queue = RelayQueue(limits.queue_frames)
        self._gate = FloodGate(limits.message_rate, clock.now_s())
        self._has_frames = asyncio.Event()
        self._is_flushed = asyncio.Event()
        self._is_flushed.set()
        self._caller: CallerSocket | None = None
        self._caller_left = asyncio.Event()
        self._last_frame_s = clock.now_s()
        self._grace: asyncio.TimerHandle | None = None
        self._tasks = TaskOwner("bridge")
        self._tried: set[WorkerId] = set()
        self._start: str | None = None
        self._is_start_sent = False
        self._stream_id = ""
        self._wants_stream_id = True
        self._has_media = False
        self._has_spoken = False
        self._has_stopped = False
        self._closing: int | None = None
        self._parting = Parting.ENDED
        self._over = asyncio.Event()

    # --- the caller's side ----------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether this bridge takes no caller any more."""
        return self._over.is_set() or self._closing is not None

    @property
    def has_live_caller(self) -> bool:
        """Whether a caller's socket is open."""
        return self._caller is not None

    async def caller_is_gone(self, *, silent_s: float, timeout_s: float) -> bool:
        """Wait, at most `timeout_s`, until no caller's socket is left, or it is silent.

        Returns:
            whether the place is free: no frame has come for `silent_s`, or the socket has closed.
        """
        deadline_s = self._clock.now_s() + timeout_s
        while self._caller is not None:
            now_s = self._clock.now_s()
            quiet_at_s = self._last_frame_s + silent_s
            if now_s >= quiet_at_s:
                return True
            if now_s >= deadline_s:
                return False
            try:
                async with asyncio.timeout(min(quiet_at_s, deadline_s) - now_s):
                    await self._caller_left.wait()
            except TimeoutError:
                continue
        return True

    async def serve(self, caller: CallerSocket) -> None:
        """Read one caller's socket until it closes; an earlier one is closed."""
        earlier, self._caller = self._caller, caller
        self._caller_left.clear()
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self._last_frame_s = self._clock.now_s()
        self._wants_stream_id = True
        if earlier is not None:
            await self._close_caller(earlier, LinkClose.SUPERSEDED)
        code = _ABNORMAL
        try:
            code = await self._read(caller)
        finally:
            if self._caller is caller:
                self._caller = None
                self._caller_left.set()
                self._on_caller_left(code)

    async def drop_caller(self) -> None:
        """Close the caller's socket and wait for a reconnect as if it had broken."""
        if self._caller is not None:
            await self._close_caller(self._caller, LinkClose.SUPERSEDED)

    async def _read(self, caller: CallerSocket) -> int:
        idle_s = self._limits.caller_idle_s
        loop = asyncio.get_running_loop()
        in_a_row = 0
        try:
            async with asyncio.timeout(idle_s) as idle:
                while True:
                    message = await caller.receive()
                    now_s = self._clock.now_s()
                    if in_a_row == 0 or now_s - self._last_frame_s > 1.0:
                        idle.reschedule(loop.time() + idle_s)
                    self._last_frame_s = now_s
                    self._on_caller_message(message, now_s)
                    in_a_row += 1
                    if in_a_row >= _YIELD_EVERY:
                        # A socket that has much to read never suspends: others want the loop.
                        in_a_row = 0
                        await asyncio.sleep(0)
        except CallerGone as exc:
            return exc.code
        except TimeoutError:
            _log.warning("caller_silent", call_id=self._call_id)
            await self._close_caller(caller, _INTERNAL_ERROR)
            return _ABNORMAL

    def _on_caller_message(self, message: str | bytes, now_s: float) -> None:
        problem = self._problem(message, now_s)
        if problem is not None:
            self._metrics.dropped_frames.labels(reason=problem).inc()
            return
        assert isinstance(message, str)
        event = peek_event(message)
        if event == "start":
            self._start, self._is_start_sent = message, False
        if event in {"start", "media"}:
            if self._wants_stream_id or event == "start":
                self._stream_id = peek_stream_id(message) or self._stream_id
                self._wants_stream_id = False
            if not self._has_media:
                self._has_media = True
                self._hooks.on_first_frame(self._link.worker_id if self._link else None)
        elif event == "stop":
            self._has_stopped = True
        self._metrics.relay_queue.observe(len(self._queue))
        if not self._queue.put(message, event):
            self._metrics.dropped_frames.labels(reason="queue_full").inc()
        self._is_flushed.clear()
        self._has_frames.set()

    def _problem(self, message: str | bytes, now_s: float) -> str | None:
        if not self._gate.admits(now_s):
            return "flood"
        if not isinstance(message, str):
            return "binary"
        return "oversized" if len(message) > self._limits.message_max_chars else None

    def _on_caller_left(self, code: int) -> None:
        if self.is_over:
            return
        if is_clean_end(code) or self._has_stopped:
            self._start_closing(code, Parting.ENDED)
        else:
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(
                self._limits.reconnect_grace_s, self._start_closing, code, Parting.CARRIER_LOST
            )

    def _start_closing(self, code: int, parting: Parting) -> None:
        work = self.close(code_for_worker(code), parting)
        self._tasks.start(work, name=f"close/{self._call_id}")

    async def close(self, code: int, parting: Parting = Parting.ENDED) -> None:
        """End the call's media: the worker's link is closed with `code`, then the caller's socket.

        What the caller sent before is still passed on, within a short bound.
        """
        if self.is_over:
            return
        self._closing, self._parting = code, parting
        if self._link is not None:
            try:
                async with asyncio.timeout(_FLUSH_S):
                    await self._is_flushed.wait()
            except TimeoutError:
                pass
            await self._link.close(code)

    @property
    def worker_id(self) -> WorkerId | None:
        """The worker that holds, or held last, the call."""
        return self._link.worker_id if self._link is not None else None

    # --- the workers' side ----------------------------------------------------------------------

    async def run(self) -> None:
        """Attach workers and relay until the media is over."""
        parting: Parting | None = Parting.LOST
        code = _INTERNAL_ERROR
        try:
            parting, code = await self._run_links()
        except asyncio.CancelledError:
            parting, code = None, _SERVICE_RESTART
            raise
        finally:
            if self._closing is None:
                self._closing = code
            if self._grace is not None:
                self._grace.cancel()
            try:
                if self._link is not None:
                    await self._link.close(code_for_worker(code))
                await self._hooks.on_over(parting)
                await self._dismiss_caller(parting, code)
            finally:
                self._over.set()
                await self._tasks.stop()

    async def _run_links(self) -> tuple[Parting | None, int]:
        tries_left = self._limits.worker_tries
        while True:
            link = await self._attach()
            if link is None:
                return (Parting.LOST, _INTERNAL_ERROR)
            code = await self._relay(link) if self._closing is None else LinkClose.NORMAL
            if self._closing is not None:
                return (self._parting, LinkClose.NORMAL)
            following = after_link(code, has_spoken=self._has_spoken, tries_left=tries_left)
            _log.info("link_closed", call_id=self._call_id, code=code, following=following)
            if following is Next.MOVED:
                return (None, LinkClose.SUPERSEDED)
            if following is not Next.ANOTHER_WORKER:
                return (_PARTINGS[following], code_for_caller(code))
            tries_left -= 1
            self._metrics.worker_refusals.labels(reason="closed").inc()

    async def _attach(self) -> WorkerLink | None:
        """Return an open link: the present one, else another worker's; None when there is none."""
        link = self._link
        if link is not None and link.is_open:
            return link
        if link is not None:
            self._tried.add(link.worker_id)
            await self._hooks.give_up(link.worker_id)
        try:
            self._link = await self._hooks.open_link(self._tried)
        except NoWorker:
            self._link = None
        return self._link

    async def _relay(self, link: WorkerLink) -> int:
        """Pass frames both ways until the link closes; return its close code."""
        pump = self._tasks.start(self._pump(link), name=f"pump/{self._call_id}")
        try:
            while True:
                await self._pass_to_caller(await link.receive())
        except LinkClosed as exc:
            return exc.code
        finally:
            pump.cancel()

    async def _pump(self, link: WorkerLink) -> None:
        try:
            if self._is_start_sent and self._start is not None:
                # A worker before this one has had it.
                await link.send(self._start)
            while True:
                await self._has_frames.wait()
                while len(self._queue):
                    text = self._queue.take()
                    self._is_start_sent = self._is_start_sent or text is self._start
                    await link.send(text)
                    self._to_worker.inc()
                self._has_frames.clear()
                self._is_flushed.set()
        except LinkClosed:
            return  # _relay sees it too, and decides
        except TimeoutError:
            self._metrics.send_timeouts.labels(to="worker").inc()
            _log.warning("worker_does_not_read", call_id=self._call_id, worker_id=link.worker_id)
            await link.close(_INTERNAL_ERROR)

    async def _pass_to_caller(self, message: str | bytes) -> None:
        caller = self._caller
        if not isinstance(message, str):
            self._metrics.dropped_frames.labels(reason="binary").inc()
            return
        if caller is None:
            self._metrics.dropped_frames.labels(reason="no_caller").inc()
            return
        self._has_spoken = True
        if len(message) < _LONGEST_STOP_CHARS and peek_event(message) == "stop":
            self._has_stopped = True
        try:
            async with asyncio.timeout(self._limits.send_timeout_s):
                await caller.send(message)
            self._to_caller.inc()
        except CallerGone:
            self._metrics.dropped_frames.labels(reason="no_caller").inc()
        except TimeoutError:
            self._metrics.send_timeouts.labels(to="caller").inc()
            _log.warning("caller_does_not_read", call_id=self._call_id)
            caller.abort()

    async def _dismiss_caller(self, parting: Parting | None, code: int) -> None:
        """Close the caller's socket, if there is one.

        A socket closed without `stop` is one that Vobiz may try again; with it the next verb runs
        at once. After the agent's own `stop` nothing more is said.
        """
        caller = self._caller
        if caller is None:
            return
        is_left = parting in {Parting.ENDED, Parting.AWAY} and code == LinkClose.NORMAL
        if parting is Parting.LOST or is_left:
            await self._say_stop(caller)
        await self._close_caller(caller, code)

    async def _say_stop(self, caller: CallerSocket) -> None:
        if self._has_stopped or not self._stream_id:
            return
        try:
            async with asyncio.timeout(self._limits.send_timeout_s):
                await caller.send(serialize_command(StopStream(StreamId(self._stream_id))))
        except (CallerGone, TimeoutError):
            return

    async def _close_caller(self, caller: CallerSocket, code: int) -> None:
        try:
            async with asyncio.timeout(self._limits.send_timeout_s):
                await caller.close(code)
        except CallerGone:
            return
        except TimeoutError:
            caller.abort()
