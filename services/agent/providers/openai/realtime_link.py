"""One call's connection to the Realtime API: opened by the vendor's SDK, reopened once when lost.

    push ──▶ bounded outbox ──▶ writer ──▶ WebSocket ──▶ reader ──▶ on_event

Nothing that writes here waits. Audio that cannot be sent in time is dropped, oldest first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
    failure_of_status,
)
from services.agent.providers.openai.realtime_events import (
    MalformedEvent,
    ServerEvent,
    parse_event,
)
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
NAME = "openai"
_AUDIO_KEPT = 500  # frames of 20 ms: ten seconds
_CONTROL_KEPT = 500
_SEND_S = 5.0
_CLOSE_S = 1.0
_STEADY_S = 30.0


class Connection(Protocol):
    """What is used of the SDK's AsyncRealtimeConnection."""

    async def recv_bytes(self) -> bytes:
        """Return the next message."""
        ...

    async def send_raw(self, data: bytes | str) -> None:
        """Send a message."""
        ...

    async def close(self) -> None:
        """Close the socket."""
        ...


@dataclass(frozen=True, slots=True)
class LinkEvents:
    """Who is told what. All are called in the event loop and must not block.

    Attributes:
        on_event: each server event, in order.
        on_open: returns what has to be said first on a new connection.
        on_lost: the connection broke and is about to be reopened.
        on_dead: it is gone for good.
        on_dropped: frames of 20 ms that were dropped.
    """

    on_event: Callable[[ServerEvent], None]
    on_open: Callable[[], Sequence[str]]
    on_lost: Callable[[], None]
    on_dead: Callable[[ProviderError], None]
    on_dropped: Callable[[float], None]


class RealtimeLink:
    """Connects as soon as it is made.

    A connection that is lost is reopened once; when it is lost again within half a minute, or
    the server refuses it, the link is dead.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        events: LinkEvents,
        *,
        connect_s: float,
    ) -> None:
        self._connect = connect
        self._tell = events
        self._connect_s = connect_s
        self._outbox: deque[tuple[bool, str]] = deque()
        self._audio_waiting = 0
        self._has_work = asyncio.Event()
        self._is_open = asyncio.Event()
        self._death: ProviderError | None = None
        self._owner = TaskOwner(f"{NAME}:realtime", stop_timeout_s=2 * _CLOSE_S)
        self._owner.start(self._run(), name="run")

    # --- sending -----------------------------------------------------------------------------

    def send(self, text: str) -> None:
        """Have an event sent, in order."""
        if len(self._outbox) - self._audio_waiting >= _CONTROL_KEPT:
            self._die(ProviderFailed(NAME, "the server does not read", FailureCause.TIMEOUT))
        if self._death is None:
            self._outbox.append((False, text))
            self._has_work.set()

    def send_audio(self, text: str) -> None:
        """Have 20 ms of audio sent, in order; may be dropped."""
        if self._death is not None:
            return
        if self._audio_waiting >= _AUDIO_KEPT:
            oldest = next(entry for entry in self._outbox if entry[0])
            self._outbox.remove(oldest)
            self._audio_waiting -= 1
            self._tell.on_dropped(1.0)
        self._outbox.append((True, text))
        self._audio_waiting += 1
        self._has_work.set()

    async def ready(self) -> None:
        """Wait until the connection is open, bounded.

        Raises:
            ProviderError: it is dead, or does not open in time.
        """
        try:
            # The first connection and another one after it may both take their time.
            async with asyncio.timeout(2 * self._connect_s):
                await self._is_open.wait()
        except TimeoutError:
            raise ProviderTimeout(NAME, "no connection in time") from None
        if self._death is not None:
            raise self._death

    # --- life --------------------------------------------------------------------------------

    def refuse(self, error: ProviderError) -> None:
        """Give the connection up: the server will not have what it was told."""
        self._die(error)

    async def aclose(self) -> None:
        """Close the connection, bounded; may be called twice."""
        await self._owner.stop()

    def _die(self, error: ProviderError) -> None:
        if self._death is not None:
            return
        self._death = error
        self._outbox.clear()
        self._audio_waiting = 0
        self._is_open.set()  # whoever waits is to learn of it
        self._tell.on_dead(error)

    async def _run(self) -> None:
        failed_s = -_STEADY_S
        loop = asyncio.get_running_loop()
        while self._death is None:
            error = await self._serve()
            now_s = loop.time()
            is_steady = now_s - failed_s >= _STEADY_S
            failed_s = now_s
            if isinstance(error, ProviderUnavailable) or not is_steady:
                self._die(error)
                return
            _log.info("realtime_reconnect", cause=error.cause)
            self._is_open.clear()
            self._outbox.clear()  # `on_open` tells again what matters
            self._audio_waiting = 0
            self._tell.on_lost()

    async def _serve(self) -> ProviderError:
        connection: Connection | None = None
        writer: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(self._connect_s):
                connection = await self._connect()
                for text in self._tell.on_open():
                    await connection.send_raw(text)
            self._is_open.set()
            writer = self._owner.start(self._write(connection), name="write")
            while self._death is None:
                self._read(await connection.recv_bytes())
            return self._death
        except Exception as exc:  # noqa: BLE001 - whatever the SDK raises is translated
            return _failure_of(exc)
        finally:
            if writer is not None:
                writer.cancel()
            if connection is not None:
                await _close(connection)

    def _read(self, data: bytes) -> None:
        try:
            event = parse_event(data)
        except MalformedEvent as exc:
            _log.warning("realtime_event_malformed", error=str(exc))
            return
        self._tell.on_event(event)

    async def _write(self, connection: Connection) -> None:
        while True:
            while not self._outbox:
                self._has_work.clear()
                await self._has_work.wait()
            is_audio, text = self._outbox.popleft()
            self._audio_waiting -= is_audio
            try:
                async with asyncio.timeout(_SEND_S):
                    await connection.send_raw(text)
            except (ConnectionClosed, TimeoutError):
                await _close(connection)  # the reader learns of it so
                return


async def _close(connection: Connection) -> None:
    try:
        async with asyncio.timeout(_CLOSE_S):
            await connection.close()
    except Exception as exc:  # noqa: BLE001 - it is being done with
        _log.debug("realtime_close", error=type(exc).__name__)


def _failure_of(error: Exception) -> ProviderError:
    if isinstance(error, ProviderError):
        return error
    if isinstance(error, InvalidStatus):
        return failure_of_status(NAME, error.response.status_code, "")
    if isinstance(error, TimeoutError):
        return ProviderTimeout(NAME, "no connection in time")
    if isinstance(error, ConnectionClosed):
        return ProviderFailed(NAME, "the connection was cut", FailureCause.CUT)
    if isinstance(error, InvalidHandshake):
        return ProviderFailed(NAME, type(error).__name__, FailureCause.GARBAGE)
    if isinstance(error, OSError):
        return ProviderFailed(NAME, "no connection", FailureCause.UNREACHABLE)
    return ProviderFailed(NAME, type(error).__name__, FailureCause.BROKEN)
