"""Reading a body that is too long to be held: piece by piece, within bounds of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request
from starlette.requests import ClientDisconnect

from services.dialer.problems import Problem, Refused

CSV = "text/csv"
_THROWN_BYTES = 64 * 1024 * 1024
_THROWN_S = 3.0


@dataclass(frozen=True, slots=True)
class UploadBounds:
    """How large an upload may be, how long it may take in all and pause between two pieces."""

    max_bytes: int = 268_435_456
    timeout_s: float = 600.0
    pause_s: float = 30.0


async def upload_parts(request: Request, bounds: UploadBounds) -> AsyncIterator[bytes]:
    """Yield the body as it comes. The sender is held back as long as nobody asks for more.

    Raises:
        Refused: 413 when it is too large, declared or not, 408 when it takes too long, 400 when it
            breaks off; the connection is closed, with the rest of it unread.
    """
    request.state.has_body_left = True
    if _declared(request) > bounds.max_bytes:
        raise _too_large(bounds)
    deadline_s = asyncio.get_running_loop().time() + bounds.timeout_s
    read_bytes = 0
    while request.state.has_body_left:
        left_s = deadline_s - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(min(bounds.pause_s, left_s)):
                part = await _next_part(request)
        except TimeoutError as exc:
            request.state.has_body_left = False  # nothing comes, and nothing is waited for
            raise Refused(Problem.of("too-slow"), {"Connection": "close"}) from exc
        except ClientDisconnect as exc:
            raise Refused(Problem.of("upload-broken"), {"Connection": "close"}) from exc
        read_bytes += len(part)
        if read_bytes > bounds.max_bytes:
            raise _too_large(bounds)
        if part:
            yield part


async def _next_part(request: Request) -> bytes:
    """Read one piece, and note whether others follow: the stream of a request does not tell."""
    message = await request.receive()
    request.state.has_body_left = message.get("more_body", False)
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    part: bytes = message.get("body", b"")
    return part


async def throw_away(request: Request) -> None:
    """Read what is still sent of an upload, within bounds, before an answer that closes.

    A connection that is closed with data unread is reset, and its client loses the answer.
    """
    thrown_bytes = 0
    try:
        async with asyncio.timeout(_THROWN_S):
            while getattr(request.state, "has_body_left", False) and thrown_bytes < _THROWN_BYTES:
                thrown_bytes += len(await _next_part(request))
    except (TimeoutError, ClientDisconnect):
        return


def _declared(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared[:16]) if declared.isascii() and declared.isdigit() else 0


def _too_large(bounds: UploadBounds) -> Refused:
    detail = f"An upload is limited to {bounds.max_bytes} bytes."
    return Refused(Problem.of("too-large", detail), {"Connection": "close"})
