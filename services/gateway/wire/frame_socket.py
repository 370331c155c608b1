"""An upgraded WebSocket for the relay: messages go from one socket to the other in one callback.

Whoever listens is called from within the read that completed a message, and what it sends is
written from there: no task, no queue and no timer for a frame. What remains of those stands at
the edges and costs nothing while all goes well:

- a peer that does not read makes its transport's buffer grow past a mark: the listener hears it,
  and when it lasts `send_s` the connection is cut;
- a read may bring a quarter of a megabyte, and thousands of tiny frames in it would hold the loop
  and every other call with it: beyond a slice's size it is parsed slice by slice, the loop in
  between, and nothing more is read meanwhile. A media frame has 350 bytes, a burst of them a few
  thousand;
- messages that come before anybody listens are kept, and soon nothing more is read.

Both ends of a call are of this class: the caller's, where we are the server, and the worker's,
where we are the client. The opening handshake is others' work.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from services.gateway.wire.frames import (
    ABNORMAL,
    BINARY,
    CLOSE,
    INVALID_DATA,
    PING,
    PONG,
    TEXT,
    FrameReader,
    Unmask,
    close_payload,
    frame_header,
    read_close,
)

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiled part on this machine
    from websockets.utils import apply_mask

unmask: Unmask = apply_mask

_MOST_HELD = 16


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told what happens on a socket. None of these may block.

    Attributes:
        on_message: text as str, binary as bytes.
        on_closed: called once, with the close code; nothing follows. Closing it oneself counts.
        on_writable: whether the peer takes what it is sent has changed.
        on_stuck: it took nothing for too long; the socket is cut after this.
        short_way: is given each small read that begins with a frame, while the socket is open, and
            returns how much of it it has dealt with: whole frames. What is left comes as messages.
    """

    on_message: Callable[[str | bytes], None]
    on_closed: Callable[[int], None]
    on_writable: Callable[[bool], None]
    on_stuck: Callable[[], None]
    short_way: Callable[[bytes], int] | None = None


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Bounds of one socket.

    Attributes:
        message_max_bytes: a longer message closes the socket with 1009.
        send_s: as long may the peer leave unread what it is sent.
        close_s: of a closing handshake.
        slice_bytes: as much is parsed in one go.
    """

    message_max_bytes: int
    send_s: float
    close_s: float
    slice_bytes: int


class _State(Enum):
    OPEN = 1
    CLOSING = 2  # a close frame is sent
    CLOSED = 3


class FrameSocket(asyncio.Protocol):
    """Takes a transport over after the upgrade.

    Args:
        transport: upgraded; its protocol is replaced by this.
        limits: see there.
        is_server: whether the other side is the client, which masks.
        early: what was read behind the handshake.
        on_lost: called once the connection is gone, with what the transport says.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        limits: SocketLimits,
        *,
        is_server: bool,
        early: bytes = b"",
        on_lost: Callable[[Exception | None], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._write = transport.write
        self._limits = limits
        self._slice_bytes = limits.slice_bytes
        self._is_server = is_server
        self._on_lost = on_lost
        self._reader = FrameReader(
            is_masked=is_server, max_bytes=limits.message_max_bytes, unmask=unmask
        )
        self._state = _State.OPEN
        self._short_bytes = min(limits.slice_bytes, limits.message_max_bytes)
        self._short_way: Callable[[bytes], int] | None = None
        self._is_midway = False  # what is read next does not begin with a frame
        self._slices: deque[bytes] = deque()
        self._is_slicing = False
        self._is_paused = False
        self._is_reading = True
        self._listener: Listener | None = None
        self._held: list[str | bytes] = []
        self._stuck: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._lost = asyncio.Event()
        self.is_writable = True
        self.close_code: int | None = None
        self.heard_s = self._loop.time()
        """When anything was last read, by the loop's clock."""
        if transport.is_closing():
            # It broke while it was handed over: whoever had it is told, and nobody else.
            self._state, self.close_code = _State.CLOSED, ABNORMAL
            self._lost.set()
            return
        transport.set_protocol(self)
        transport.resume_reading()
        if early:
            self.data_received(early)

    # --- for the owner --------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether no close was sent or seen yet."""
        return self._state is _State.OPEN

    @property
    def is_reading(self) -> bool:
        """Whether what the peer sends is being read now."""
        return self._is_reading

    def listen(self, listener: Listener) -> None:
        """Tell somebody of all that happens, from what is kept on."""
        self._listener = listener
        held, self._held = self._held, []
        for message in held:
            listener.on_message(message)
        if self.close_code is not None:
            listener.on_closed(self.close_code)
            return
        self._short_way = listener.short_way
        if not self.is_writable:
            listener.on_writable(False)
        self._read_or_not()

    def send_text(self, text: str) -> None:
        """Write a text message at once; does nothing once the socket closes."""
        if self._state is _State.OPEN:
            data = text.encode()
            self._write(frame_header(TEXT, len(data), is_masked=not self._is_server) + data)

    def write_frames(self, frames: bytes) -> None:
        """Write whole frames as they are; does nothing once the socket closes."""
        if self._state is _State.OPEN:
            self._write(frames)

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._send_control(PING, b"")

    def pause_reading(self) -> None:
        """Let what the peer sends wait in the kernel, and the peer with it."""
        self._is_paused = True
        self._read_or_not()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._is_paused = False
        self._read_or_not()

    def close(self, code: int) -> None:
        """Say goodbye; the connection is gone within `close_s`. Does nothing on a closed socket."""
        if self._state is _State.OPEN:
            self._say_close(close_payload(code))
            self._end(code)

    def abort(self) -> None:
        """Cut the connection, with whatever waits in it."""
        if self._state is not _State.CLOSED:
            self._transport.abort()
        self._end(ABNORMAL)

    async def wait_lost(self) -> None:
        """Wait until the connection is gone; after a close that is bounded."""
        await self._lost.wait()

    # --- what the transport says ----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse a small read at once, a large one slice by slice."""
        self.heard_s = self._loop.time()
        size = len(data)
        if self._short_way is not None and not self._is_midway and size <= self._short_bytes:
            taken = self._short_way(data)
            if taken == size:
                return
            data = data[taken:]
        if size <= self._slice_bytes and not self._slices:
            self._take(data)
            return
        size = self._slice_bytes
        self._slices.extend(data[at : at + size] for at in range(0, len(data), size))
        self._is_midway = True
        # No more is read until these are parsed: that bounds what waits here.
        self._read_or_not()

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        self.is_writable = False
        self._stuck = self._loop.call_later(self._limits.send_s, self._on_stuck)
        if self._listener is not None:
            self._listener.on_writable(False)

    def resume_writing(self) -> None:
        """It does again."""
        self.is_writable = True
        if self._stuck is not None:
            self._stuck.cancel()
        if self._listener is not None:
            self._listener.on_writable(True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing comes and goes any more."""
        self._slices.clear()
        for timer in (self._stuck, self._closing):
            if timer is not None:
                timer.cancel()
        self._end(ABNORMAL)
        self._state = _State.CLOSED
        self._listener = None
        self._lost.set()
        if self._on_lost is not None:
            self._on_lost(exc)

    # --- within ---------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        reader = self._reader
        if reader.error is not None:
            return  # what follows a fault means nothing; it is read until the peer closes
        for opcode, payload in reader.feed(data):
            if opcode == TEXT:
                self._on_text(payload)
            else:
                self._on_other(opcode, payload)
        self._is_midway = reader.is_midway or bool(self._slices)
        if reader.error is not None:
            self._fail(reader.error.code)

    def _on_text(self, payload: bytes) -> None:
        if self._state is not _State.OPEN:
            return
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            self._fail(INVALID_DATA)
            return
        if self._listener is not None:
            self._listener.on_message(text)
        else:
            self._hold(text)

    def _on_other(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            self._on_close_frame(payload)
        elif opcode == PING:
            # Who does not read its pongs gets none: they would pile up here.
            if self.is_writable:
                self._send_control(PONG, payload)
        elif opcode == BINARY and self._state is _State.OPEN:
            if self._listener is not None:
                self._listener.on_message(payload)
            else:
                self._hold(payload)

    def _hold(self, message: str | bytes) -> None:
        self._held.append(message)
        self._read_or_not()

    def _on_close_frame(self, payload: bytes) -> None:
        was_open = self._state is _State.OPEN
        if was_open:
            self._say_close(payload[:2])
        if self._is_server:
            # The server closes the connection, the client waits for that.
            self._transport.close()
        if was_open:
            self._end(read_close(payload))

    def _fail(self, code: int) -> None:
        if self._state is _State.OPEN:
            self._say_close(close_payload(code))
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._end(code)

    def _say_close(self, payload: bytes) -> None:
        self._send_control(CLOSE, payload)
        self._state = _State.CLOSING
        self._closing = self._loop.call_later(self._limits.close_s, self._transport.abort)
        self._is_paused = False
        self._read_or_not()

    def _send_control(self, opcode: int, payload: bytes) -> None:
        if self._state is _State.OPEN:
            header = frame_header(opcode, len(payload), is_masked=not self._is_server)
            self._write(header + payload)

    def _end(self, code: int) -> None:
        """Tell that it is over, once."""
        self._short_way = None
        if self.close_code is not None:
            return
        self.close_code = code
        if self._state is _State.OPEN:
            self._state = _State.CLOSING
        if self._listener is not None:
            self._listener.on_closed(code)

    def _on_stuck(self) -> None:
        if self._listener is not None and self._state is _State.OPEN:
            self._listener.on_stuck()
        self.abort()

    def _read_or_not(self) -> None:
        """Read when nobody is against it; parse what waits when nobody but that is."""
        is_full = self._listener is None and len(self._held) >= _MOST_HELD
        is_wanted = not self._is_paused and not is_full
        if is_wanted and self._slices and not self._is_slicing:
            self._is_slicing = True
            self._loop.call_soon(self._take_slice)
        is_reading = is_wanted and not self._slices
        if is_reading is not self._is_reading and not self._transport.is_closing():
            self._is_reading = is_reading
            if is_reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _take_slice(self) -> None:
        self._is_slicing = False
        if self._slices and not self._is_paused:
            self._take(self._slices.popleft())
        self._read_or_not()
