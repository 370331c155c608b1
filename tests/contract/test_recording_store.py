"""What every store of recordings keeps: a fake in memory, a folder, S3 as a stand-in speaks it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import NotSupportedError
from pydantic import SecretStr

from shared.recordings.errors import BadAddress, StoreFault, StoreUnavailable
from shared.recordings.settings import RecordingSettings
from shared.recordings.store import ObjectStore, RecordingStore, all_of, open_store
from tests.support.ports import free_ports
from tests.support.recording_store import MemoryStore
from tests.support.s3_server import BUCKET, s3_server


def settings(**changes: Any) -> RecordingSettings:
    return RecordingSettings(_env_file=None, **changes)


def bucket_settings(endpoint: str, **changes: Any) -> RecordingSettings:
    return settings(
        recordings_url=f"s3://{BUCKET}/calls of/one town",
        recordings_s3_endpoint=endpoint,
        aws_region="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key=SecretStr("test"),
        **changes,
    )


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as server:
        yield server.url


@pytest.fixture(params=["memory", "folder", "s3"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RecordingStore]:
    match request.param:
        case "memory":
            yield MemoryStore()
        case "folder":
            opened = open_store(settings(recordings_url=str(tmp_path / "not made yet")))
            assert opened is not None
            yield opened
        case _:
            bucket = open_store(bucket_settings(request.getfixturevalue("s3")))
            assert bucket is not None
            yield bucket


async def test_what_was_put_is_there(store: RecordingStore) -> None:
    await store.put("open/a/1.block", b"one")
    await store.put("open/a/1.block", b"two")
    await store.put("open/a/empty", b"")
    assert await store.get("open/a/1.block") == b"two"
    assert await store.get("open/a/empty") == b""
    assert await store.get("open/a/2.block") is None


async def test_a_part_of_an_object_is_read_alone(store: RecordingStore) -> None:
    await store.put("calls/x/audio.ulaw", bytes(range(200)))
    assert await store.get_range("calls/x/audio.ulaw", 10, 5) == bytes(range(10, 15))
    assert await store.get_range("calls/x/audio.ulaw", 190, 500) == bytes(range(190, 200))
    assert await store.get_range("calls/x/nothing", 0, 5) is None
    assert await store.get_range("calls/x/audio.ulaw", 0, 0) == b""


async def test_a_folder_lists_its_own_objects_in_order(store: RecordingStore) -> None:
    for path in ("list/b/2", "list/b/1", "list/b/c/3", "list/a/1", "lists/1", "list/b-1"):
        await store.put(path, b"x")
    assert await store.names("list/b/") == ["list/b/1", "list/b/2"]
    assert await store.folders("list/") == ["list/a", "list/b"]
    assert await store.names("list/z/") == []
    assert await store.folders("list/z/") == []


async def test_what_was_removed_is_gone_and_may_be_removed_again(store: RecordingStore) -> None:
    await store.put("gone/a/1", b"x")
    await store.delete(["gone/a/1", "gone/a/2"])
    await store.delete(["gone/a/1"])
    assert await store.get("gone/a/1") is None
    assert await store.folders("gone/") == []


async def test_many_are_removed_though_some_are_gone_already(store: RecordingStore) -> None:
    paths = [f"many/a/{n:02}" for n in range(40)]
    await all_of([store.put(path, b"x") for path in paths[::2]])
    await store.delete(paths)
    assert await store.names("many/a/") == []
    await store.delete([])


async def test_a_server_that_takes_no_lists_has_each_removed_alone(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(bucket_settings(s3))
    assert store is not None
    paths = [f"each/a/{n}" for n in range(20)]
    await all_of([store.put(path, b"x") for path in paths])
    delete = obstore.delete_async

    async def no_lists(where: Any, what: Any) -> None:
        if not isinstance(what, str):
            raise NotSupportedError("MethodNotAllowed")
        await delete(where, what)

    monkeypatch.setattr(obstore, "delete_async", no_lists)
    await store.delete(paths)
    assert await store.names("each/a/") == []


async def test_a_list_is_removed_in_one_trip(s3: str) -> None:
    asked = 0
    store = open_store(bucket_settings(s3))
    assert store is not None
    paths = [f"trip/a/{n}" for n in range(300)]
    await all_of([store.put(path, b"x") for path in paths])
    do = store._do

    async def counted(start: Any, *, more_s: float = 0.0) -> Any:
        nonlocal asked
        asked += 1
        return await do(start, more_s=more_s)

    store._do = counted  # type: ignore[method-assign]
    await store.delete(paths)
    assert asked == 1
    assert await store.names("trip/a/") == []


async def test_names_of_the_layout_come_back_as_they_are(store: RecordingStore) -> None:
    path = "days/2026-11-26/1764139212345.b2c7-4_f"
    await store.put(path, b"")
    assert await store.names("days/2026-11-26/") == [path]


async def test_nothing_that_is_whole_is_a_leftover(store: RecordingStore) -> None:
    await store.put("whole/a", b"x")
    assert await store.remove_leftovers(4e9) == 0
    assert await store.get("whole/a") == b"x"


# --- a store that fails -----------------------------------------------------------------------


async def test_a_folder_that_can_not_be_written_is_unavailable(tmp_path: Path) -> None:
    store = open_store(settings(recordings_url=str(tmp_path / "r")))
    assert store is not None
    (tmp_path / "r" / "open").write_text("a file where a folder should be")
    with pytest.raises(StoreUnavailable) as failed:
        await store.put("open/a/1", b"x")
    assert failed.value.fault is StoreFault.FAILED


def test_a_folder_that_is_made_is_for_its_owner_alone(tmp_path: Path) -> None:
    assert open_store(settings(recordings_url=f"file://{tmp_path}/r")) is not None
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o700


async def test_a_full_disk_is_named_as_such() -> None:
    class Full:
        pass

    async def put(*_: object) -> None:
        raise OSError("Generic LocalFileSystem error: No space left on device (os error 28)")

    store = ObjectStore(Full(), timeout_s=1.0)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable) as failed:
        await store._run(put)
    assert failed.value.fault is StoreFault.NO_SPACE


async def test_a_server_that_is_dead_is_unavailable_in_time() -> None:
    (port,) = free_ports(1)
    store = open_store(bucket_settings(f"http://127.0.0.1:{port}", recordings_timeout_s=1.0))
    assert store is not None
    with pytest.raises(StoreUnavailable):
        async with asyncio.timeout(3):
            await store.put("a/b", b"x")


async def test_a_server_that_says_nothing_is_slow_and_keeps_a_few_alone_waiting() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)  # connects, and no more
    port = listener.getsockname()[1]
    store = open_store(bucket_settings(f"http://127.0.0.1:{port}", recordings_timeout_s=0.3))
    assert store is not None
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    got = await asyncio.gather(
        *(store.put(f"a/{n}", b"x") for n in range(40)), return_exceptions=True
    )
    assert {type(one) for one in got} == {StoreUnavailable}
    assert loop.time() - started_s < 1.5
    store.close()
    await asyncio.sleep(0.1)
    assert not store._under_way, "what hangs is let go of at the end"
    listener.close()


async def test_credentials_are_in_no_error(s3: str) -> None:
    secret = "not-to-be-seen"
    base = bucket_settings(s3)
    wrong = base.model_copy(
        update={"recordings_url": "s3://no-such-bucket", "aws_secret_access_key": SecretStr(secret)}
    )
    store = open_store(wrong)
    assert store is not None
    with pytest.raises(StoreUnavailable) as failed:
        await store.put("a", b"x")
    assert secret not in str(failed.value) + repr(failed.value) + repr(wrong)


@pytest.mark.parametrize("url", ["ftp://somewhere/x", "s3://", "file://host/x", "/proc/no/such"])
def test_an_address_that_is_no_store_is_refused_at_once(url: str) -> None:
    with pytest.raises(BadAddress):
        open_store(settings(recordings_url=url))


def test_without_an_address_there_is_no_store() -> None:
    assert open_store(settings()) is None
