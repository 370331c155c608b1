from __future__ import annotations

import asyncio
import signal

from prometheus_client import CollectorRegistry

from shared.metrics.catalogue import RuntimeMetrics
from shared.runtime.lifecycle import Lifecycle, LoopLag


async def test_first_signal_drains_and_the_second_cuts() -> None:
    lifecycle = Lifecycle()
    lifecycle.on_signal(signal.SIGTERM)
    assert lifecycle.draining.is_set()
    assert not lifecycle.cut.is_set()
    lifecycle.on_signal(signal.SIGTERM)
    assert lifecycle.cut.is_set()


async def test_drain_ends_with_the_last_call_or_the_bound_or_the_cut() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    async def now() -> None:
        return

    lifecycle = Lifecycle()
    assert await lifecycle.drain(now, drain_s=5)
    assert not await lifecycle.drain(never, drain_s=0.01)
    asyncio.get_running_loop().call_later(0.01, lifecycle.cut.set)
    assert not await lifecycle.drain(never, drain_s=5)


async def test_signals_of_the_process_reach_the_life_cycle() -> None:
    lifecycle = Lifecycle()
    lifecycle.install_signals()
    try:
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(1):
            await lifecycle.draining.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)


async def test_loop_lag_is_sampled() -> None:
    registry = CollectorRegistry()
    lag = LoopLag(RuntimeMetrics(registry))
    assert lag.worst_ms == 0
    task = asyncio.ensure_future(lag.run())
    await asyncio.sleep(0.15)
    task.cancel()
    assert registry.get_sample_value("voice_runtime_loop_lag_seconds_count") == 1
    assert registry.get_sample_value("voice_runtime_tasks") == 2
