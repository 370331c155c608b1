"""A program that delivers ended calls until it is killed: `REDIS_URL LEASE_S`."""

from __future__ import annotations

import asyncio
import random
import sys

from prometheus_client import CollectorRegistry

from services.agent.after_call.deliver import Deliverer, DeliveryBounds
from shared.bus.redis import open_bus
from shared.metrics.catalogue import AfterCallMetrics
from shared.runtime.clock import SystemClock


async def _main(redis_url: str, lease_s: float) -> None:
    async with open_bus(redis_url) as bus:
        deliverer = Deliverer(
            bus.outbox,
            worker="to-be-killed",
            secret_of=lambda _name: "secret",
            metrics=AfterCallMetrics(CollectorRegistry()),
            clock=SystemClock(),
            chance=random.Random(1),
            bounds=DeliveryBounds(lease_s=lease_s, poll_s=0.05),
        )
        async with deliverer:
            await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], float(sys.argv[2])))
