"""services.gateway.wire.frame_socket, on a transport that only remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from websockets.utils import apply_mask

from services.gateway.wire.frame_socket import FrameSocket, Listener, SocketLimits
from services.gateway.wire.frames import BINARY, CLOSE, PING, PONG, TEXT, FrameReader, frame_header

LIMITS = SocketLimits(message_max_bytes=1000, send_s=0.05, close_s=0.05, slice_bytes=64)


class FakeTransport:
    """Keeps what is written; `is_read` is whether the peer's bytes are wanted."""

    def __init__(self) -> None:
        self.written = b""
        self.is_read = True
        self.is_ended = False
        self.is_cut = False
        self.is_half_closed = False
        self.protocol: Any = None

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def is_closing(self) -> bool:
        return self.is_ended

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_half_closed = True

    def close(self) -> None:
        self._end(None)

    def abort(self) -> None:
        self.is_cut = True
        self._end(None)

    def _end(self, exc: Exception | None) -> None:
        if not self.is_ended:
            self.is_ended = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, exc)


class Heard:
    """A listener that writes all down."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.codes: list[int] = []
        self.writable: list[bool] = []
        self.stuck = 0
        self.on_message: Callable[[str | bytes], None] = self.messages.append

    def listener(self) -> Listener:
        return Listener(
            lambda message: self.on_message(message),
            self.codes.append,
            self.writable.append,
            self._on_stuck,
        )

    def _on_stuck(self) -> None:
        self.stuck += 1


class Side:
    """A socket with its transport and listener; `brings` is what the peer writes."""

    def __init__(
        self, *, is_server: bool = True, early: bytes = b"", is_listened_to: bool = True
    ) -> None:
        self.transport = FakeTransport()
        self.is_server = is_server
        self.lost: list[Exception | None] = []
        transport: Any = self.transport
        self.socket = FrameSocket(
            transport, LIMITS, is_server=is_server, early=early, on_lost=self.lost.append
        )
        self.heard = Heard()
        if is_listened_to:
            self.socket.listen(self.heard.listener())

    def brings(self, *frames: tuple[int, bytes]) -> None:
        self.transport.protocol.data_received(self.framed(*frames))

    def framed(self, *frames: tuple[int, bytes]) -> bytes:
        return b"".join(
            frame_header(opcode, len(payload), is_masked=self.is_server) + payload
            for opcode, payload in frames
        )

    def told(self) -> list[tuple[int, bytes]]:
        """What the peer was told."""
        reader = FrameReader(is_masked=not self.is_server, max_bytes=10_000, unmask=apply_mask)
        return reader.feed(self.transport.written)


BYE = (CLOSE, b"\x03\xe8")


@pytest.mark.parametrize("is_server", [True, False])
async def test_messages_pass_both_ways(is_server: bool) -> None:
    side = Side(is_server=is_server)
    side.brings((TEXT, "é".encode()), (BINARY, b"\x00"))
    side.socket.send_text("ü")
    assert side.heard.messages == ["é", b"\x00"]
    assert side.told() == [(TEXT, "ü".encode())]
    side.socket.abort()


async def test_what_came_before_anybody_listened_is_kept_and_soon_no_more_is_read() -> None:
    side = Side(early=b"\x81\x81\0\0\0\0a", is_listened_to=False)
    for _ in range(20):
        if side.transport.is_read:
            side.brings((TEXT, b"b"))
    assert not side.transport.is_read
    side.socket.listen(side.heard.listener())
    assert side.heard.messages == ["a", *("b" * 15)]
    assert side.transport.is_read
    side.brings((TEXT, b"c"))
    assert side.heard.messages[-1] == "c"
    side.socket.abort()


async def test_a_close_before_anybody_listened_is_told_after_what_came() -> None:
    side = Side(is_listened_to=False)
    side.brings((TEXT, b"a"), BYE)
    side.socket.listen(side.heard.listener())
    assert (side.heard.messages, side.heard.codes) == (["a"], [1000])


async def test_a_large_read_is_parsed_in_slices_with_the_loop_between() -> None:
    side = Side()
    turns = 0
    side.transport.protocol.data_received(side.framed(*[(TEXT, b"x")] * 100))
    assert len(side.heard.messages) == 0
    assert not side.transport.is_read
    while len(side.heard.messages) < 100:
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 10
    await asyncio.sleep(0)
    assert side.transport.is_read
    side.socket.abort()


async def test_paused_in_the_midst_of_a_large_read_the_rest_waits() -> None:
    side = Side()
    side.transport.protocol.data_received(side.framed(*[(TEXT, b"x")] * 100))
    await asyncio.sleep(0)
    side.socket.pause_reading()
    await asyncio.sleep(0)
    count = len(side.heard.messages)
    await asyncio.sleep(0.01)
    assert 0 < len(side.heard.messages) == count < 100
    assert not side.socket.is_reading
    side.socket.resume_reading()
    await asyncio.sleep(0.02)
    assert len(side.heard.messages) == 100
    assert side.transport.is_read
    side.socket.abort()


async def test_pings_are_answered_unless_the_peer_does_not_read() -> None:
    side = Side()
    side.brings((PING, b"1"), (PONG, b"unasked"))
    side.socket.pause_writing()
    side.brings((PING, b"2"))
    side.socket.resume_writing()
    side.socket.ping()
    assert side.told() == [(PONG, b"1"), (PING, b"")]
    assert side.heard.writable == [False, True]
    await asyncio.sleep(0.1)
    assert side.heard.stuck == 0
    side.socket.abort()


async def test_a_peer_that_takes_nothing_for_too_long_is_cut() -> None:
    side = Side()
    side.socket.pause_writing()
    await asyncio.sleep(0.1)
    assert (side.heard.stuck, side.heard.codes) == (1, [1006])
    assert side.transport.is_cut
    assert len(side.lost) == 1


async def test_who_listens_late_hears_that_the_peer_does_not_keep_up() -> None:
    side = Side(is_listened_to=False)
    side.socket.pause_writing()
    side.socket.listen(side.heard.listener())
    assert side.heard.writable == [False]
    side.socket.abort()


@pytest.mark.parametrize(("payload", "code"), [(b"\x03\xe8bye", 1000), (b"", 1005)])
async def test_a_close_is_echoed_and_the_server_ends_the_connection(
    payload: bytes, code: int
) -> None:
    side = Side()
    side.brings((CLOSE, payload), (TEXT, b"too late"))
    assert (side.heard.codes, side.heard.messages) == ([code], [])
    assert side.told() == [(CLOSE, payload[:2])]
    assert side.transport.is_ended
    await side.socket.wait_lost()
    assert not side.transport.is_cut


async def test_a_client_waits_for_the_server_to_end_the_connection_but_not_for_ever() -> None:
    side = Side(is_server=False)
    side.brings(BYE)
    assert side.heard.codes == [1000]
    assert not side.transport.is_ended
    await side.socket.wait_lost()
    assert side.transport.is_cut


async def test_closing_says_so_once_and_waits_for_the_echo() -> None:
    side = Side()
    side.socket.pause_reading()
    side.socket.close(4005)
    side.socket.close(1000)
    side.socket.send_text("too late")
    assert side.heard.codes == [4005]
    assert side.told() == [(CLOSE, b"\x0f\xa5")]
    assert side.transport.is_read
    side.brings((TEXT, b"crossing"), (CLOSE, b"\x0f\xa5"))
    await side.socket.wait_lost()
    assert (side.heard.messages, side.heard.codes) == ([], [4005])
    assert not side.transport.is_cut


async def test_a_peer_that_never_echoes_is_cut() -> None:
    side = Side()
    side.socket.close(1000)
    await side.socket.wait_lost()
    assert side.transport.is_cut
    side.socket.abort()


@pytest.mark.parametrize(
    ("written", "code"),
    [(b"\x81\xfe\x03\xe9", 1009), (b"\x83\x80\0\0\0\0", 1002), (b"\x81\x81\0\0\0\0\xff", 1007)],
)
async def test_what_breaks_the_protocol_is_told_why_and_nothing_more_is_looked_at(
    written: bytes, code: int
) -> None:
    side = Side()
    side.brings((TEXT, b"good"))
    side.transport.protocol.data_received(written)
    side.brings((TEXT, b"x"))
    assert (side.heard.messages, side.heard.codes) == (["good"], [code])
    assert side.told() == [(CLOSE, code.to_bytes(2, "big"))]
    assert side.transport.is_half_closed
    await side.socket.wait_lost()


async def test_a_connection_that_breaks_is_told_once() -> None:
    side = Side()
    side.transport.protocol.connection_lost(OSError())
    side.socket.close(1000)
    side.socket.abort()
    assert side.heard.codes == [1006]
    assert side.transport.written == b""
    await side.socket.wait_lost()


async def test_a_listener_may_close_from_within_a_message() -> None:
    side = Side()
    side.heard.on_message = lambda message: side.socket.close(1000)
    side.brings((TEXT, b"a"), (TEXT, b"b"))
    assert side.heard.codes == [1000]
    side.socket.abort()


async def test_a_connection_that_broke_while_it_was_handed_over_is_closed() -> None:
    transport: Any = FakeTransport()
    transport.is_ended = True
    socket = FrameSocket(transport, LIMITS, is_server=True)
    heard = Heard()
    socket.listen(heard.listener())
    assert heard.codes == [1006]
    await socket.wait_lost()
    socket.abort()
