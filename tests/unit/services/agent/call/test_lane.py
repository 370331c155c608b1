"""Jobs in order, abandoned by generation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest

from services.agent.call.lane import MAX_WAITING, Lane
from shared.runtime.tasks import TaskOwner


class Jobs:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.gate = asyncio.Event()

    def make(self, name: str) -> Callable[[], Coroutine[None, None, None]]:
        async def job() -> None:
            self.log.append(f"{name} begins")
            try:
                await self.gate.wait()
                self.log.append(f"{name} ends")
            except asyncio.CancelledError:
                self.log.append(f"{name} cancelled")
                raise

        return job


@pytest.fixture
async def owner() -> AsyncIterator[TaskOwner]:
    async with TaskOwner("test") as owner:
        yield owner


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_jobs_run_one_after_another(owner: TaskOwner) -> None:
    jobs, lane = Jobs(), Lane(owner, "lane", on_full=lambda: None)
    lane.add(1, jobs.make("a"))
    lane.add(1, jobs.make("b"))
    await settle()
    assert jobs.log == ["a begins"]
    jobs.gate.set()
    await settle()
    assert jobs.log == ["a begins", "a ends", "b begins", "b ends"]


async def test_abandoned_jobs_are_cancelled_and_the_next_generation_runs(owner: TaskOwner) -> None:
    jobs, lane = Jobs(), Lane(owner, "lane", on_full=lambda: None)
    lane.add(1, jobs.make("running"))
    lane.add(1, jobs.make("waiting"))
    lane.add(2, jobs.make("next"))
    await settle()
    lane.abandon(1)
    await settle()
    assert jobs.log == ["running begins", "running cancelled", "next begins"]


async def test_jobs_that_change_something_are_run_although_abandoned(owner: TaskOwner) -> None:
    jobs, lane = Jobs(), Lane(owner, "lane", on_full=lambda: None)
    lane.add(1, jobs.make("digit"), keeps=True)
    lane.add(2, jobs.make("digit 2"), keeps=True)
    lane.abandon(2)
    jobs.gate.set()
    await settle()
    assert jobs.log == ["digit begins", "digit ends", "digit 2 begins", "digit 2 ends"]


async def test_full_lane_says_so(owner: TaskOwner) -> None:
    refused: list[int] = []
    jobs, lane = Jobs(), Lane(owner, "lane", on_full=lambda: refused.append(1))
    for _ in range(MAX_WAITING + 3):
        lane.add(1, jobs.make("x"))
    assert len(refused) == 2


async def test_wide_lane_begins_in_order_and_runs_side_by_side(owner: TaskOwner) -> None:
    jobs, lane = Jobs(), Lane(owner, "lane", on_full=lambda: None, width=2)
    for name in ("a", "b", "c"):
        lane.add(1, jobs.make(name))
    await settle()
    assert jobs.log == ["a begins", "b begins"]
    jobs.gate.set()
    await settle()
    assert jobs.log[-2:] == ["c begins", "c ends"]


async def test_wide_lane_abandons_all_that_run(owner: TaskOwner) -> None:
    jobs, lane = Jobs(), Lane(owner, "lane", on_full=lambda: None, width=2)
    lane.add(1, jobs.make("a"))
    lane.add(1, jobs.make("b"))
    lane.add(2, jobs.make("c"))
    await settle()
    lane.abandon(1)
    await settle()
    assert set(jobs.log[2:4]) == {"a cancelled", "b cancelled"}
    assert jobs.log[4:] == ["c begins"]
