"""Tasks that failed, as the process counts them."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry

from shared.metrics.catalogue import RuntimeMetrics
from shared.runtime.tasks import TaskOwner


async def test_a_task_that_fails_is_counted_for_its_owner_and_one_that_ends_is_not() -> None:
    async def fail() -> None:
        raise RuntimeError("a bug")

    registry = CollectorRegistry()
    runtime = RuntimeMetrics(registry)
    async with TaskOwner("worker", on_failure=runtime.failures_of("worker")) as tasks:
        failing = tasks.start(fail(), name="fail")
        ending = tasks.start(asyncio.sleep(0), name="end")
        await asyncio.wait({failing, ending})
        await asyncio.sleep(0)
    labels = {"owner": "worker"}
    assert registry.get_sample_value("voice_runtime_task_failures_total", labels) == 1
