"""Links to workers: booking one, opening its socket, trying the next.

The link is opened when the call is answered, which is how a worker learns of it and gets its
greeting ready; frames flow once the caller's socket has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol
from weakref import WeakValueDictionary

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

from services.gateway.wire.frame_socket import FrameSocket, Listener, SocketLimits
from services.gateway.workers.liveness import Liveness, Sign, somebody
from services.gateway.workers.patience import patience
from services.gateway.workers.pulses import Elsewhere, Pulse, Pulses
from shared.bus.base import Bus, BusUnavailable
from shared.bus.messages import WorkerLease
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, WorkerId
from shared.protocol.worker import LinkRequest
from shared.runtime.clock import Clock
from shared.runtime.concern import Concern
from shared.runtime.tracing import NO_TRACER, OpenSpan, Tracer

_log = structlog.get_logger(__name__)
_END_OF_HEAD = b"\r\n\r\n"
_SWITCHING = b" 101"
_OPENINGS = 16
"""Links that are opened to one worker at a time: of many calls moved at once the others wait."""
_REASONS = {
    401: "unauthorized",
    403: "unauthorized",
    404: "unknown_path",
    409: "stale",
    503: "full",
}


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """The worker's side of a link is closed.

    Attributes:
        code: the close code, 1006 when the connection broke.
        was_silent: we broke it, because the worker said nothing any more.
        quiet_s: for how long the worker had said nothing.
    """

    code: int
    was_silent: bool = False
    quiet_s: float = 0.0


class NoWorker(Exception):
    """No worker took the call: the pool is full, or none of those asked wanted it."""


class WorkerLink(Protocol):
    """A worker's socket, as a bridge sees it."""

    @property
    def worker_id(self) -> WorkerId:
        """The worker at the other end."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether frames can be sent, as far as is known."""
        ...

    @property
    def is_writable(self) -> bool:
        """Whether the worker takes what it is sent."""
        ...

    @property
    def was_silent(self) -> bool:
        """Whether we cut the link because the worker said nothing any more."""
        ...

    @property
    def quiet_s(self) -> float:
        """For how long the worker has said nothing."""
        ...

    def listen(self, listener: Listener) -> None:
        """Tell somebody of what comes, from what has come already on."""
        ...

    def send_text(self, text: str) -> None:
        """Send a text frame; nothing happens on a closed link."""
        ...

    def write_frames(self, frames: bytes) -> None:
        """Send whole frames as a client writes them; nothing happens on a closed link."""
        ...

    def pause_reading(self) -> None:
        """Let the worker wait."""
        ...

    def resume_reading(self) -> None:
        """Go on."""
        ...

    async def close(self, code: int) -> None:
        """Close, bounded in time. Does nothing on a closed link."""
        ...


class SocketLink:
    """WorkerLink on a socket that is cut when the other end falls silent.

    Any byte is a sign of life; a look at it now and then is all it costs. No closing handshake is
    waited for with a worker that can't answer. `concern` is the span that opened it.

    Args:
        socket: open.
        lease: the worker's.
        liveness: this link's.
        pulse: the worker's.
        has_place_elsewhere: whether another worker could take the call.
    """

    def __init__(
        self,
        socket: FrameSocket,
        lease: WorkerLease,
        liveness: Liveness,
        pulse: Pulse,
        has_place_elsewhere: Callable[[], bool] = somebody,
    ) -> None:
        self.concern: Concern | None = None
        self._socket = socket
        self._liveness = liveness
        self._pulse = pulse
        self._has_place_elsewhere = has_place_elsewhere
        self._loop = asyncio.get_running_loop()
        self._look = self._loop.call_at(liveness.due_s, self._on_look)
        self.lease = lease
        self.was_silent = False
        self.send_text = socket.send_text
        self.write_frames = socket.write_frames
        self.listen = socket.listen
        self.pause_reading = socket.pause_reading
        self.resume_reading = socket.resume_reading

    @property
    def worker_id(self) -> WorkerId:
        """The worker at the other end."""
        return self.lease.worker_id

    @property
    def is_open(self) -> bool:
        """Whether no close was sent or seen yet."""
        return self._socket.is_open

    @property
    def is_writable(self) -> bool:
        """Whether the worker takes what it is sent."""
        return self._socket.is_writable

    @property
    def quiet_s(self) -> float:
        """Since anything was read from the worker."""
        return max(0.0, self._loop.time() - self._socket.heard_s)

    async def close(self, code: int) -> None:
        """Close; the socket bounds it."""
        self._socket.close(code)
        await self._socket.wait_lost()

    def _on_look(self) -> None:
        if not self._socket.is_open:
            return
        liveness, pulse = self._liveness, self._pulse
        liveness.heard_s = max(liveness.heard_s, self._socket.heard_s)
        pulse.heard_s = max(pulse.heard_s, self._socket.heard_s)
        now_s = self._loop.time()
        sign = liveness.on_look(
            now_s,
            is_reading=self._socket.is_reading,
            elsewhere_s=pulse.heard_s,
            asked_s=pulse.asked_s,
            has_place_elsewhere=self._has_place_elsewhere,
        )
        if sign is Sign.LOST:
            self.was_silent = True
            self._socket.abort()
            return
        if sign is Sign.ASK:
            pulse.asked_s = now_s
            self._socket.ping()
        self._look = self._loop.call_at(liveness.due_s, self._on_look)


class _Handshake(ClientConnection):
    """Opens a link and then stands aside: behind the answer's head nothing is read here."""

    _head = b""
    early = b""

    def data_received(self, data: bytes) -> None:
        """Look for the end of the answer."""
        self._head += data
        head, end, rest = self._head.partition(_END_OF_HEAD)
        if not end or _SWITCHING not in head.partition(b"\r\n")[0]:
            super().data_received(data)
            return
        self.early = rest
        self.transport.pause_reading()
        super().data_received(data[: len(data) - len(rest)])


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Bounds of a link.

    A worker that says nothing for `ping_s` is asked, and lost `pong_s` later, or once its lease
    would have lapsed where nobody else could take its calls. `turn_s` is how long a call waits for
    others to be attached before it. A new call waits up to `wait_s` for a worker that does not
    answer, where nobody else could take it.
    """

    connect_s: float
    turn_s: float
    ping_s: float
    pong_s: float
    tries: int
    socket: SocketLimits
    wait_s: float = 0.0


class LinkOpener:
    """Finds a worker for a call and opens a link to it."""

    def __init__(
        self,
        bus: Bus,
        secret: str,
        limits: LinkLimits,
        metrics: GatewayMetrics,
        clock: Clock,
        tracer: Tracer = NO_TRACER,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._tracer = tracer
        self._bus = bus
        self._secret = secret
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._pulses = Pulses(elsewhere, limits.ping_s, lambda: asyncio.get_running_loop().time())
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def open(
        self,
        request: LinkRequest,
        *,
        next_epoch: Callable[[], Awaitable[int]],
        exclude: Collection[WorkerId] = (),
        after: Concern | None = None,
        is_new: bool = False,
    ) -> SocketLink:
        """Book a worker and open its link; one that refuses is followed by the next.

        Args:
            request: what the worker is told; its epoch is replaced.
            next_epoch: gives each attempt its own epoch, so that a worker whose answer was lost
                can't speak beside the one that follows it.
            exclude: workers not to be asked.
            after: the span that opened the link before this one.
            is_new: nothing of the call can be lost while a worker that stands still is waited for.

        Raises:
            NoWorker: nobody took it. Every booking made here is given up then.
        """
        tracer = self._tracer
        with tracer.span("attach", tracer.concern(request.call_id)) as span:
            span.note(agent=request.agent, is_resumed=request.resume)
            span.follows(after)
            wait_s = self._limits.wait_s if is_new else 0.0
            link = await self._open(request, span, next_epoch, set(exclude), wait_s)
            span.note(worker_id=link.worker_id)
            link.concern = span.concern
            return link

    async def _open(
        self,
        request: LinkRequest,
        attach: OpenSpan,
        next_epoch: Callable[[], Awaitable[int]],
        refused: set[WorkerId],
        wait_s: float,
    ) -> SocketLink:
        span_of = self._tracer.span
        until_s = asyncio.get_running_loop().time() + wait_s
        refusing: list[str] = []
        for _ in range(self._limits.tries):
            with span_of("reserve", attach.concern) as reserve:
                lease = await self._reserve(request.call_id, refused)
                reserve.note(worker_id=lease.worker_id if lease is not None else None)
            if lease is None:
                break
            try:
                with span_of("connect", attach.concern, worker_id=lease.worker_id) as connecting:
                    trace = connecting.concern.span if connecting.concern is not None else None
                    asked = replace(request, epoch=await next_epoch(), trace=trace)
                    connecting.note(epoch=asked.epoch)
                    began_s = self._clock.now_s()
                    link = await self._connect(asked, lease, until_s, refusing)
                    _log.info(
                        "worker_attached",
                        call_id=request.call_id,
                        worker_id=lease.worker_id,
                        epoch=asked.epoch,
                        is_resumed=request.resume,
                        took_ms=round(1000 * (self._clock.now_s() - began_s), 1),
                    )
                    return link
            except _Refused as exc:
                self._metrics.worker_refusals.labels(reason=exc.reason).inc()
                _log.warning(
                    "worker_refused",
                    call_id=request.call_id,
                    worker_id=lease.worker_id,
                    reason=exc.reason,
                )
                refused.add(lease.worker_id)
                refusing.append(lease.address)
                await self.release(lease.worker_id, request.call_id)
            except BaseException:
                await self.release(lease.worker_id, request.call_id)
                raise
        raise NoWorker

    async def _reserve(self, call_id: CallId, exclude: Collection[WorkerId]) -> WorkerLease | None:
        try:
            return await self._bus.workers.reserve(call_id, exclude=exclude)
        except BusUnavailable:
            _log.warning("pool_unavailable", call_id=call_id)
            return None

    async def release(self, worker_id: WorkerId, call_id: CallId) -> None:
        """Give a booking up; without the bus it lapses by itself."""
        try:
            await self._bus.workers.release(worker_id, call_id)
        except BusUnavailable:
            _log.warning("booking_left_to_lapse", call_id=call_id, worker_id=worker_id)

    async def _connect(
        self, request: LinkRequest, lease: WorkerLease, until_s: float, refusing: Collection[str]
    ) -> SocketLink:
        limits = self._limits
        turns = self._turns.setdefault(lease.address, asyncio.Semaphore(_OPENINGS))
        pulse = self._pulses.of(lease)
        has_place_elsewhere = partial(self._pulses.has_place_elsewhere, lease, pulse, refusing)
        try:
            async with patience(limits.turn_s, until_s, has_place_elsewhere):
                await turns.acquire()
        except TimeoutError as exc:
            raise _Refused("crowded") from exc
        try:
            async with patience(limits.connect_s, until_s, has_place_elsewhere):
                connection = await self._shake_hands(request, lease)
        except TimeoutError as exc:
            raise _Refused("timeout") from exc
        finally:
            turns.release()
        now_s = asyncio.get_running_loop().time()
        # The package's part ends here; it is told nothing more of this connection.
        socket = FrameSocket(
            connection.transport, limits.socket, is_server=False, early=connection.early
        )
        return SocketLink(
            socket,
            lease,
            Liveness(limits.ping_s, limits.pong_s, now_s),
            pulse,
            partial(self._pulses.has_place_elsewhere, lease, pulse),
        )

    async def _shake_hands(self, request: LinkRequest, lease: WorkerLease) -> _Handshake:
        try:
            connection = await connect(
                f"ws://{lease.address}{request.path}",
                additional_headers=request.headers(self._secret, self._clock.wall().timestamp()),
                compression=None,
                user_agent_header=None,
                # A worker is inside: what the environment says of proxies is not for it.
                proxy=None,
                open_timeout=None,
                ping_interval=None,
                close_timeout=self._limits.socket.close_s,
                create_connection=_Handshake,
            )
        except InvalidStatus as exc:
            raise _Refused(_REASONS.get(exc.response.status_code, "status")) from exc
        except (InvalidHandshake, InvalidURI, EOFError) as exc:
            raise _Refused("protocol") from exc
        except TimeoutError as exc:  # the network's own
            raise _Refused("timeout") from exc
        except OSError as exc:
            raise _Refused("unreachable") from exc
        assert isinstance(connection, _Handshake)
        return connection


class _Refused(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
