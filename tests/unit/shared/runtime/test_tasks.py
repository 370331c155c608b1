from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.runtime.tasks import TaskOwner, closing


async def test_leaving_the_owner_cancels_what_still_runs() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    async with TaskOwner("o") as owner:
        task = owner.start(work(), name="w")
        await asyncio.sleep(0)
        assert len(owner) == 1
        assert task.get_name() == "o/w"
    assert cancelled.is_set()
    assert len(owner) == 0


async def test_failure_is_reported_and_leaves_the_others_alone() -> None:
    failures: list[tuple[str, str]] = []

    async def fail() -> None:
        raise ValueError("broken")

    async with TaskOwner("o", on_failure=lambda name, e: failures.append((name, str(e)))) as owner:
        other = owner.start(asyncio.sleep(60), name="other")
        owner.start(fail(), name="bad")
        await asyncio.sleep(0.01)
        assert failures == [("o/bad", "broken")]
        assert not other.done()


async def test_task_that_does_not_stop_is_not_waited_for_longer_than_the_bound() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.3)

    owner = TaskOwner("o", stop_timeout_s=0.05)
    task = owner.start(stubborn(), name="s")
    await asyncio.sleep(0)
    await owner.stop()
    assert not task.done()
    await task


async def test_task_may_stop_its_own_owner() -> None:
    owner = TaskOwner("o")

    async def stop() -> str:
        await owner.stop()
        return "stopped"

    assert await owner.start(stop(), name="s") == "stopped"


async def test_closing_closes_generators_and_leaves_other_iterators_alone() -> None:
    closed = asyncio.Event()

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.set()

    async with closing(numbers()) as items:
        assert await anext(items) == 1
    assert closed.is_set()

    class Plain:
        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> int:
            raise StopAsyncIteration

    async with closing(Plain()) as plain:
        with pytest.raises(StopAsyncIteration):
            await anext(plain)
