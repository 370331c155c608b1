"""Tasks with an owner: named, held, reported, and ended with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

_log = structlog.get_logger(__name__)
T = TypeVar("T")


@asynccontextmanager
async def closing(items: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close an asynchronous iterator on the way out, where it can be closed."""
    try:
        yield items
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


class TaskOwner:
    """Starts tasks and answers for them.

    Unlike `asyncio.TaskGroup` one task's failure leaves the others alone: it is logged, reported
    to `on_failure`, and that is the end of it. Leaving the context cancels what still runs and
    waits for it, at most `stop_timeout_s`.
    """

    def __init__(
        self,
        name: str,
        *,
        on_failure: Callable[[str, BaseException], None] | None = None,
        stop_timeout_s: float = 5.0,
    ) -> None:
        self._name = name
        self._on_failure = on_failure
        self._stop_timeout_s = stop_timeout_s
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_stopping = False

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called: nothing may be started any more."""
        return self._is_stopping

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start a task that belongs to this owner."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self._name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        _log.error("task_failed", task=task.get_name(), exc_info=error)
        if self._on_failure is not None:
            self._on_failure(task.get_name(), error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Cancel every task and wait for them, bounded."""
        self._is_stopping = True
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=self._stop_timeout_s)
            for task in stuck:
                _log.error("task_does_not_stop", task=task.get_name())
