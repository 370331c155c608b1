"""Starts the gateway: settings in, parts together, signals, and down again in reverse."""

from __future__ import annotations

import gc
import logging
import sys
from contextlib import AsyncExitStack

import structlog
import uvloop

from services.gateway.access.webhook_auth import CannotAuthenticate
from services.gateway.app import build_state, create_app, pool_memory, server_options
from services.gateway.public_url import NoTunnel, open_tunnel
from services.gateway.settings import GatewaySettings
from services.gateway.state import GatewayState
from services.gateway.workers.lasting_bus import LastingBus
from shared.bus.redis import open_bus
from shared.metrics.catalogue import (
    BusMetrics,
    DeferredMetrics,
    GatewayMetrics,
    RuntimeMetrics,
    TracingMetrics,
)
from shared.metrics.server import service_registry
from shared.recordings.errors import BadAddress
from shared.runtime.clock import SystemClock
from shared.runtime.http import serve_app
from shared.runtime.lifecycle import Lifecycle, LoopLag
from shared.runtime.logs import configure_logging
from shared.runtime.settings import load_settings
from shared.runtime.tasks import TaskOwner
from shared.runtime.trace_export import open_tracing

_log = structlog.get_logger(__name__)


async def run(settings: GatewaySettings) -> None:
    """Serve until told to stop, then let calls finish."""
    lifecycle = Lifecycle()
    lifecycle.install_signals()
    registry = service_registry()
    runtime = RuntimeMetrics(registry)
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(
            open_bus(
                settings.redis_url,
                password=settings.password,
                prefix=settings.redis_prefix,
                timeout_s=settings.redis_timeout_s,
                metrics=BusMetrics(registry),
            )
        )
        metrics, clock = GatewayMetrics(registry), SystemClock()
        tracer = await stack.enter_async_context(
            open_tracing("gateway", settings, TracingMetrics(registry), clock)
        )
        bus = await stack.enter_async_context(
            LastingBus(
                redis,
                pool_memory(settings),
                metrics=metrics,
                deferred=DeferredMetrics(registry),
                clock=clock,
            )
        )
        tasks = await stack.enter_async_context(
            TaskOwner("gateway", on_failure=runtime.failures_of("gateway"))
        )
        state = build_state(settings, bus, metrics, clock, tasks, tracer, elsewhere=bus.workers)
        await stack.enter_async_context(state.console.neighbours)
        if state.recordings is not None:
            stack.callback(state.recordings.close)
        _warn(settings)
        app = create_app(state, bus, registry)
        port = await stack.enter_async_context(
            serve_app(
                app, host=settings.gateway_host, port=settings.http_port, **server_options(settings)
            )
        )
        await _make_public(state, port, stack)
        tasks.start(LoopLag(runtime).run(), name="loop_lag")
        tasks.start(state.switchboard.keep_house(), name="keep_house")
        tasks.start(state.switchboard.follow_events(), name="follow_events")
        _log.info("gateway_ready", port=port, gateway_id=settings.own_id, url=state.public_base)
        # What lives from here to the end need not be looked at by each collection.
        gc.collect()
        gc.freeze()
        await lifecycle.draining.wait()
        state.answering.is_draining = True
        is_idle = await lifecycle.drain(state.calls.until_idle, drain_s=settings.gateway_drain_s)
        _log.info("gateway_stopping", is_idle=is_idle, calls=state.calls.active)


async def _make_public(state: GatewayState, port: int, stack: AsyncExitStack) -> None:
    settings = state.settings
    if settings.public_url is not None:
        return
    if settings.ngrok_auth_token is None:
        _log.info(
            "local_gateway",
            hint="Vobiz can't reach it: set PUBLIC_URL, or NGROK_AUTH_TOKEN for a tunnel",
        )
        return
    tunnel = await open_tunnel(
        port,
        settings.ngrok_auth_token.get_secret_value(),
        timeout_s=settings.gateway_tunnel_timeout_s,
    )
    stack.callback(tunnel.close)
    state.public_base = tunnel.url


def _warn(settings: GatewaySettings) -> None:
    if settings.is_public and settings.has_default_link_secret:
        _log.warning(
            "default_link_secret", hint="set PARLEY_LINK_SECRET to the same text on all services"
        )
    if settings.has_own_token_secret:
        _log.warning(
            "token_secret_made_up",
            hint="several gateways need a common GATEWAY_TOKEN_SECRET or PARLEY_LINK_SECRET",
        )


def main() -> None:
    """Run the gateway; exit 2 with one line where the settings can't work."""
    settings = load_settings(GatewaySettings)
    configure_logging(
        "gateway",
        level=settings.log_level,
        log_format=settings.log_format,
        traced_share=settings.traced_share,
    )
    # uvicorn writes the media socket's path, and with it the token, at INFO.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    try:
        uvloop.run(run(settings))
    except (CannotAuthenticate, NoTunnel, BadAddress) as exc:
        sys.stderr.write(f"{exc}\n")
        raise SystemExit(2) from None
    except OSError as exc:
        sys.stderr.write(f"Port {settings.http_port} can't be used: {exc.strerror}.\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
