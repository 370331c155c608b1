"""Writes one call's snapshots behind its back, for another worker to go on with.

Nothing that the caller hears waits for it: changes are noted, gathered for a moment and written by
a task of its own, the newest alone. What can't be written is counted and tried again. A write that
is refused means that the call is another worker's by now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from services.agent.call.kept import KeptCall, write_call
from shared.bus.base import BusUnavailable, SessionStore
from shared.protocol.call import CallId
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
_GATHER_S = 0.03
_CHARS_PER_GATHER = 32_768
"""A long call's snapshot is written less often: its cost is the same at any length."""
_AGAIN_S = 0.5
_WRITE_S = 1.0


class Keeper:
    """One call's.

    Args:
        store: takes the snapshots; None: the call is kept by nobody.
        call_id: of the call.
        epoch: returns the newest link's.
        take: takes the call down as it stands.
        on_passed: called once, when a higher epoch has claimed the call.
        on_failed: told of each write that failed.
    """

    def __init__(
        self,
        store: SessionStore | None,
        call_id: CallId,
        *,
        epoch: Callable[[], int],
        take: Callable[[], KeptCall],
        on_passed: Callable[[], None],
        on_failed: Callable[[], None],
    ) -> None:
        self._store = store
        self._call_id = call_id
        self._epoch = epoch
        self._take = take
        self._on_passed = on_passed
        self._on_failed = on_failed
        self._owner = TaskOwner(f"keeper:{call_id}")
        self._changed = asyncio.Event()
        self._held: str | None = None
        self._gather_s = _GATHER_S
        self._is_failing = False

    def start(self) -> None:
        """Begin to write."""
        if self._store is not None:
            self._owner.start(self._run(self._store), name="write")

    def touch(self) -> None:
        """Something has changed."""
        self._changed.set()

    def hold(self) -> None:
        """Take the call down now, and nothing that happens to it until `release`."""
        if self._store is not None and self._held is None:
            self._held = write_call(self._take())
            self._changed.set()

    def release(self) -> None:
        """What happens counts again."""
        self._held = None
        self._changed.set()

    async def _run(self, store: SessionStore) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(self._gather_s)
            self._changed.clear()
            is_ours = await self._write(store)
            if is_ours is None:
                self._changed.set()
                await asyncio.sleep(_AGAIN_S)
            elif not is_ours:
                self._on_passed()
                return

    async def _write(self, store: SessionStore) -> bool | None:
        """Write the newest snapshot; False when the call is another's, None when it failed."""
        text = self._held if self._held is not None else write_call(self._take())
        self._gather_s = _GATHER_S * (1 + len(text) // _CHARS_PER_GATHER)
        try:
            async with asyncio.timeout(_WRITE_S):
                is_ours = await store.save(self._call_id, self._epoch(), text)
        except (BusUnavailable, TimeoutError) as exc:
            self._on_failed()
            if not self._is_failing:
                _log.warning("snapshot_not_written", call_id=self._call_id, error=str(exc))
            self._is_failing = True
            return None
        self._is_failing = False
        return is_ours

    async def write_last(self) -> None:
        """Stop, and write the call as it stood at `hold`; bounded in time."""
        if self._store is not None:
            await self._owner.stop()
            await self._write(self._store)

    async def is_passed(self, *, patience_s: float = 0.0) -> bool:
        """Whether a higher epoch has claimed the call; False where nobody can tell in time.

        Args:
            patience_s: ask again for so long while the store is away.
        """
        if self._store is None:
            return False
        loop = asyncio.get_running_loop()
        until_s = loop.time() + patience_s
        while True:
            try:
                async with asyncio.timeout(_WRITE_S):
                    return await self._store.epoch(self._call_id) > self._epoch()
            except (BusUnavailable, TimeoutError):
                if loop.time() >= until_s:
                    return False
            await asyncio.sleep(_AGAIN_S)

    async def forget(self) -> None:
        """The call is over: stop, and drop its snapshot."""
        await self._owner.stop()
        if self._store is None:
            return
        try:
            async with asyncio.timeout(_WRITE_S):
                await self._store.forget(self._call_id, self._epoch())
        except (BusUnavailable, TimeoutError) as exc:
            _log.info("snapshot_not_dropped", call_id=self._call_id, error=str(exc))

    async def aclose(self) -> None:
        """Stop writing."""
        await self._owner.stop()
