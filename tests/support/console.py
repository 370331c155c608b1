"""The console of a gateway in this process, asked without sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from services.gateway.app import build_state, create_app
from services.gateway.console.neighbours import Neighbours
from services.gateway.console.outlook import Outlook
from services.gateway.state import GatewayState
from shared.bus.memory import MemoryBus
from shared.metrics.catalogue import GatewayMetrics
from shared.runtime.tasks import TaskOwner
from tests.support.clock import ManualClock
from tests.support.gateway import settings

LOCAL = "http://localhost:5000"
PASSWORD = "correct horse battery"


@dataclass
class Console:
    """A gateway, its bus and clock, and a browser's cookie jar and habits."""

    state: GatewayState
    bus: MemoryBus
    clock: ManualClock
    client: httpx.AsyncClient

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=_dashed(headers))

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """Post as the page does; headers named with _ for - take the place of its own."""
        own = {"origin": str(self.client.base_url).rstrip("/")}
        return await self.client.post(path, json=body, headers=own | _dashed(headers))


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@asynccontextmanager
async def console_of(
    base: str = LOCAL, *, peer: str = "127.0.0.1", **changes: Any
) -> AsyncIterator[Console]:
    """Build a gateway whose console is asked for under `base`, by a machine."""
    bus, clock = MemoryBus(), ManualClock()
    registry = CollectorRegistry()
    async with TaskOwner("console-test") as tasks:
        state = build_state(settings(**changes), bus, GatewayMetrics(registry), clock, tasks)
        transport = httpx.ASGITransport(create_app(state, bus, registry), client=(peer, 40000))
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            yield Console(state, bus, clock, client)


def with_neighbours(console: Console, answers: dict[str, httpx.Response]) -> list[httpx.Request]:
    """Have the neighbours answer by path, of others know nothing; returns what they were asked."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.url.path not in answers:
            raise httpx.ConnectError("refused")
        return answers[request.url.path]

    beside(console, httpx.MockTransport(answer))
    return asked


def beside(console: Console, transport: httpx.AsyncBaseTransport) -> None:
    """Put a Prometheus and a dialer beside the gateway, both reached by a transport."""
    neighbours = Neighbours(
        "http://prometheus:9090", "http://dialer:5002", "dialer-key", transport=transport
    )
    console.state.console = replace(
        console.state.console,
        neighbours=neighbours,
        outlook=Outlook(console.bus, neighbours, console.clock),
    )
