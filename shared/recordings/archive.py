"""All recordings of a store: written by blocks, put together, read, listed, removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from shared.protocol.call import CallId
from shared.recordings import layout
from shared.recordings.block import Block, Facts, parse_block, serialize_block
from shared.recordings.errors import MalformedBlock, StoreFault, StoreUnavailable
from shared.recordings.index import (
    RecordingIndex,
    UnreadableIndex,
    index_of,
    read_index,
    write_index,
)
from shared.recordings.layout import Marker
from shared.recordings.store import AT_ONCE, RecordingStore, all_of, batches
from shared.recordings.timeline import Timeline
from shared.recordings.vobiz_copy import FORMATS, VobizCopy, read_copy

_log = structlog.get_logger(__name__)
_POSTPONED_S = 3600.0
_MOST_LISTED = 200


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording to be read, complete or as far as it goes.

    Attributes:
        index: what is known of it.
        peaks: see index.waveform.
        read: returns so many bytes of the audio from one on (mu-law, caller and agent in turn);
            raises StoreUnavailable.
    """

    index: RecordingIndex
    peaks: bytes
    read: Callable[[int, int], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Page:
    """Part of the list, newest first; `before` asks for what follows, None: nothing does."""

    recordings: tuple[RecordingIndex, ...]
    before: str | None


class RecordingArchive:
    """The recordings of a store. Every method is bounded in time and raises StoreUnavailable.

    Args:
        store: keeps them.
    """

    def __init__(self, store: RecordingStore) -> None:
        self._store = store

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    # --- writing -----------------------------------------------------------------------------

    async def begin(self, facts: Facts) -> None:
        """Put a recording on the list, and note when it expires: its worker may never end it."""
        began_ms = round(facts.zero_unix_s * 1000)
        await self._store.put(Marker(began_ms, facts.call_id).day_path(), b"")
        if facts.keep_s is not None:
            await self._note_expiry(facts.call_id, facts.zero_unix_s + facts.keep_s)

    async def write(self, block: Block) -> int:
        """Keep a block; return its size in bytes."""
        data = serialize_block(block)
        facts = block.facts
        await self._store.put(layout.block_path(facts.call_id, facts.epoch, block.number), data)
        return len(data)

    async def complete(self, call_id: CallId, *, stopped: str = "") -> RecordingIndex | None:
        """Put a call's blocks together for good, when it is over; None where there are none.

        What is read meanwhile is the blocks, or all of it. To be done again when it fails. Blocks
        that come after it, of a worker that had lost the call and woke late, are dropped.

        Args:
            call_id: of the call.
            stopped: why its recording was given up, if the blocks do not say so.
        """
        names = await self._blocks(call_id)
        if (known := await self.index(call_id)) is not None:
            await self._store.delete(names)
            return known
        timeline, is_whole = await self._timeline(names)
        if (known := await self.index(call_id)) is not None:
            await self._store.delete(names)
            return known  # somebody else was quicker, and the blocks went while they were read
        facts = timeline.facts
        if facts is None or not is_whole:
            return None
        rendered = await asyncio.to_thread(timeline.render)
        rendered = replace(rendered, stopped=rendered.stopped or stopped)
        index = index_of(rendered, facts, is_complete=True)
        kept = [
            self._store.put(layout.audio_path(call_id), rendered.audio),
            self._store.put(layout.peaks_path(call_id), rendered.peaks),
        ]
        if index.expires_unix_s is not None:
            kept.append(self._note_expiry(call_id, index.expires_unix_s))
        await all_of(kept)
        await self._store.put(layout.index_path(call_id), write_index(index))
        await self._store.delete(names)
        return index

    async def _note_expiry(self, call_id: CallId, at_s: float) -> None:
        await self._store.put(Marker(round(at_s * 1000), call_id).expiry_path(), b"")

    # --- reading -----------------------------------------------------------------------------

    async def find(self, call_id: CallId) -> Recording | None:
        """Return a recording; None where there is none.

        That of a call which goes on, or whose worker was lost, is put together each time.
        """
        index = await self.index(call_id)
        if index is not None:
            peaks = await self._store.get(layout.peaks_path(call_id))
            return Recording(index, peaks or b"", self._reader(call_id))
        timeline, _ = await self._timeline(await self._blocks(call_id))
        facts = timeline.facts
        if facts is None:
            return None
        rendered = await asyncio.to_thread(timeline.render)

        async def read(start: int, length: int) -> bytes:
            return rendered.audio[start : start + length]

        index = index_of(rendered, facts, is_complete=False)
        return Recording(index, rendered.peaks, read)

    def _reader(self, call_id: CallId) -> Callable[[int, int], Awaitable[bytes]]:
        async def read(start: int, length: int) -> bytes:
            part = await self._store.get_range(layout.audio_path(call_id), start, length)
            if part is None:
                raise StoreUnavailable(StoreFault.FAILED, "the audio is gone")
            return part

        return read

    async def index(self, call_id: CallId) -> RecordingIndex | None:
        """Return the index of a complete recording; None where there is none."""
        data = await self._store.get(layout.index_path(call_id))
        if data is None:
            return None
        try:
            return read_index(data)
        except UnreadableIndex as exc:
            _log.error("recording_index_unreadable", call_id=call_id, error=str(exc))
            return None

    async def _blocks(self, call_id: CallId) -> list[str]:
        names = await self._store.names(layout.open_folder(call_id))
        return [name for name in names if layout.is_block(name)]

    async def _timeline(self, names: list[str]) -> tuple[Timeline, bool]:
        """Put blocks together; also whether all of them were there still."""
        timeline, is_whole = Timeline(), True
        for some in batches(names, AT_ONCE):
            found = await all_of([self._store.get(name) for name in some])
            for name, data in zip(some, found, strict=True):
                if data is None:
                    is_whole = False
                    continue
                _add(timeline, name, data)
                await asyncio.sleep(0)  # a long call has thousands; calls are paced on this loop
        return timeline, is_whole

    async def page(self, *, limit: int, before: str | None = None) -> Page:
        """Return recordings by the time their calls began, newest first.

        Args:
            limit: at most so many; the rest by `before`.
            before: that of the page before; None: from the newest on.
        """
        limit = min(limit, _MOST_LISTED)
        found: list[RecordingIndex] = []
        last = before
        async for some in self._newest(before):
            listed = await all_of([self._listed(name) for name in some])
            for name, index in zip(some, listed, strict=True):
                if len(found) == limit:
                    return Page(tuple(found), last)
                last = name
                if index is not None:
                    found.append(index)
        return Page(tuple(found), None)

    async def _newest(self, before: str | None) -> AsyncIterator[Sequence[str]]:
        """Yield the list's names, a few at a time, without their folders, from the newest on."""
        marker = layout.read_day_marker(before) if before is not None else None
        newest_day = None if marker is None else layout.day_of(marker.at_ms)
        for day in reversed(await self._store.folders(f"{layout.DAYS}/")):
            if newest_day is not None and day > newest_day:
                continue
            names = [path.rpartition("/")[2] for path in await self._store.names(f"{day}/")]
            older = [name for name in reversed(names) if before is None or name < before]
            for some in batches(older, AT_ONCE):
                yield some

    async def _listed(self, name: str) -> RecordingIndex | None:
        """What the list says of a recording; less where it is not complete."""
        marker = layout.read_day_marker(name)
        if marker is None:
            return None
        index = await self.index(marker.call_id)
        if index is not None:
            return index
        if not await self._blocks(marker.call_id):
            return None
        began_s = marker.at_ms / 1000
        return RecordingIndex(marker.call_id, "", began_s, 0, is_complete=False)

    # --- the network's own -------------------------------------------------------------------

    async def keep_copy(
        self, call_id: CallId, copy: VobizCopy, audio: bytes, *, until_unix_s: float
    ) -> None:
        """Keep Vobiz's own recording of a call beside ours.

        It goes with ours; where there is none of ours, at `until_unix_s`.
        """
        await self._note_expiry(call_id, until_unix_s)
        await self._store.put(layout.copy_audio_path(call_id, copy.format), audio)
        await self._store.put(layout.copy_path(call_id), copy.to_bytes())

    async def copy(self, call_id: CallId) -> VobizCopy | None:
        """Return what is known of Vobiz's own recording; None where there is none."""
        data = await self._store.get(layout.copy_path(call_id))
        return None if data is None else read_copy(data)

    async def read_copy(self, call_id: CallId, copy: VobizCopy, start: int, length: int) -> bytes:
        """Return so many bytes of Vobiz's own recording from one on."""
        path = layout.copy_audio_path(call_id, copy.format)
        part = await self._store.get_range(path, start, length)
        if part is None:
            raise StoreUnavailable(StoreFault.FAILED, "the audio is gone")
        return part

    # --- removing ----------------------------------------------------------------------------

    async def delete(self, call_id: CallId) -> bool:
        """Remove all that there is of a recording, ours and Vobiz's; False where nothing was."""
        index, names = await self.index(call_id), await self._blocks(call_id)
        began_s, copy = await self._began_s(index, names), await self.copy(call_id)
        paths = [layout.index_path(call_id), layout.audio_path(call_id)]
        paths += [layout.copy_path(call_id), *(layout.copy_audio_path(call_id, f) for f in FORMATS)]
        await self._store.delete([*paths, layout.peaks_path(call_id), *names])
        if began_s is not None:
            await self._store.delete([Marker(round(began_s * 1000), call_id).day_path()])
        return index is not None or bool(names) or copy is not None

    async def _began_s(self, index: RecordingIndex | None, names: list[str]) -> float | None:
        if index is not None:
            return index.began_unix_s
        facts = (await self._timeline(names[:1]))[0].facts
        return None if facts is None else facts.zero_unix_s

    async def remove_expired(
        self, now_s: float, is_over: Callable[[CallId], Awaitable[bool]]
    ) -> int:
        """Remove what has been kept long enough; return how many recordings that were.

        Args:
            now_s: by the wall clock.
            is_over: whether a call has ended; what goes on is kept until it has.
        """
        now_ms, removed = round(now_s * 1000), 0
        for folder in await self._store.folders(f"{layout.EXPIRY}/"):
            if not layout.is_due(folder, now_ms):
                break
            for path in await self._store.names(f"{folder}/"):
                marker = layout.read_expiry_marker(path)
                if marker is None or marker.at_ms > now_ms:
                    continue
                try:
                    removed += await self._remove_if_expired(marker, path, now_s, is_over)
                except StoreUnavailable as exc:
                    # One that can't be removed holds up no other; it is tried again.
                    _log.warning("recording_not_removed", call_id=marker.call_id, error=str(exc))
        return removed

    async def _remove_if_expired(
        self,
        marker: Marker,
        path: str,
        now_s: float,
        is_over: Callable[[CallId], Awaitable[bool]],
    ) -> bool:
        index, is_removed = await self.index(marker.call_id), False
        is_open = index is None and not await is_over(marker.call_id)
        until_s = now_s if index is None else index.expires_unix_s  # None: kept for good
        if is_open:
            await self._note_expiry(marker.call_id, now_s + _POSTPONED_S)
        elif until_s is not None and until_s <= now_s:
            is_removed = await self.delete(marker.call_id)
        # Where it expires later there is a marker for that time as well.
        await self._store.delete([path])
        return is_removed

    async def remove_leftovers(self, before_unix_s: float) -> int:
        """Remove what a worker that was killed has left half written; return how many files."""
        return await self._store.remove_leftovers(before_unix_s)

    async def left_open(self) -> list[CallId]:
        """Return the calls whose blocks were not put together: they go on, or were lost."""
        folders = await self._store.folders(f"{layout.OPEN}/")
        names = [folder.rpartition("/")[2] for folder in folders]
        return [CallId(name) for name in names if layout.is_recordable(name)]


def _add(timeline: Timeline, name: str, data: bytes) -> None:
    try:
        timeline.add(parse_block(data))
    except MalformedBlock as exc:
        _log.warning("recording_block_unreadable", block=name, error=str(exc))
