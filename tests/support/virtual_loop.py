"""An event loop whose time passes only when everybody waits, and then at once.

A test of timeouts takes no time by it and is exact: `@in_virtual_time` runs an async test on such
a loop and fails it when it leaves a task behind.
"""

from __future__ import annotations

import asyncio
import inspect
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any


class _JumpingSelector(selectors.DefaultSelector):
    """Lets time jump instead of waiting for it."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is not None and timeout > 0:
            self.passed_s += timeout
        elif not ready and timeout is None:
            raise RuntimeError("everybody waits and nothing will come")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module; begins at 1000 s."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return 1000.0 + self._jumping.passed_s


class LoopClock:
    """The running loop's time as a Clock."""

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now_s() - 1000)


def in_virtual_time(
    test: Callable[..., Coroutine[Any, Any, None]],
) -> Callable[..., None]:
    """Run an async test on a VirtualLoop."""

    async def checked(*args: Any, **kwargs: Any) -> None:
        await test(*args, **kwargs)
        await asyncio.sleep(2)  # what was told to stop has had the time for it
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left behind: {sorted(task.get_name() for task in left)}"

    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(checked(*args, **kwargs))

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined] # read by pytest
    return run
