from __future__ import annotations

from typing import Any

import pytest

from services.agent.wire.link import Link, LinkHandler, Refused


class Closed:
    """A transport that broke a moment ago: who writes to it gets uvloop's error."""

    def set_write_buffer_limits(self, **_: Any) -> None: ...

    def is_closing(self) -> bool:
        return True

    def abort(self) -> None: ...

    def write(self, _: bytes) -> None:
        raise RuntimeError("the handler is closed")


def _nobody(*_: object) -> LinkHandler:
    raise Refused(503, "nobody")


@pytest.mark.parametrize("code", [1000, 4002])
async def test_a_link_whose_connection_just_broke_can_be_closed(code: int) -> None:
    link = Link(_nobody, on_malformed=lambda: None)
    link.connection_made(Closed())  # type: ignore[arg-type]  # what of a transport is asked
    link.data_received(
        b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    link.close(code)
    link.send_text("late")
    link.connection_lost(None)
