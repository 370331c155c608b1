"""The worker's end of a gateway's link: a WebSocket without a task or a queue of its own.

The Sans-I/O half of `websockets` does the protocol, but for plain text frames (text_frames.py);
this class moves bytes between it and an asyncio transport. A text frame reaches its call within the
callback that read it, and what is written goes straight to the transport, so that a clearAudio
can't wait behind anything of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, cast

import structlog
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.speedups import apply_mask

from services.agent.wire.text_frames import FrameSplitter, text_frame

MAX_FRAME_BYTES = 1 << 20
_WRITE_BUFFER_BYTES = 256 * 1024
_HEAD_END = b"\r\n\r\n"
_HANDSHAKE_S = 5.0
_CLOSE_S = 2.0

_log = structlog.get_logger(__name__)


class LinkHandler(Protocol):
    """Who a link's frames are for."""

    def on_text(self, text: str) -> None:
        """Take one text frame."""
        ...

    def on_link_closed(self, link: Link, code: int) -> None:
        """The link is gone; 1006 when it was never closed properly."""
        ...


class Refused(Exception):
    """A handshake is turned down before the upgrade."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


Admit = Callable[[Request, "Link"], LinkHandler]
"""Decides on a handshake: returns whom the frames are for, or raises Refused."""


class Link(asyncio.Protocol):
    """One connection.

    Args:
        admit: asked once, when the request has been read.
        on_malformed: called for each frame that is not text.
        on_slow: called each time the other side falls behind in reading.
        ping_interval_s: a link that has been quiet for two of these is given up.
    """

    def __init__(
        self,
        admit: Admit,
        *,
        on_malformed: Callable[[], None],
        on_slow: Callable[[], None] = lambda: None,
        ping_interval_s: float = 10.0,
    ) -> None:
        self._admit = admit
        self._on_malformed = on_malformed
        self._on_slow = on_slow
        self._ping_interval_s = ping_interval_s
        self._protocol = ServerProtocol(max_size=MAX_FRAME_BYTES)
        self._transport: asyncio.Transport | None = None
        self._handler: LinkHandler | None = None
        self._splitter: FrameSplitter | None = None
        self._head = b""
        self._has_closed = False
        self._fragments: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._heard_s = 0.0
        self._full_since_s: float | None = None
        self._is_text = False

    # --- transport ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; the handshake has to come in time."""
        # uvloop's transports are not asyncio's by inheritance.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self._timer = asyncio.get_running_loop().call_later(_HANDSHAKE_S, self.abort)

    def data_received(self, data: bytes) -> None:
        """Hand text to the call, and all else to the protocol, in the order it came."""
        self._heard_s = asyncio.get_running_loop().time()
        if self._splitter is None:
            is_handshake = self._protocol.state is State.CONNECTING
            self._protocol.receive_data(data)
            self._after_input()
            if is_handshake:
                self._on_head(data)
            return
        if (whole := self._splitter.whole(data)) is not None and self._is_well():
            self._on_text(whole)
            return
        for piece, is_text in self._splitter.push(data):
            if not is_text:
                self._protocol.receive_data(piece)
                self._after_input()
            elif self._is_well():
                self._on_text(piece)

    def _is_well(self) -> bool:
        """Whether nothing has come after which text counts no more."""
        return self._protocol.close_rcvd is None and self._protocol.parser_exc is None

    def _on_head(self, data: bytes) -> None:
        """Take the short way from the first frame on, where it is known where that begins."""
        self._head += data
        if self._protocol.state is State.CONNECTING:
            return
        head, self._head = self._head, b""
        # Only where the request ends with these bytes does a frame begin with the next.
        if self._handler is not None and head.find(_HEAD_END) == len(head) - len(_HEAD_END):
            self._splitter = FrameSplitter(MAX_FRAME_BYTES, apply_mask)

    def eof_received(self) -> bool:
        """Tell the protocol; the transport closes by itself."""
        self._protocol.receive_eof()
        self._after_input()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the handler, once."""
        if self._timer is not None:
            self._timer.cancel()
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.on_link_closed(self, self._protocol.close_code or 1006)

    def pause_writing(self) -> None:
        """Note since when the other side does not read fast enough."""
        self._full_since_s = asyncio.get_running_loop().time()
        self._on_slow()

    def resume_writing(self) -> None:
        """The other side has caught up."""
        self._full_since_s = None

    def _after_input(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._on_request(event)
            elif isinstance(event, Frame):
                self._on_frame(event)
        self._flush()
        if self._protocol.close_expected() and self._transport is not None:
            self._restart_timer(_CLOSE_S, self.abort)

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()

    # --- protocol ----------------------------------------------------------------------------

    def _on_request(self, request: Request) -> None:
        response = self._protocol.accept(request)
        if response.status_code == 101:
            try:
                self._handler = self._admit(request, self)
            except Refused as exc:
                response = self._protocol.reject(exc.status, exc.reason)
        self._protocol.send_response(response)
        if self._handler is not None:
            self._restart_timer(self._ping_interval_s, self._ping)

    def _on_frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_text = frame.opcode is Opcode.TEXT
            self._fragments = [bytes(frame.data)]
        elif frame.opcode is Opcode.CONT:
            self._fragments.append(bytes(frame.data))
        else:
            return
        if self._splitter is not None:
            self._splitter.is_plain = frame.fin
        if not frame.fin:
            return
        data, self._fragments = b"".join(self._fragments), []
        if self._is_text:
            self._on_text(data)
        elif self._handler is not None:
            self._on_malformed()

    def _on_text(self, data: bytes) -> None:
        if self._handler is None or self._has_closed:
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._on_malformed()
            return
        self._handler.on_text(text)

    def _restart_timer(self, delay_s: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, callback)

    def _ping(self) -> None:
        quiet_s = asyncio.get_running_loop().time() - self._heard_s
        if quiet_s > 2 * self._ping_interval_s:
            _log.warning("link_silent", quiet_s=round(quiet_s, 1))
            self.abort()
            return
        if self.is_open:
            self._protocol.send_ping(b"")
            self._flush()
        self._restart_timer(self._ping_interval_s, self._ping)

    # --- for the call ------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether text can be sent."""
        return self._protocol.state is State.OPEN

    def stuck_s(self) -> float:
        """How long the other side has not been reading, in seconds."""
        if self._full_since_s is None:
            return 0.0
        return asyncio.get_running_loop().time() - self._full_since_s

    def send_text(self, text: str) -> None:
        """Write one text frame; nothing happens on a link that is closing."""
        self.send_texts((text,))

    def send_texts(self, texts: Sequence[str]) -> None:
        """Write text frames, all in one go; nothing happens on a link that is closing."""
        transport = self._transport
        # Where the connection broke the protocol was told of no close.
        if self.is_open and transport is not None and not transport.is_closing():
            transport.write(b"".join([text_frame(text.encode()) for text in texts]))

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; the transport follows within two seconds.

        What the other side has sent and we have not read is for nobody any more: the call may be
        on another link already, which brings it again.
        """
        self._has_closed = True
        try:
            self._protocol.send_close(code, reason)
        except InvalidState:
            return
        self._flush()
        self._restart_timer(_CLOSE_S, self.abort)

    def abort(self) -> None:
        """Close the transport at once."""
        if self._transport is not None:
            self._transport.abort()
