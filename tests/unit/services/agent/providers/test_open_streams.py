"""A closed transcriber opens nothing more, and leaves nothing open."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator

import pytest

from services.agent.providers.base import Expectation, Pcm, TranscriberEvent
from services.agent.providers.errors import ProviderUnavailable
from services.agent.providers.open_streams import OpenStreams


class Stream:
    """A stream that counts how often it was closed."""

    def __init__(self) -> None:
        self.times_closed = 0

    def push(self, pcm: Pcm) -> None:
        """Takes nothing."""

    def begin(self) -> None:
        """Does nothing."""

    def end(self) -> None:
        """Does nothing."""

    def expect(self, expectation: Expectation) -> None:
        """Does nothing."""

    async def events(self) -> AsyncIterator[TranscriberEvent]:
        """There are none."""
        return
        yield

    async def aclose(self) -> None:
        """Is counted."""
        self.times_closed += 1


async def test_what_is_open_is_closed_with_the_transcriber() -> None:
    streams: OpenStreams[Stream] = OpenStreams("vendor")
    first, second = streams.open(Stream), streams.open(Stream)
    await streams.aclose()
    assert (first.times_closed, second.times_closed) == (1, 1)


async def test_nothing_is_opened_after_the_close() -> None:
    streams: OpenStreams[Stream] = OpenStreams("vendor")
    await streams.aclose()
    with pytest.raises(ProviderUnavailable, match="vendor: closed"):
        streams.open(Stream)


async def test_a_stream_that_nobody_holds_is_forgotten() -> None:
    streams: OpenStreams[Stream] = OpenStreams("vendor")
    closed: list[int] = []

    class Telling(Stream):
        async def aclose(self) -> None:
            closed.append(1)

    streams.open(Telling)
    gc.collect()
    await streams.aclose()
    assert closed == []
