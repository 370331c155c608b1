"""The caller's side of a call: the sockets of the telephony cloud, one after another.

A caller has one socket at a time; a newer one takes the place of the one before. What is read
goes to whoever carries the call; a socket that takes nothing, or brings nothing, is cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from services.gateway.media.milestones import Milestones
from services.gateway.media.relay import is_stop
from services.gateway.media.short_way import ToCaller
from services.gateway.media.tally import Tally
from services.gateway.wire.frame_socket import Listener
from shared.metrics.catalogue import GatewayMetrics
from shared.protocol.call import CallId, StreamId
from shared.protocol.telephony import StopStream, serialize_command
from shared.protocol.worker import LinkClose
from shared.runtime.clock import Clock

_log = structlog.get_logger(__name__)
_ABNORMAL = 1006
_INTERNAL_ERROR = 1011


class CallerGone(Exception):
    """The caller's socket is closed before it was open."""


class CallerSocket(Protocol):
    """The telephony cloud's socket, as a bridge sees it. What it is sent is bounded in time."""

    def listen(self, listener: Listener) -> None:
        """Tell somebody of what comes, from what has come already on."""
        ...

    def send_text(self, text: str) -> None:
        """Send a text frame; nothing happens on a closed socket."""
        ...

    def write_frames(self, frames: bytes) -> None:
        """Send whole frames as a server writes them; nothing happens on a closed socket."""
        ...

    def close(self, code: int) -> None:
        """Close; does nothing on a closed socket."""
        ...


class CallerDoor(Protocol):
    """A caller that asks to come in."""

    async def accept(self) -> CallerSocket:
        """Complete the upgrade. Raises CallerGone."""
        ...


class CallerSide:
    """A call's present socket, if there is one, and what was said on it and on those before.

    `on_writable` hears whether the present socket takes what it is sent; True when there is none,
    as what is sent to nobody is dropped. `last_frame_s` is when the present socket brought its last
    frame, or came; `short_way` is that of the worker's frames.
    """

    def __init__(
        self,
        call_id: CallId,
        idle_s: float,
        metrics: GatewayMetrics,
        clock: Clock,
        on_writable: Callable[[bool], None],
        milestones: Milestones,
    ) -> None:
        self._call_id = call_id
        self._idle_s = idle_s
        self._metrics = metrics
        self._passed_on = Tally(metrics.relayed_frames.labels(to="caller").inc)
        self.short_way = ToCaller(self._passed_on)
        self._clock = clock
        self._on_writable = on_writable
        self._milestones = milestones
        self._socket: CallerSocket | None = None
        self._left = asyncio.Event()
        self.last_frame_s = clock.now_s()
        self.stream_id = ""
        self.has_heard = False
        self.has_stopped = False

    @property
    def is_here(self) -> bool:
        """Whether a socket is open."""
        return self._socket is not None

    def take(self, socket: CallerSocket) -> None:
        """Carry a socket from now on; an earlier one is closed."""
        earlier, self._socket = self._socket, socket
        self.short_way.write = socket.write_frames if self.has_heard else None
        self._left.clear()
        self.last_frame_s = self._clock.now_s()
        self._on_writable(True)
        if earlier is not None:
            earlier.close(LinkClose.SUPERSEDED)

    def leave(self, socket: CallerSocket) -> bool:
        """Forget a socket that has closed; False when a newer one has taken its place."""
        if self._socket is not socket:
            return False
        self._socket = self.short_way.write = None
        self._on_writable(True)
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
            quiet_at_s = self.last_frame_s + silent_s
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
        self,
        socket: CallerSocket,
        on_message: Callable[[str | bytes, float], None],
        short_way: Callable[[bytes], int],
    ) -> int:
        """Hand on what a socket brings, with the time it came, until it closes; return its code.

        One that brings nothing for too long is closed, and counts as broken.
        """
        loop = asyncio.get_running_loop()
        closed: asyncio.Future[int] = loop.create_future()
        now_s = self._clock.now_s
        look: asyncio.TimerHandle

        def on_frame(message: str | bytes) -> None:
            came_s = self.last_frame_s = now_s()
            on_message(message, came_s)

        def on_closed(code: int) -> None:
            if not closed.done():
                closed.set_result(code)

        def on_writable(is_writable: bool) -> None:
            if self._socket is socket:
                self._on_writable(is_writable)

        def on_look() -> None:
            nonlocal look
            left_s = self.last_frame_s + self._idle_s - now_s()
            if left_s > 0:
                look = loop.call_later(left_s, on_look)
                return
            _log.warning("caller_silent", call_id=self._call_id)
            on_closed(_ABNORMAL)
            socket.close(_INTERNAL_ERROR)

        look = loop.call_later(self._idle_s, on_look)
        socket.listen(Listener(on_frame, on_closed, on_writable, self._on_stuck, short_way))
        try:
            return await closed
        finally:
            look.cancel()

    def _on_stuck(self) -> None:
        self._metrics.send_timeouts.labels(to="caller").inc()
        _log.warning("caller_does_not_read", call_id=self._call_id)

    def send(self, message: str | bytes) -> None:
        """Pass a worker's frame on; it is dropped and counted when nobody is here to take it."""
        socket = self._socket
        if not isinstance(message, str):
            return self._drop("binary")
        if socket is None:
            return self._drop("no_caller")
        if not self.has_heard:
            self.has_heard = True
            self.short_way.write = socket.write_frames
            self._milestones.first_sound_s = self._milestones.first_sound_s or self._clock.now_s()
        if is_stop(message):
            self.has_stopped = True
        socket.send_text(message)
        self._passed_on.add()

    def _drop(self, reason: str) -> None:
        self._metrics.dropped_frames.labels(reason=reason).inc()
        self._milestones.dropped[reason] += 1

    def flush_counts(self) -> None:
        """Have the counters say what they should."""
        self._passed_on.flush()

    def close(self, code: int, *, with_stop: bool = False) -> None:
        """Close the socket, if there is one, after `stop` where that is wanted and not yet said."""
        socket = self._socket
        if socket is None:
            return
        if with_stop and self.stream_id and not self.has_stopped:
            socket.send_text(serialize_command(StopStream(StreamId(self.stream_id))))
        socket.close(code)
