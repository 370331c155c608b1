from __future__ import annotations

import asyncio

from shared.runtime.concern import About, Concern, present, turn_to


def test_nothing_is_about_a_call_by_itself() -> None:
    assert present() is None


def test_a_block_is_about_its_call_and_what_follows_is_not() -> None:
    with About(Concern("a")):
        with About(Concern("b")):
            assert present() == Concern("b")
        turn_to(Concern("c"))
        assert present() == Concern("c")
    assert present() is None


async def test_a_task_is_about_what_it_was_started_in_and_changes_nothing_outside() -> None:
    seen: list[Concern | None] = []

    async def work() -> None:
        seen.append(present())
        turn_to(Concern("other"))
        await asyncio.sleep(0)
        seen.append(present())

    with About(Concern("a")):
        task = asyncio.ensure_future(work())
    await task
    assert seen == [Concern("a"), Concern("other")]
    assert present() is None
