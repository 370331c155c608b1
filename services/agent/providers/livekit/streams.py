"""Reading LiveKit's streams with a bound, and ending them for certain."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

_log = structlog.get_logger(__name__)
_CLOSE_S = 2.0


async def next_of(stream: Any, timeout_s: float) -> Any:
    """Return the next item of a stream, None at its end.

    Raises:
        TimeoutError: none came within the bound.
        Exception: whatever the plugin raises.
    """
    async with asyncio.timeout(timeout_s):
        try:
            return await stream.__anext__()
        except StopAsyncIteration:
            return None


async def end_stream(stream: Any) -> None:
    """Stop the work behind a stream, bounded; what goes wrong by now concerns nobody."""
    try:
        async with asyncio.timeout(_CLOSE_S):
            await stream.aclose()
    except Exception as exc:  # noqa: BLE001 - plugins raise anything, and the stream is done with
        _log.debug("livekit_stream_close", error=type(exc).__name__)
