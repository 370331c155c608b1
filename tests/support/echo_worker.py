"""A worker in a process of its own, to be stopped and continued: it says back what it hears."""

from __future__ import annotations

import asyncio
import sys

from shared.bus.redis import open_bus
from tests.support.fake_worker import FakeWorker, WorkerCall


async def main(redis_url: str, name: str) -> None:
    """Serve until the process is killed."""
    async with (
        open_bus(redis_url) as bus,
        FakeWorker(bus.workers, name, on_call=WorkerCall.say_back),
    ):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
