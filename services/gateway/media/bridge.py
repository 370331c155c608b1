"""A call's media: the caller's socket on one side, a worker's link on the other.

The bridge owns the call's place at this gateway. Caller's sockets may come and go (Vobiz
reconnects), and links may follow one another: a worker that is lost, or hands the call over, is
followed by another one, which is given the `start` and the caller's last seconds again. The frames
pass unchanged. What a frame or a close code means is said in relay.py, what is said again in
replay.py; caller.py has the caller's side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial

import structlog

from services.gateway.media.caller import CallerSide, CallerSocket
from services.gateway.media.milestones import Milestones
from services.gateway.media.relay import (
    Cause,
    FloodGate,
    Losses,
    Next,
    Parting,
    cause_of,
    code_for_caller,
    code_for_worker,
    is_clean_end,
    peek_event,
    peek_stream_id,
)
from services.gateway.media.replay import CallerMessages, ReplayLimits
from services.gateway.media.short_way import ToWorker
from services.gateway.media.tally import Tally
from services.gateway.wire.frame_socket import Listener, unmask
from services.gateway.workers.links import LinkClosed, NoWorker, WorkerLink
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, WorkerId
from shared.protocol.worker import LinkClose
from shared.runtime.clock import Clock
from shared.runtime.tasks import TaskOwner
from shared.runtime.tracing import NO_TRACER, Tracer

_log = structlog.get_logger(__name__)
_ABNORMAL = 1006
_INTERNAL_ERROR = 1011
_SERVICE_RESTART = 1012
_FLUSH_S = 0.5
_ASK_AGAIN_S = 0.2
_SHUN_S = 60.0
_PARTINGS = {Next.END: Parting.ENDED, Next.AWAY: Parting.AWAY, Next.LOST: Parting.LOST}


@dataclass(frozen=True, slots=True)
class BridgeLimits:
    """Bounds of one call's relaying.

    `worker_tries` counts while the call has not begun; `worker_wait_s` is how long a caller waits
    for another worker when the pool has none.
    """

    queue_frames: int
    message_rate: float
    message_max_chars: int
    caller_idle_s: float
    reconnect_grace_s: float
    worker_tries: int
    replay_s: float = 4.0
    worker_wait_s: float = 3.0


@dataclass(frozen=True, slots=True)
class BridgeHooks:
    """What a bridge needs others to do.

    Attributes:
        open_link: gives a link to a worker that is not among those named, with `resume` when it is
            to go on with a conversation; raises NoWorker.
        give_up: a worker does not hold the call after all; must not block.
        on_worker: a worker has the call whose caller has been heard already; must not block.
        on_first_frame: the caller's first frame has come; must not block.
        on_over: called once, before the caller's socket is closed, with how the media ended;
            None when the call has moved to another gateway.
    """

    open_link: Callable[[Collection[WorkerId], bool], Awaitable[WorkerLink]]
    give_up: Callable[[WorkerId], None]
    on_worker: Callable[[WorkerId], None]
    on_first_frame: Callable[[WorkerId | None], None]
    on_over: Callable[[Parting | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Loss:
    """A call in conversation has no worker any more, which was last heard `quiet_s` before."""

    cause: Cause
    at_s: float
    quiet_s: float


class Bridge:
    """Relays one call until its media is over.

    `run` is the task that attaches workers; `serve` is called for each caller's socket.
    `milestones` are the call's, over all its bridges here.
    """

    def __init__(
        self,
        call_id: CallId,
        link: WorkerLink | None,
        hooks: BridgeHooks,
        limits: BridgeLimits,
        metrics: GatewayMetrics,
        clock: Clock,
        milestones: Milestones | None = None,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._call_id = call_id
        self._milestones = milestones or Milestones(clock.now_s())
        self._tracer = tracer
        self._concern = tracer.concern(call_id)
        self._link = link
        self._hooks = hooks
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._to_worker = Tally(metrics.relayed_frames.labels(to="worker").inc)
        self._messages = CallerMessages(limits.queue_frames, ReplayLimits(replay_s=limits.replay_s))
        self._gate = FloodGate(limits.message_rate, clock.now_s())
        self._listening: WorkerLink | None = None
        # Where a message may go at once: there is a link, it takes them, none waits.
        self._direct: WorkerLink | None = None
        self._is_flushed = asyncio.Event()
        self._is_flushed.set()
        self._is_caller_behind = False
        self._caller = CallerSide(
            call_id,
            limits.caller_idle_s,
            metrics,
            clock,
            self._on_caller_writable,
            self._milestones,
        )
        self._short_way = ToWorker(
            self._caller,
            self._gate,
            self._messages,
            self._to_worker,
            most_bytes=limits.message_max_chars,
            now_s=clock.now_s,
            unmask=unmask,
            on_many=partial(metrics.relay_queue.observe, 0),
        )
        self._grace: asyncio.TimerHandle | None = None
        self._tasks = TaskOwner("bridge")
        self._losses = Losses(limits.worker_tries)
        self._loss: _Loss | None = None
        self._shunned: dict[WorkerId, float] = {}
        self._silent: set[WorkerId] = set()
        self._has_media = False
        self._closing: int | None = None
        self._is_closing = asyncio.Event()
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
        return self._caller.is_here

    async def caller_is_gone(self, *, silent_s: float, timeout_s: float) -> bool:
        """Wait, at most `timeout_s`, until no caller's socket is left, or it is silent.

        Returns:
            whether the place is free: no frame has come for `silent_s`, or the socket has closed.
        """
        return await self._caller.is_free(silent_s=silent_s, timeout_s=timeout_s)

    async def serve(self, caller: CallerSocket) -> None:
        """Read one caller's socket until it closes; an earlier one is closed."""
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self._short_way.is_begun = False
        self._caller.take(caller)
        code, began_s = _ABNORMAL, self._clock.now_s()
        self._milestones.on_socket(began_s)
        try:
            code = await self._caller.read(caller, self._on_caller_message, self._short_way.take)
        finally:
            self._tracer.tell("caller_socket", self._concern, began_s, code=code)
            if self._caller.leave(caller):
                self._on_caller_left(code)

    async def wait_over(self, timeout_s: float) -> None:
        """Wait, bounded, until the media is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._over.wait()
        except TimeoutError:
            return

    def drop_caller(self) -> None:
        """Close the caller's socket and wait for a reconnect as if it had broken."""
        self._caller.close(LinkClose.SUPERSEDED)

    def _on_caller_message(self, message: str | bytes, now_s: float) -> None:
        if not self._gate.admits(now_s):
            return self._drop("flood")
        if not isinstance(message, str):
            return self._drop("binary")
        if len(message) > self._limits.message_max_chars:
            return self._drop("oversized")
        event = peek_event(message)
        if event in {"start", "media"}:
            if event == "start" or not self._short_way.is_begun:
                self._caller.stream_id = peek_stream_id(message) or self._caller.stream_id
                self._short_way.is_begun = True
            if not self._has_media:
                self._has_media = True
                if self._milestones.first_frame_s is None:
                    self._milestones.first_frame_s = now_s
                self._hooks.on_first_frame(self.worker_id)
        elif event == "stop":
            self._caller.has_stopped = True
        if self._direct is not None:
            self._messages.pass_by(message, event, now_s)
            self._direct.send_text(message)
            if self._to_worker.add():
                self._metrics.relay_queue.observe(0)
            return
        if not self._messages.put(message, event, now_s):
            self._drop("queue_full")
        self._is_flushed.clear()

    def _drop(self, reason: str) -> None:
        self._metrics.dropped_frames.labels(reason=reason).inc()
        self._milestones.dropped[reason] += 1

    def _on_caller_left(self, code: int) -> None:
        if self.is_over:
            return
        if is_clean_end(code) or self._caller.has_stopped:
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
        self._is_closing.set()
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
                self._dismiss_caller(parting, code)
            finally:
                self._over.set()
                await self._tasks.stop()

    async def _run_links(self) -> tuple[Parting | None, int]:
        while True:
            link = await self._attach()
            if self._closing is not None:
                return (self._parting, LinkClose.NORMAL)
            if link is None:
                self._milestones.failure = self._milestones.failure or "no_worker"
                return (Parting.LOST, _INTERNAL_ERROR)
            began_s = self._clock.now_s()
            closed = await self._relay(link)
            self._tell_relay(link, began_s, closed)
            if self._closing is not None:
                return (self._parting, LinkClose.NORMAL)
            following = self._on_link_closed(closed)
            if following is Next.MOVED:
                return (None, LinkClose.SUPERSEDED)
            if following is not Next.ANOTHER_WORKER:
                return (_PARTINGS[following], code_for_caller(closed.code))

    def _tell_relay(self, link: WorkerLink, began_s: float, closed: LinkClosed) -> None:
        self._tracer.tell(
            "relay",
            self._concern,
            began_s,
            worker_id=link.worker_id,
            code=closed.code,
            is_silent=closed.was_silent,
        )

    @property
    def _has_begun(self) -> bool:
        """Whether another worker could not begin from nothing."""
        return self._caller.has_heard or not self._messages.is_whole

    def _on_link_closed(self, closed: LinkClosed) -> Next:
        now_s = self._clock.now_s()
        has_begun = self._has_begun
        following = self._losses.on_closed(
            closed.code,
            has_begun=has_begun,
            has_stopped=self._caller.has_stopped,
            now_s=now_s,
        )
        cause = cause_of(closed.code, was_silent=closed.was_silent)
        _log.info(
            "link_closed",
            call_id=self._call_id,
            worker_id=self.worker_id,
            code=closed.code,
            cause=cause if following in {Next.ANOTHER_WORKER, Next.LOST} else None,
            following=following,
        )
        if closed.was_silent and self.worker_id is not None:
            self._silent.add(self.worker_id)
        if following is Next.ANOTHER_WORKER:
            self._metrics.replayed_frames.inc(self._messages.rewind())
            if has_begun:
                self._loss = _Loss(cause, now_s, closed.quiet_s)
            else:
                self._metrics.worker_refusals.labels(reason="closed").inc()
        elif following is Next.LOST:
            is_second = self._losses.were_two_in_a_row
            self._milestones.failure = "second_loss" if is_second else f"link_{cause}"
            if is_second:
                self._count(cause, "second_loss")
        return following

    async def _attach(self) -> WorkerLink | None:
        """Return an open link: the present one, else another worker's; None when there is none."""
        link = self._link
        if link is None or not link.is_open:
            if link is not None:
                self._shunned[link.worker_id] = self._clock.now_s()
                self._hooks.give_up(link.worker_id)
            link = self._link = await self._open_another()
            self._on_attached(link)
        self._losses.on_attached(self._clock.now_s())
        return link

    async def _open_another(self) -> WorkerLink | None:
        """Ask the pool until it has a worker, for as long as a caller can be let wait.

        When there is no other, one that was only silent may have the call again: it knows it.
        """
        began_s = self._clock.now_s()
        forgiven: set[WorkerId] = set()
        while True:
            now_s = self._clock.now_s()
            shunned = {w for w, lost_s in self._shunned.items() if now_s < lost_s + _SHUN_S}
            try:
                return await self._hooks.open_link(shunned - forgiven, self._has_begun)
            except NoWorker:
                if now_s >= began_s + self._limits.worker_wait_s:
                    return None
            forgiven = self._silent
            try:
                async with asyncio.timeout(_ASK_AGAIN_S):
                    await self._is_closing.wait()
            except TimeoutError:
                continue
            return None

    def _on_attached(self, link: WorkerLink | None) -> None:
        if link is not None and self._has_media:
            self._hooks.on_worker(link.worker_id)
        loss, self._loss = self._loss, None
        if loss is None:
            return
        seconds = self._clock.now_s() - loss.at_s
        self._tracer.tell(
            "reattach",
            self._concern,
            loss.at_s,
            cause=loss.cause,
            worker_id=link.worker_id if link is not None else None,
            error="" if link is not None or self._closing is not None else "no_worker",
        )
        if self._closing is not None:
            self._count(loss.cause, "ended")
        elif link is None:
            self._count(loss.cause, "no_worker")
        else:
            self._milestones.reattachments += 1
            self._count(loss.cause, "attached")
            self._metrics.reattach_seconds.observe(seconds)
            self._metrics.resume_gap.observe(loss.quiet_s + seconds)
            _log.warning(
                "worker_replaced",
                call_id=self._call_id,
                worker_id=link.worker_id,
                cause=loss.cause,
                after_ms=round(1000 * seconds),
            )

    def _count(self, cause: Cause, outcome: str) -> None:
        self._metrics.reattachments.labels(cause=cause, outcome=outcome).inc()

    async def _relay(self, link: WorkerLink) -> LinkClosed:
        """Pass frames both ways until the link closes; return how it did.

        The frames pass in callbacks of the two sockets; this only waits for the end.
        """
        closed: asyncio.Future[LinkClosed] = asyncio.get_running_loop().create_future()

        def on_closed(code: int) -> None:
            self._listening = None
            self._send_direct(None)
            if not closed.done():
                told = LinkClosed(code, was_silent=link.was_silent, quiet_s=link.quiet_s)
                closed.set_result(told)

        def on_writable(is_writable: bool) -> None:
            if not is_writable:
                self._metrics.slow_sockets.labels(to="worker").inc()
            self._pass_waiting()

        def on_stuck() -> None:
            self._metrics.send_timeouts.labels(to="worker").inc()
            _log.warning("worker_does_not_read", call_id=self._call_id, worker_id=link.worker_id)

        if len(self._messages):
            self._is_flushed.clear()
        self._listening = link
        if self._is_caller_behind:
            link.pause_reading()
        link.listen(
            Listener(
                self._caller.send, on_closed, on_writable, on_stuck, self._caller.short_way.take
            )
        )
        self._pass_waiting()
        try:
            return await closed
        finally:
            self._listening = None
            self._send_direct(None)
            self._to_worker.flush()
            self._caller.flush_counts()

    def _pass_waiting(self) -> None:
        """Give the worker what waits for it, as far as it takes it."""
        link, messages = self._listening, self._messages
        while link is not None and link.is_writable and len(messages):
            said = messages.take()
            if isinstance(said, str):
                link.send_text(said)
            else:
                link.write_frames(said)
            if self._to_worker.add():
                self._metrics.relay_queue.observe(len(messages))
        is_flushed = not len(messages)
        if is_flushed:
            self._is_flushed.set()
        self._send_direct(link if is_flushed and link is not None and link.is_writable else None)

    def _send_direct(self, link: WorkerLink | None) -> None:
        self._direct = link
        self._short_way.write = link.write_frames if link is not None else None

    def _on_caller_writable(self, is_writable: bool) -> None:
        """A caller that does not keep up slows the worker down, and nothing waits here."""
        self._is_caller_behind = not is_writable
        if not is_writable:
            self._metrics.slow_sockets.labels(to="caller").inc()
        link = self._listening
        if link is not None and is_writable:
            link.resume_reading()
        elif link is not None:
            link.pause_reading()

    def _dismiss_caller(self, parting: Parting | None, code: int) -> None:
        """Close the caller's socket, if there is one.

        A socket closed without `stop` is one that Vobiz may try again; with it the next verb runs
        at once. After the agent's own `stop` nothing more is said.
        """
        is_left = parting in {Parting.ENDED, Parting.AWAY} and code == LinkClose.NORMAL
        self._caller.close(code, with_stop=parting is Parting.LOST or is_left)
