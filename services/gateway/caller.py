"""The caller's side of a call: the sockets of the telephony cloud, one after another.

A caller has one socket at a time; a newer one takes the place of the one before. What is read
goes to whoever carries the call; what is sent is bounded in time, and a socket that takes nothing
is cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from services.gateway.relay import peek_event
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, StreamId
from shared.protocol.telephony import StopStream, serialize_command
from shared.protocol.worker import LinkClose
from shared.runtime.clock import Clock

_log = structlog.get_logger(__name__)
_ABNORMAL = 1006
_INTERNAL_ERROR = 1011
_YIELD_EVERY = 32
_LONGEST_STOP_CHARS = 512


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
class CallerLimits:
    """Bounds of a caller's socket."""

    idle_s: float
    send_timeout_s: float


class CallerSide:
    """A call's present socket, if there is one, and what was said on it and on those before."""

    def __init__(
        self, call_id: CallId, limits: CallerLimits, metrics: GatewayMetrics, clock: Clock
    ) -> None:
        self._call_id = call_id
        self._limits = limits
        self._metrics = metrics
        self._passed_on = metrics.relayed_frames.labels(to="caller")
        self._clock = clock
        self._socket: CallerSocket | None = None
        self._left = asyncio.Event()
        self._last_frame_s = clock.now_s()
        self.stream_id = ""
        self.has_heard = False
        self.has_stopped = False

    @property
    def is_here(self) -> bool:
        """Whether a socket is open."""
        return self._socket is not None

    async def take(self, socket: CallerSocket) -> None:
        """Carry a socket from now on; an earlier one is closed."""
        earlier, self._socket = self._socket, socket
        self._left.clear()
        self._last_frame_s = self._clock.now_s()
        if earlier is not None:
            await self._close(earlier, LinkClose.SUPERSEDED)

    def leave(self, socket: CallerSocket) -> bool:
        """Forget a socket that has closed; False when a newer one has taken its place."""
        if self._socket is not socket:
            return False
        self._socket = None
        self._left.set()
        return True

    async def is_free(self, *, silent_s: float, timeout_s: float) -> bool:
        """Wait, at most `timeout_s`, until no socket is left, or it has been silent `silent_s`.

        Returns:
            whether it came to that.
        """
        deadline_s = self._clock.now_s() + timeout_s
        while self._socket is not None:
            now_s = self._clock.now_s()
            quiet_at_s = self._last_frame_s + silent_s
            if now_s >= quiet_at_s:
                return True
            if now_s >= deadline_s:
                return False
            try:
                async with asyncio.timeout(min(quiet_at_s, deadline_s) - now_s):
                    await self._left.wait()
            except TimeoutError:
                continue
        return True

    async def read(
        self, socket: CallerSocket, on_message: Callable[[str | bytes, float], None]
    ) -> int:
        """Hand on what a socket brings, with the time it came, until it closes; return its code."""
        idle_s = self._limits.idle_s
        loop = asyncio.get_running_loop()
        in_a_row = 0
        try:
            async with asyncio.timeout(idle_s) as idle:
                while True:
                    message = await socket.receive()
                    now_s = self._clock.now_s()
                    if in_a_row == 0 or now_s - self._last_frame_s > 1.0:
                        idle.reschedule(loop.time() + idle_s)
                    self._last_frame_s = now_s
                    on_message(message, now_s)
                    in_a_row += 1
                    if in_a_row >= _YIELD_EVERY:
                        # A socket that has much to read never suspends: others want the loop.
                        in_a_row = 0
                        await asyncio.sleep(0)
        except CallerGone as exc:
            return exc.code
        except TimeoutError:
            _log.warning("caller_silent", call_id=self._call_id)
            await self._close(socket, _INTERNAL_ERROR)
            return _ABNORMAL

    async def send(self, message: str | bytes) -> None:
        """Pass a worker's frame on; it is dropped and counted when nobody is here to take it."""
        socket = self._socket
        if not isinstance(message, str):
            self._metrics.dropped_frames.labels(reason="binary").inc()
            return
        if socket is None:
            self._metrics.dropped_frames.labels(reason="no_caller").inc()
            return
        self.has_heard = True
        if len(message) < _LONGEST_STOP_CHARS and peek_event(message) == "stop":
            self.has_stopped = True
        try:
            async with asyncio.timeout(self._limits.send_timeout_s):
                await socket.send(message)
            self._passed_on.inc()
        except CallerGone:
            self._metrics.dropped_frames.labels(reason="no_caller").inc()
        except TimeoutError:
            self._metrics.send_timeouts.labels(to="caller").inc()
            _log.warning("caller_does_not_read", call_id=self._call_id)
            socket.abort()

    async def close(self, code: int, *, with_stop: bool = False) -> None:
        """Close the socket, if there is one, after `stop` where that is wanted and not yet said."""
        socket = self._socket
        if socket is None:
            return
        if with_stop and self.stream_id and not self.has_stopped:
            await self._say_stop(socket)
        await self._close(socket, code)

    async def _say_stop(self, socket: CallerSocket) -> None:
        try:
            async with asyncio.timeout(self._limits.send_timeout_s):
                await socket.send(serialize_command(StopStream(StreamId(self.stream_id))))
        except (CallerGone, TimeoutError):
            return

    async def _close(self, socket: CallerSocket, code: int) -> None:
        try:
            async with asyncio.timeout(self._limits.send_timeout_s):
                await socket.close(code)
        except CallerGone:
            return
        except TimeoutError:
            socket.abort()
