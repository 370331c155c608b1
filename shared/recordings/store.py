"""Where recordings lie: a folder of this machine, or a bucket of S3 or what speaks its protocol.

Every operation ends in time, or with StoreUnavailable. One that hangs keeps its place until it
really ends, however long nobody has waited for it any more: so no more than a few ever hang.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from shared.recordings.errors import BadAddress, StoreFault, StoreUnavailable
from shared.recordings.leftovers import remove_leftovers
from shared.recordings.settings import RecordingSettings

_LEAST_BYTES_A_SECOND = 1_000_000
"""Of what is written: an hour of a call is 58 MB at once."""
_T = TypeVar("_T")
_PLACES = 16
_DELETED_AT_ONCE = 1000
_WALK_S = 60.0
"""More than other operations may take, for one that goes through all folders."""
AT_ONCE = 8
"""Objects that one reader asks for together: half the places, the rest is for who writes."""
_MOST_DETAIL = 200
_NO_SPACE = re.compile(r"os error (28|122)\)|InsufficientStorage|status: 507\b")


class RecordingStore(Protocol):
    """Objects by path. Every method is bounded in time and raises StoreUnavailable."""

    async def put(self, path: str, data: bytes) -> None:
        """Keep an object in place of the one before: all of it, or nothing."""
        ...

    async def get(self, path: str) -> bytes | None:
        """Return a whole object; None where there is none."""
        ...

    async def get_range(self, path: str, start: int, length: int) -> bytes | None:
        """Return part of an object, from within it; less where it ends sooner.

        None where there is no such object.
        """
        ...

    async def names(self, folder: str) -> list[str]:
        """Return the paths of the objects in a folder (`a/b/`) itself, in order."""
        ...

    async def folders(self, folder: str) -> list[str]:
        """Return the paths of the folders in a folder, without a slash at their end, in order."""
        ...

    async def delete(self, paths: Sequence[str]) -> None:
        """Remove objects; those that are not there are removed already."""
        ...

    async def remove_leftovers(self, before_unix_s: float) -> int:
        """Remove what was begun before a time and never written to its end; return how many."""
        ...

    def close(self) -> None:
        """Let go of what is under way still; nothing may be asked any more."""
        ...


async def all_of(work: Sequence[Awaitable[_T]]) -> list[_T]:
    """Do several things at once and return what came of each; at the end, raise the first error."""
    done = await asyncio.gather(*work, return_exceptions=True)
    results = []
    for one in done:
        if isinstance(one, BaseException):
            raise one
        results.append(one)
    return results


def batches(paths: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    """Yield paths by so many, in order."""
    for start in range(0, len(paths), most):
        yield paths[start : start + most]


class ObjectStore:
    """RecordingStore over obstore.

    Args:
        store: one of obstore's.
        timeout_s: of an operation, its wait for a place included.
        at_once: operations under way at most.
        folder: where the objects are files; None: they are not.
    """

    def __init__(
        self,
        store: LocalStore | S3Store,
        *,
        timeout_s: float = 5.0,
        at_once: int = _PLACES,
        folder: Path | None = None,
    ) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._folder = folder
        self._places = asyncio.Semaphore(at_once)
        self._under_way: set[asyncio.Future[Any]] = set()

    async def put(self, path: str, data: bytes) -> None:
        """See RecordingStore. A folder's object appears under its name once it is all there."""
        more_s = len(data) / _LEAST_BYTES_A_SECOND
        await self._run(lambda: obstore.put_async(self._store, path, data), more_s=more_s)

    async def get(self, path: str) -> bytes | None:
        """See RecordingStore."""

        async def read() -> bytes:
            found = await obstore.get_async(self._store, path)
            return bytes(await found.bytes_async())

        return await self._found(read)

    async def get_range(self, path: str, start: int, length: int) -> bytes | None:
        """See RecordingStore."""

        async def read() -> bytes:
            part = await obstore.get_range_async(self._store, path, start=start, length=length)
            return bytes(part)

        return await self._found(read) if length > 0 else b""

    async def names(self, folder: str) -> list[str]:
        """See RecordingStore."""
        found = await self._run(lambda: obstore.list_with_delimiter_async(self._store, folder))
        return sorted(item["path"] for item in found["objects"])

    async def folders(self, folder: str) -> list[str]:
        """See RecordingStore."""
        found = await self._run(lambda: obstore.list_with_delimiter_async(self._store, folder))
        return sorted(found["common_prefixes"])

    async def delete(self, paths: Sequence[str]) -> None:
        """See RecordingStore. S3 takes a thousand at a time."""
        for some in batches(paths, _DELETED_AT_ONCE):
            try:
                await self._do(partial(obstore.delete_async, self._store, some))
            except FileNotFoundError:  # a folder gives up at the first that is not there
                await self._delete_each(some)
            except StoreUnavailable as exc:
                if exc.fault is not StoreFault.FAILED:
                    raise
                await self._delete_each(some)  # not every server of S3's protocol takes lists

    async def _delete_each(self, paths: Sequence[str]) -> None:
        def delete(path: str) -> Callable[[], Awaitable[None]]:
            return partial(obstore.delete_async, self._store, path)

        for some in batches(paths, AT_ONCE):
            await all_of([self._found(delete(path)) for path in some])

    async def remove_leftovers(self, before_unix_s: float) -> int:
        """See RecordingStore. In a bucket its own rule for unfinished uploads does it."""
        folder = self._folder
        if folder is None:
            return 0
        work = partial(asyncio.to_thread, remove_leftovers, folder, before_unix_s)
        return await self._run(work, more_s=_WALK_S)

    def close(self) -> None:
        """See RecordingStore."""
        for work in list(self._under_way):
            work.cancel()

    # --- bounds ------------------------------------------------------------------------------

    async def _found(self, start: Callable[[], Awaitable[_T]]) -> _T | None:
        try:
            return await self._do(start)
        except FileNotFoundError:
            return None

    async def _run(self, start: Callable[[], Awaitable[_T]], *, more_s: float = 0.0) -> _T:
        try:
            return await self._do(start, more_s=more_s)
        except FileNotFoundError as exc:  # of the bucket, where nothing else may be missing
            raise StoreUnavailable(StoreFault.FAILED, _first_line(exc)) from None

    async def _do(self, start: Callable[[], Awaitable[_T]], *, more_s: float = 0.0) -> _T:
        """Do something with the store; `more_s` is how much longer than usual it may take.

        Raises:
            StoreUnavailable: it failed or took too long.
            FileNotFoundError: there is no such object.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._timeout_s + more_s
        try:
            async with asyncio.timeout_at(until_s):
                await self._places.acquire()
        except TimeoutError:
            raise StoreUnavailable(StoreFault.SLOW, "earlier operations hang") from None
        work = asyncio.ensure_future(start())
        self._under_way.add(work)
        work.add_done_callback(self._on_done)
        done, _ = await asyncio.wait({work}, timeout=max(0.0, until_s - loop.time()))
        if not done:
            within_s = self._timeout_s + more_s
            raise StoreUnavailable(StoreFault.SLOW, f"no answer in {within_s:.3g} s")
        try:
            return work.result()
        except FileNotFoundError:
            raise
        except (BaseError, OSError, ValueError) as exc:
            raise StoreUnavailable(_fault(exc), _first_line(exc)) from None

    def _on_done(self, work: asyncio.Future[Any]) -> None:
        self._places.release()
        self._under_way.discard(work)
        if not work.cancelled():
            work.exception()  # it counts as seen: whoever waited was told


def _fault(error: Exception) -> StoreFault:
    text = str(error)
    if _NO_SPACE.search(text):
        return StoreFault.NO_SPACE
    return StoreFault.SLOW if "operation timed out" in text else StoreFault.FAILED


def _first_line(error: Exception) -> str:
    """What the store said, without the debug text that may hold headers."""
    return str(error).split("\n", 1)[0][:_MOST_DETAIL]


def open_store(settings: RecordingSettings) -> ObjectStore | None:
    """Return the store of RECORDINGS_URL; None where there is none. Nothing is asked of it yet.

    Raises:
        BadAddress: neither a folder nor s3://bucket.
    """
    url = settings.recordings_url
    if not url:
        return None
    timeout_s = settings.recordings_timeout_s
    parts = urlsplit(url)
    if parts.scheme == "s3":
        return ObjectStore(_bucket(settings, parts.netloc, parts.path), timeout_s=timeout_s)
    if parts.scheme in ("", "file") and not parts.netloc:
        folder = Path(parts.path).absolute()
        return ObjectStore(_folder(folder), timeout_s=timeout_s, folder=folder)
    raise BadAddress("RECORDINGS_URL must be a folder, file:///folder or s3://bucket/folder")


def _folder(path: Path) -> LocalStore:
    try:
        # What people said is for nobody else's eyes; a folder that is there has its owner's rights.
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(path.resolve(), automatic_cleanup=True)
    except (BaseError, OSError, ValueError) as exc:
        raise BadAddress(f"RECORDINGS_URL: {_first_line(exc)}") from None


def _bucket(settings: RecordingSettings, bucket: str, prefix: str) -> S3Store:
    if not bucket:
        raise BadAddress("RECORDINGS_URL names no bucket: s3://bucket/folder")
    endpoint = settings.recordings_s3_endpoint
    timeout = timedelta(seconds=settings.recordings_timeout_s)
    given: dict[str, Any] = {
        "region": settings.aws_region,
        "endpoint": endpoint,
        "access_key_id": settings.aws_access_key_id,
        "secret_access_key": _plain(settings.aws_secret_access_key),
        "session_token": _plain(settings.aws_session_token),
    }
    return S3Store(
        bucket,
        prefix=prefix.strip("/") or None,
        config={name: value for name, value in given.items() if value},  # type: ignore[arg-type]
        virtual_hosted_style_request=not endpoint,
        client_options={
            "allow_http": (endpoint or "").startswith("http://"),
            "timeout": timeout,
            "connect_timeout": timeout / 2,
        },
        retry_config={"max_retries": 2, "retry_timeout": timeout},
    )


def _plain(secret: Any) -> str | None:
    return None if secret is None else secret.get_secret_value()
