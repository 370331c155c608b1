from __future__ import annotations

import asyncio

from services.agent.providers.chain.asking import CLOSE_S, close_quietly
from services.agent.providers.errors import ProviderFailed
from tests.support.virtual_loop import in_virtual_time


class Closing:
    def __init__(self, error: Exception | None, *, is_stuck: bool = False) -> None:
        self.error = error
        self.is_stuck = is_stuck
        self.calls = 0

    async def aclose(self) -> None:
        self.calls += 1
        if self.is_stuck:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error


@in_virtual_time
async def test_what_a_stream_says_to_its_end_matters_to_nobody() -> None:
    for error in (None, ProviderFailed("x", "already gone"), ConnectionResetError()):
        closing = Closing(error)
        await close_quietly(closing)
        assert closing.calls == 1
    await close_quietly(object())


@in_virtual_time
async def test_a_stream_that_does_not_close_is_not_waited_for_for_ever() -> None:
    began_s = asyncio.get_running_loop().time()
    await close_quietly(Closing(None, is_stuck=True))
    assert asyncio.get_running_loop().time() - began_s == CLOSE_S
