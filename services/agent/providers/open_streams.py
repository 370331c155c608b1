"""The ears a transcriber has open, to be closed with it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from services.agent.providers.base import TranscriberStream
from services.agent.providers.errors import ProviderUnavailable

StreamT = TypeVar("StreamT", bound=TranscriberStream)


class OpenStreams(Generic[StreamT]):
    """Opens streams until it is closed, and then closes those that somebody still holds.

    Args:
        provider: named in the error.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._streams: weakref.WeakSet[StreamT] = weakref.WeakSet()
        self._is_open = True

    def open(self, make: Callable[[], StreamT]) -> StreamT:
        """Return a new stream.

        Raises:
            ProviderUnavailable: closed.
        """
        if not self._is_open:
            raise ProviderUnavailable(self._provider, "closed")
        stream = make()
        self._streams.add(stream)
        return stream

    async def aclose(self) -> None:
        """Close all streams; may be called twice."""
        self._is_open = False
        for stream in tuple(self._streams):
            await stream.aclose()
