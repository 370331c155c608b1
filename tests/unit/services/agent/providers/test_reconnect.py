from __future__ import annotations

import asyncio

from services.agent.providers.errors import FailureCause, ProviderError, ProviderFailed
from services.agent.providers.reconnect import PAUSES_S, stay_connected
from tests.support.virtual_loop import in_virtual_time

CUT = ProviderFailed("fake", "the connection was lost", FailureCause.CUT)


class Socket:
    """Lives `seconds` each time, so often, and is then refused for good."""

    def __init__(self, seconds: float, times: int = 99) -> None:
        self.seconds = seconds
        self.times = times
        self.opened = 0
        self.losses: list[ProviderError] = []

    async def connect(self) -> ProviderError:
        self.opened += 1
        await asyncio.sleep(self.seconds)
        return CUT if self.opened <= self.times else ProviderError("fake", "refused")

    async def stay(self, *, has_progressed: bool = True) -> ProviderError:
        return await stay_connected(
            self.connect, has_progressed=lambda: has_progressed, on_lost=self.losses.append
        )


@in_virtual_time
async def test_a_socket_that_is_lost_at_once_is_given_up_whatever_it_told() -> None:
    # It was opened anew for as long as the call lasted, five times a second.
    socket = Socket(0.3)
    assert await socket.stay() is CUT
    assert socket.opened == len(PAUSES_S) + 1
    assert socket.losses == [CUT] * len(PAUSES_S)


@in_virtual_time
async def test_one_that_is_lost_now_and_then_is_opened_each_time() -> None:
    socket = Socket(5.0, times=20)
    assert (await socket.stay()).detail == "refused"
    assert socket.opened == 21


@in_virtual_time
async def test_one_that_never_tells_anything_is_given_up() -> None:
    socket = Socket(5.0)
    await socket.stay(has_progressed=False)
    assert socket.opened == len(PAUSES_S) + 1
