from __future__ import annotations

from dataclasses import replace

import pytest

from shared.protocol.call import CallId
from shared.recordings.archive import RecordingArchive
from shared.recordings.block import Block, CallerPiece, Facts
from shared.recordings.errors import StoreUnavailable
from shared.recordings.layout import copy_audio_path
from shared.recordings.vobiz_copy import VobizCopy, read_copy
from tests.support.phone_line import FRAME
from tests.support.recording_store import MemoryStore

CALL = CallId("call-1")
COPY = VobizCopy("wav", 6, 1000, "rec-1", "HungUp", 1_764_000_000.0)
DAY_S = 86_400.0


async def is_over(_: CallId) -> bool:
    return True


async def recorded(archive: RecordingArchive, *, keep_s: float | None) -> None:
    facts = Facts(CALL, 1, "w", "default", 1_764_000_000.0, keep_s)
    await archive.begin(facts)
    piece = CallerPiece(0, b"\x01" * FRAME)
    await archive.write(Block(facts, 0, caller=(piece,), is_last=True))
    await archive.complete(CALL)


@pytest.mark.parametrize("copy", [COPY, replace(COPY, format="mp3", duration_ms=None)])
def test_what_is_known_comes_back_as_it_was(copy: VobizCopy) -> None:
    assert read_copy(copy.to_bytes()) == copy


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", replace(COPY, format="exe").to_bytes()])
def test_anything_else_is_none(data: bytes) -> None:
    assert read_copy(data) is None


async def test_a_copy_is_read_in_parts_and_goes_with_the_recording() -> None:
    store = MemoryStore()
    archive = RecordingArchive(store)
    await recorded(archive, keep_s=None)
    await archive.keep_copy(CALL, COPY, b"abcdef", until_unix_s=2e9)
    assert await archive.copy(CALL) == COPY
    assert await archive.read_copy(CALL, COPY, 2, 3) == b"cde"
    assert await archive.delete(CALL)
    assert await archive.copy(CALL) is None
    assert not [path for path in store.objects if path.startswith(("calls/", "days/"))]


async def test_one_alone_expires_by_its_own_time() -> None:
    store = MemoryStore()
    archive = RecordingArchive(store)
    now_s = 1_764_000_000.0
    await archive.keep_copy(CALL, COPY, b"abcdef", until_unix_s=now_s + DAY_S)
    assert await archive.remove_expired(now_s + DAY_S / 2, is_over) == 0
    assert await archive.copy(CALL) == COPY
    assert await archive.remove_expired(now_s + 2 * DAY_S, is_over) == 1
    assert store.objects == {}


@pytest.mark.parametrize(("keep_s", "left"), [(None, True), (60 * DAY_S, True), (DAY_S, False)])
async def test_beside_a_recording_it_is_kept_as_long_as_that(
    keep_s: float | None, left: bool
) -> None:
    archive = RecordingArchive(MemoryStore())
    await recorded(archive, keep_s=keep_s)
    now_s = 1_764_000_000.0
    await archive.keep_copy(CALL, COPY, b"abcdef", until_unix_s=now_s + 30 * DAY_S)
    await archive.remove_expired(now_s + 31 * DAY_S, is_over)
    assert (await archive.copy(CALL) is not None) is left
    assert (await archive.index(CALL) is not None) is left


async def test_a_file_that_is_gone_is_said_to_be() -> None:
    store = MemoryStore()
    archive = RecordingArchive(store)
    await archive.keep_copy(CALL, COPY, b"abcdef", until_unix_s=2e9)
    del store.objects[copy_audio_path(CALL, "wav")]
    with pytest.raises(StoreUnavailable):
        await archive.read_copy(CALL, COPY, 0, 6)
