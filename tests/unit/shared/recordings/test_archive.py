from __future__ import annotations

import asyncio

import pytest

from shared.protocol.call import CallId
from shared.recordings.archive import RecordingArchive
from shared.recordings.block import Block, CallerPiece, Facts
from shared.recordings.errors import StoreFault, StoreUnavailable
from shared.recordings.layout import block_path, index_path
from tests.support.phone_line import FRAME
from tests.support.recording_store import MemoryStore

CALL = CallId("call-1")


class Stage:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.archive = RecordingArchive(self.store)

    async def record(self, call_id: str, at_s: float, *, blocks: int = 1) -> None:
        facts = Facts(CallId(call_id), 1, "w", "default", at_s, None)
        await self.archive.begin(facts)
        for number in range(blocks):
            piece = CallerPiece(number * FRAME, bytes([number + 1]) * FRAME)
            await self.archive.write(Block(facts, number, caller=(piece,)))


async def test_what_is_not_there_is_none() -> None:
    archive = Stage().archive
    assert await archive.find(CALL) is None
    assert await archive.complete(CALL) is None
    assert not await archive.delete(CALL)
    assert (await archive.page(limit=10)).recordings == ()


async def test_it_is_read_the_same_before_and_after_it_is_complete() -> None:
    stage = Stage()
    await stage.record(CALL, 1000.0, blocks=5)
    before = await stage.archive.find(CALL)
    await stage.archive.complete(CALL)
    after = await stage.archive.find(CALL)
    assert before is not None
    assert after is not None
    assert (before.index.is_complete, after.index.is_complete) == (False, True)
    assert before.peaks == after.peaks
    for start, length in ((0, 10**6), (300, 17), (0, 0)):
        assert await before.read(start, length) == await after.read(start, length)


async def test_blocks_that_come_after_the_end_change_nothing() -> None:
    stage = Stage()
    await stage.record(CALL, 1000.0, blocks=5)
    await stage.archive.complete(CALL)
    await stage.record(CALL, 1000.0, blocks=1)
    index = await stage.archive.complete(CALL)
    assert index is not None
    assert index.samples == 5 * FRAME
    assert not [path for path in stage.store.objects if path.startswith("open/")]


async def test_a_broken_block_is_left_out() -> None:
    stage = Stage()
    await stage.record(CALL, 1000.0, blocks=3)
    stage.store.objects[block_path(CALL, 1, 1)] = b"PRB1 and nothing that makes sense"
    index = await stage.archive.complete(CALL)
    assert index is not None
    assert index.samples == 3 * FRAME
    assert not index.parts[0].is_whole


async def test_a_broken_index_is_as_none() -> None:
    stage = Stage()
    stage.store.objects[index_path(CALL)] = b"{}"
    assert await stage.archive.find(CALL) is None


async def test_the_list_has_the_newest_first_page_by_page() -> None:
    stage = Stage()
    for day in range(3):
        for n in range(4):
            await stage.record(f"call-{day}-{n}", 1_764_000_000 + day * 86_400 + n)
            if n:
                await stage.archive.complete(CallId(f"call-{day}-{n}"))
    seen: list[str] = []
    before: str | None = None
    pages = 0
    while pages < 10:
        page = await stage.archive.page(limit=5, before=before)
        seen += [index.call_id for index in page.recordings]
        pages += 1
        if (before := page.before) is None:
            break
    assert seen == [f"call-{day}-{n}" for day in (2, 1, 0) for n in (3, 2, 1, 0)]
    assert pages == 3
    first = (await stage.archive.page(limit=200)).recordings
    assert [index.is_complete for index in first[:4]] == [True, True, True, False]


async def test_a_page_behind_what_is_no_name_is_the_first() -> None:
    stage = Stage()
    await stage.record(CALL, 1000.0)
    assert len((await stage.archive.page(limit=5, before="zzz")).recordings) == 1


async def test_a_removed_one_is_on_no_list() -> None:
    stage = Stage()
    await stage.record("open", 1000.0)
    await stage.record("done", 2000.0)
    await stage.archive.complete(CallId("done"))
    assert await stage.archive.delete(CallId("open"))
    assert await stage.archive.delete(CallId("done"))
    assert stage.store.objects == {}


async def test_a_store_that_is_away_is_said_to_be() -> None:
    stage = Stage()
    await stage.record(CALL, 1000.0)
    stage.store.fault = StoreFault.FAILED
    for asked in (
        stage.archive.find(CALL),
        stage.archive.page(limit=1),
        stage.archive.delete(CALL),
        stage.archive.complete(CALL),
    ):
        with pytest.raises(StoreUnavailable, match="failed"):
            await asked


async def test_two_who_put_it_together_at_once_keep_all_of_it() -> None:
    """The slower one found blocks gone, and wrote what it had over what the other wrote."""
    stage = Stage()
    await stage.record(CALL, 1000.0, blocks=5)
    whole = stage.archive
    reads = 0

    class Slow(MemoryStore):
        async def get(self, path: str) -> bytes | None:
            nonlocal reads
            if path.startswith("open/"):
                reads += 1
                if reads == 3:
                    await whole.complete(CALL)
            return await super().get(path)

    slow = Slow()
    slow.objects = stage.store.objects
    index = await RecordingArchive(slow).complete(CALL)
    assert index is not None
    found = await whole.find(CALL)
    assert found is not None
    assert index.samples == found.index.samples == 5 * FRAME


async def test_one_that_is_removed_meanwhile_is_not_brought_back() -> None:
    stage = Stage()
    await stage.record(CALL, 1000.0, blocks=5)

    class Slow(MemoryStore):
        async def get(self, path: str) -> bytes | None:
            if path.startswith("open/"):
                await stage.archive.delete(CALL)
            return await super().get(path)

    slow = Slow()
    slow.objects = stage.store.objects
    assert await RecordingArchive(slow).complete(CALL) is None
    assert await stage.archive.find(CALL) is None


async def test_a_slow_store_is_asked_for_many_blocks_together() -> None:
    """Each was read and removed in a trip of its own: 25 calls at 20 ms a trip fell behind."""
    stage = Stage()
    await stage.record(CALL, 1000.0, blocks=64)
    store = stage.store
    store.trip_s, store.rounds, store.most_at_once = 0.02, 0, 0
    started_s = asyncio.get_running_loop().time()
    index = await stage.archive.complete(CALL)
    took_s = asyncio.get_running_loop().time() - started_s
    assert index is not None
    assert index.samples == 64 * FRAME
    assert store.rounds <= 64 / 8 + 6
    assert took_s > 0.02 * 10, "each round was a trip"
    assert store.most_at_once == 8, "who writes blocks meanwhile finds places free"
    assert not [path for path in store.objects if path.startswith("open/")]


async def test_one_block_that_can_not_be_read_leaves_all_as_it_is() -> None:
    stage = Stage()
    await stage.record(CALL, 1000.0, blocks=20)

    class Failing(MemoryStore):
        async def get(self, path: str) -> bytes | None:
            if path == block_path(CALL, 1, 3):
                raise StoreUnavailable(StoreFault.FAILED)
            return await super().get(path)

    failing = Failing()
    failing.objects = stage.store.objects
    before = set(failing.objects)
    with pytest.raises(StoreUnavailable):
        await RecordingArchive(failing).complete(CALL)
    assert set(failing.objects) == before
    assert failing.at_once == 0, "nothing is under way any more"


async def test_a_page_of_a_slow_store_is_read_eight_at_a_time() -> None:
    stage = Stage()
    for n in range(40):
        await stage.record(f"call-{n:02}", 1000.0 + n)
        await stage.archive.complete(CallId(f"call-{n:02}"))
    stage.store.trip_s, stage.store.rounds = 0.005, 0
    page = await stage.archive.page(limit=40)
    assert [index.call_id for index in page.recordings] == [
        f"call-{n:02}" for n in range(39, -1, -1)
    ]
    assert page.before is None
    assert stage.store.rounds <= 40 / 8 + 2
