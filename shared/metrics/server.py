"""/healthz, /readyz and /metrics, the same on every service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ReadyCheck = Callable[[], Awaitable[Mapping[str, str]]]
"""Returns each dependency's state; ready when each is "ok", or begins with "ok: " and a caution."""


def service_registry() -> CollectorRegistry:
    """Return a registry with the process's own figures (memory, CPU, collector) in it."""
    disable_created_metrics()  # type: ignore[no-untyped-call] # the package's own
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def ops_routes(
    registry: CollectorRegistry,
    ready: ReadyCheck,
    *,
    facts: Callable[[], Mapping[str, str | None]] = dict,
) -> list[Route]:
    """Return the three routes.

    /healthz answers 200 as long as the loop turns. /readyz answers 200 or 503 with the state of
    each dependency as JSON, and with `facts` beside them, on which readiness does not depend.
    /metrics gives the Prometheus text format, or OpenMetrics on request.
    """

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        states = dict(await ready())
        is_ready = all(state == "ok" or state.startswith("ok: ") for state in states.values())
        body = {"ready": is_ready, **states, **facts()}
        return JSONResponse(body, status_code=200 if is_ready else 503)

    async def metrics(request: Request) -> Response:
        encoder, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encoder(registry), media_type=None, headers={"content-type": content_type})

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
