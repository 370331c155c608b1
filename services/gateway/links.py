"""Links to workers: booking one, opening its socket, trying the next.

The link is opened when the call is answered, which is how a worker learns of it and gets its
greeting ready; frames flow once the caller's socket has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.protocol import State

from services.gateway.liveness import Liveness, Sign
from shared.bus.base import Bus, BusUnavailable
from shared.bus.messages import WorkerLease
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, WorkerId
from shared.protocol.worker import LinkRequest
from shared.runtime.clock import Clock

_log = structlog.get_logger(__name__)
_ABNORMAL = 1006
_REASONS = {
    401: "unauthorized",
    403: "unauthorized",
    404: "unknown_path",
    409: "stale",
    503: "full",
}


class LinkClosed(Exception):
    """The worker's side of a link is closed.

    Args:
        code: the close code, 1006 when the connection broke.
        was_silent: we broke it, because the worker said nothing any more.
    """

    def __init__(self, code: int, *, was_silent: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.was_silent = was_silent


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

    async def send(self, text: str) -> None:
        """Send a text frame.

        Raises:
            LinkClosed: too late.
            TimeoutError: the worker does not read.
        """
        ...

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            LinkClosed: there will be none.
        """
        ...

    async def close(self, code: int) -> None:
        """Close, bounded in time. Does nothing on a closed link."""
        ...

    def abort(self) -> None:
        """Cut the connection: nothing that is under way is waited for."""
        ...


class WatchedConnection(ClientConnection):
    """A client connection that is cut when the other end falls silent.

    The library's own pings take a pong alone for a sign of life, hold our late looks against the
    worker, and wait for a closing handshake with one that can't answer.
    """

    was_silent = False
    _liveness: Liveness | None = None
    _look: asyncio.TimerHandle | None = None

    def watch(self, liveness: Liveness) -> None:
        """Begin to listen for silence; times are the loop's."""
        self._liveness = liveness
        self._look = self.loop.call_at(liveness.due_s, self._on_look)

    def data_received(self, data: bytes) -> None:
        """Any byte is a sign of life."""
        if self._liveness is not None:
            self._liveness.heard_s = self.loop.time()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _on_look(self) -> None:
        assert self._liveness is not None
        is_reading = not self.recv_messages.paused
        sign = self._liveness.on_look(self.loop.time(), is_reading=is_reading)
        if sign is Sign.LOST:
            self.was_silent = True
            self.transport.abort()
            return
        if sign is Sign.ASK and self.state is State.OPEN:
            self.protocol.send_ping(b"")
            self.send_data()
        self._look = self.loop.call_at(self._liveness.due_s, self._on_look)


class SocketLink:
    """WorkerLink on a WebSocket client of the `websockets` package."""

    def __init__(
        self, connection: WatchedConnection, lease: WorkerLease, *, send_timeout_s: float
    ) -> None:
        self._connection = connection
        self._send_timeout_s = send_timeout_s
        self.lease = lease

    @property
    def worker_id(self) -> WorkerId:
        """The worker at the other end."""
        return self.lease.worker_id

    @property
    def is_open(self) -> bool:
        """Whether no close was sent or seen yet."""
        return self._connection.state is State.OPEN

    async def send(self, text: str) -> None:
        """Send a text frame."""
        try:
            async with asyncio.timeout(self._send_timeout_s):
                await self._connection.send(text)
        except ConnectionClosed as exc:
            raise self._closed() from exc

    async def receive(self) -> str | bytes:
        """Return the next message; only one task may wait."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as exc:
            raise self._closed() from exc

    async def close(self, code: int) -> None:
        """Close; the connection's own close timeout bounds it."""
        await self._connection.close(code)

    def abort(self) -> None:
        """Cut the connection."""
        self._connection.transport.abort()

    def _closed(self) -> LinkClosed:
        code = self._connection.close_code or _ABNORMAL
        return LinkClosed(code, was_silent=self._connection.was_silent)


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Bounds of a link, in seconds and bytes.

    A worker that says nothing for `ping_s` is asked, and lost `pong_s` later.
    """

    connect_s: float
    ping_s: float
    pong_s: float
    send_s: float
    close_s: float
    message_max_bytes: int
    tries: int


class LinkOpener:
    """Finds a worker for a call and opens a link to it."""

    def __init__(
        self, bus: Bus, secret: str, limits: LinkLimits, metrics: GatewayMetrics, clock: Clock
    ) -> None:
        self._bus = bus
        self._secret = secret
        self._limits = limits
        self._metrics = metrics
        self._clock = clock

    async def open(
        self,
        request: LinkRequest,
        *,
        next_epoch: Callable[[], Awaitable[int]],
        exclude: Collection[WorkerId] = (),
    ) -> SocketLink:
        """Book a worker and open its link; one that refuses is followed by the next.

        Args:
            request: what the worker is told; its epoch is replaced.
            next_epoch: gives each attempt its own epoch, so that a worker whose answer was lost
                can't speak beside the one that follows it.
            exclude: workers not to be asked.

        Raises:
            NoWorker: nobody took it. Every booking made here is given up then.
        """
        refused = set(exclude)
        for _ in range(self._limits.tries):
            lease = await self._reserve(request.call_id, refused)
            if lease is None:
                break
            try:
                return await self._connect(replace(request, epoch=await next_epoch()), lease)
            except _Refused as exc:
                self._metrics.worker_refusals.labels(reason=exc.reason).inc()
                _log.warning(
                    "worker_refused",
                    call_id=request.call_id,
                    worker_id=lease.worker_id,
                    reason=exc.reason,
                )
                refused.add(lease.worker_id)
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

    async def _connect(self, request: LinkRequest, lease: WorkerLease) -> SocketLink:
        limits = self._limits
        try:
            connection = await connect(
                f"ws://{lease.address}{request.path}",
                additional_headers=request.headers(self._secret, self._clock.wall().timestamp()),
                compression=None,
                user_agent_header=None,
                # A worker is inside: what the environment says of proxies is not for it.
                proxy=None,
                open_timeout=limits.connect_s,
                ping_interval=None,
                close_timeout=limits.close_s,
                max_size=limits.message_max_bytes,
                create_connection=WatchedConnection,
            )
        except InvalidStatus as exc:
            raise _Refused(_REASONS.get(exc.response.status_code, "status")) from exc
        except TimeoutError as exc:
            raise _Refused("timeout") from exc
        except (InvalidHandshake, InvalidURI, EOFError) as exc:
            raise _Refused("protocol") from exc
        except OSError as exc:
            raise _Refused("unreachable") from exc
        assert isinstance(connection, WatchedConnection)
        now_s = asyncio.get_running_loop().time()
        connection.watch(Liveness(limits.ping_s, limits.pong_s, now_s))
        return SocketLink(connection, lease, send_timeout_s=limits.send_s)


class _Refused(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
