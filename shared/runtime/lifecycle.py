"""Starting and stopping a service.

The ladder down: the first SIGTERM or SIGINT asks for a drain (not ready, nothing new, let calls
finish, at most `drain_s`); a second one, or the end of that time, cuts. Whatever was started is
undone in reverse by the service's own exit stack.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import structlog

from shared.metrics.catalogue import RuntimeMetrics

_log = structlog.get_logger(__name__)
_LAG_SAMPLE_S = 0.1


class Lifecycle:
    """A process's way down, as two events that others wait for.

    `draining` is set by the first signal; `cut` by the second.
    """

    def __init__(self) -> None:
        self.draining = asyncio.Event()
        self.cut = asyncio.Event()

    def install_signals(self) -> None:
        """Take SIGTERM and SIGINT over. Call once, in the running loop of the main thread."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.on_signal, number)

    def on_signal(self, number: int) -> None:
        """Take one step down the ladder."""
        name = signal.Signals(number).name
        if self.draining.is_set():
            _log.warning("stopping_at_once", signal=name)
            self.cut.set()
        else:
            _log.info("draining", signal=name)
            self.draining.set()

    async def drain(self, is_idle: Callable[[], Awaitable[None]], *, drain_s: float) -> bool:
        """Wait until the last call has ended.

        Args:
            is_idle: returns when nothing is left to wait for.
            drain_s: the longest to wait.

        Returns:
            whether everything ended by itself; False after a cut or when time ran out.
        """
        idle = asyncio.ensure_future(is_idle())
        cut = asyncio.ensure_future(self.cut.wait())
        try:
            done, _ = await asyncio.wait(
                {idle, cut}, timeout=drain_s, return_when=asyncio.FIRST_COMPLETED
            )
            return idle in done
        finally:
            idle.cancel()
            cut.cancel()


class LoopLag:
    """Measures how late the event loop runs its timers; `worst_ms` is of the last second.

    Counts the loop's tasks too, once a second.
    """

    def __init__(self, metrics: RuntimeMetrics) -> None:
        self._metrics = metrics
        self._recent: list[float] = []
        self._samples = 0

    @property
    def worst_ms(self) -> float:
        """The worst lateness among the last ten samples, in milliseconds."""
        return max(self._recent, default=0.0) * 1000

    async def run(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + _LAG_SAMPLE_S
            await asyncio.sleep(_LAG_SAMPLE_S)
            lag_s = max(0.0, loop.time() - due_s)
            self._metrics.loop_lag.observe(lag_s)
            self._recent = [*self._recent[-9:], lag_s]
            if self._samples % 10 == 0:
                self._metrics.tasks.set(len(asyncio.all_tasks()))
            self._samples += 1
