"""services.gateway.workers.patience: the usual time, and more only where nobody else is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from services.gateway.workers.patience import patience
from tests.support.virtual_loop import in_virtual_time


async def gave_up_after(usual_s: float, more_s: float, is_there: Callable[[], bool]) -> float:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    with pytest.raises(TimeoutError):
        async with patience(usual_s, began_s + more_s, is_there):
            await asyncio.sleep(60)
    return round(loop.time() - began_s, 2)


@in_virtual_time
async def test_with_somebody_else_there_it_ends_at_the_usual_time() -> None:
    assert await gave_up_after(1.0, 3.0, lambda: True) == 1.0
    assert await gave_up_after(1.0, 0.0, lambda: True) == 1.0


@in_virtual_time
async def test_with_nobody_else_there_it_ends_later_and_never_before_the_usual_time() -> None:
    assert await gave_up_after(1.0, 3.0, lambda: False) == 3.0
    assert await gave_up_after(1.0, 0.5, lambda: False) == 1.0


@in_virtual_time
async def test_who_comes_meanwhile_ends_it() -> None:
    loop = asyncio.get_running_loop()
    until_s = loop.time() + 1.7
    assert await gave_up_after(1.0, 3.0, lambda: loop.time() >= until_s) == 1.8


@in_virtual_time
async def test_what_is_done_in_time_asks_nobody_and_leaves_nothing_behind() -> None:
    asked: list[float] = []

    def is_there() -> bool:
        asked.append(asyncio.get_running_loop().time())
        return False

    async with patience(1.0, asyncio.get_running_loop().time() + 3.0, is_there):
        await asyncio.sleep(0.5)
    await asyncio.sleep(5)
    assert asked == []
    async with patience(1.0, asyncio.get_running_loop().time() + 3.0, is_there):
        await asyncio.sleep(1.5)
    await asyncio.sleep(5)
    assert len(asked) == 3
