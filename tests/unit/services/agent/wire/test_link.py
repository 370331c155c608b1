from __future__ import annotations

from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from services.agent.wire.link import Link, LinkHandler, Refused

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Open:
    """A transport that takes all until it breaks; then writing to it is uvloop's error."""

    def __init__(self) -> None:
        self.written = b""
        self.is_broken = False

    def set_write_buffer_limits(self, **_: Any) -> None: ...

    def is_closing(self) -> bool:
        return self.is_broken

    def abort(self) -> None: ...

    def write(self, data: bytes) -> None:
        if self.is_broken:
            raise RuntimeError("the handler is closed")
        self.written += data


def _nobody(*_: object) -> LinkHandler:
    raise Refused(503, "nobody")


@pytest.mark.parametrize("code", [1000, 4002])
async def test_a_link_whose_connection_just_broke_can_be_closed(code: int) -> None:
    link = Link(_nobody, on_malformed=lambda: None)
    transport = Open()
    transport.is_broken = True
    link.connection_made(transport)  # type: ignore[arg-type]  # what of a transport is asked
    link.data_received(REQUEST)
    link.close(code)
    link.send_text("late")
    link.connection_lost(None)


class Listening:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_text(self, text: str) -> None:
        self.texts.append(text)

    def on_link_closed(self, link: Link, code: int) -> None: ...


def text(payload: str) -> bytes:
    return Frame(Opcode.TEXT, payload.encode()).serialize(mask=True)


def opened(*pieces: bytes) -> tuple[Link, Open, Listening]:
    """A link whose request came in these pieces."""
    transport, listening = Open(), Listening()
    link = Link(lambda *_: listening, on_malformed=lambda: None)
    link.connection_made(transport)  # type: ignore[arg-type]  # what of a transport is asked
    for piece in pieces:
        link.data_received(piece)
    return link, transport, listening


async def test_nothing_is_written_to_a_connection_that_broke_without_a_close() -> None:
    """A call that arrived while its link broke could not say so, and was held for ever."""
    link, transport, _ = opened(REQUEST)
    transport.is_broken = True
    link.connection_lost(ConnectionResetError())
    before = transport.written
    link.send_texts(["late", "later"])
    assert transport.written == before


@pytest.mark.parametrize("cut", [20, len(REQUEST) - 3, len(REQUEST) - 1, len(REQUEST)])
async def test_frames_come_out_whole_wherever_the_request_was_cut(cut: int) -> None:
    link, transport, listening = opened(REQUEST[:cut], REQUEST[cut:])
    frame = text("one and two")
    for piece in (frame[:3], frame[3:], text("three\r\n\r\n") + frame[:1], frame[1:]):
        link.data_received(piece)
    assert listening.texts == ["one and two", "three\r\n\r\n", "one and two"]
    link.connection_lost(None)
    assert b"101" in transport.written


async def test_a_frame_that_comes_with_the_request_keeps_the_next_ones_whole() -> None:
    frame = text("one and two")
    link, _, listening = opened(REQUEST + frame[:4], frame[4:7], frame[7:] + text("three"))
    assert listening.texts == ["one and two", "three"]
    link.connection_lost(None)


async def test_what_comes_after_our_close_is_nobodys() -> None:
    """The call may be on another link by then, which brings the same audio again."""
    link, _, listening = opened(REQUEST)
    link.data_received(text("before"))
    link.close(4002)
    link.data_received(text("after"))
    assert listening.texts == ["before"]
    link.connection_lost(None)
