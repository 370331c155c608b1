"""Jobs of one kind, begun in order, that can be abandoned by generation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from shared.runtime.tasks import TaskOwner

MAX_WAITING = 64


@dataclass(frozen=True, slots=True)
class _Job:
    generation: int
    make: Callable[[], Coroutine[Any, Any, None]]
    keeps: bool


class Lane:
    """Begins jobs in order, at most `width` at a time.

    Args:
        owner: owns the tasks.
        name: of the tasks.
        on_full: called when a job is refused because MAX_WAITING already wait.
        width: how many jobs run at once; 1: each waits for the one before it.
    """

    def __init__(
        self, owner: TaskOwner, name: str, *, on_full: Callable[[], None], width: int = 1
    ) -> None:
        self._owner = owner
        self._name = name
        self._on_full = on_full
        self._width = width
        self._waiting: deque[_Job] = deque()
        self._running: dict[asyncio.Task[Any], _Job] = {}
        self._abandoned = 0

    def add(
        self,
        generation: int,
        make: Callable[[], Coroutine[Any, Any, None]],
        *,
        keeps: bool = False,
    ) -> None:
        """Queue a job.

        Args:
            generation: what `abandon` knows it by.
            make: makes the coroutine when its turn has come.
            keeps: the job is to be run to its end even when abandoned, because it changes
                something (a digit that a dialogue collects).
        """
        if len(self._waiting) >= MAX_WAITING:
            self._on_full()
            return
        self._waiting.append(_Job(generation, make, keeps))
        self._next()

    def abandon(self, generation: int) -> None:
        """Cancel and forget the jobs of this generation and all before it."""
        self._abandoned = max(self._abandoned, generation)
        self._waiting = deque(job for job in self._waiting if self._is_wanted(job))
        for task, job in self._running.items():
            if not self._is_wanted(job):
                task.cancel()

    def _is_wanted(self, job: _Job) -> bool:
        return job.keeps or job.generation > self._abandoned

    def _next(self) -> None:
        while self._waiting and len(self._running) < self._width and not self._owner.is_stopping:
            job = self._waiting.popleft()
            task = self._owner.start(job.make(), name=self._name)
            self._running[task] = job
            task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        del self._running[task]
        self._next()
