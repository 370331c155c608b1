"""Start the dialer: `python -m services.dialer`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

import structlog

from services.dialer.access.account import AccountLook
from services.dialer.assembly import Parts, assemble
from services.dialer.calls.follow import CallFollower
from services.dialer.campaigns.ledger import Ledger
from services.dialer.machinery import build_machinery
from services.dialer.settings import DialerSettings
from services.dialer.watch import Watch, certificate_end
from shared.bus.redis import open_bus
from shared.metrics.catalogue import BusMetrics, DialerMetrics, RuntimeMetrics, TracingMetrics
from shared.metrics.server import service_registry
from shared.runtime.clock import SystemClock
from shared.runtime.http import serve_app
from shared.runtime.lifecycle import Lifecycle, LoopLag
from shared.runtime.logs import configure_logging
from shared.runtime.settings import load_settings
from shared.runtime.tasks import TaskOwner
from shared.runtime.trace_export import open_tracing
from shared.vobiz.client import open_vobiz

_log = structlog.get_logger(__name__)


async def run(settings: DialerSettings) -> None:
    """Serve until SIGTERM; then refuse new orders and finish those under way."""
    lifecycle = Lifecycle()
    lifecycle.install_signals()
    registry = service_registry()
    metrics, runtime = DialerMetrics(registry), RuntimeMetrics(registry)
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(
            open_bus(
                settings.redis_url,
                password=settings.password,
                prefix=settings.redis_prefix,
                timeout_s=settings.redis_timeout_s,
                metrics=BusMetrics(registry),
            )
        )
        vobiz = await stack.enter_async_context(
            open_vobiz(
                settings.account,
                timeout_s=settings.dialer_vobiz_timeout_s,
                connect_timeout_s=settings.dialer_vobiz_connect_s,
                user_agent="parley-dialer",
            )
        )
        tracer = await stack.enter_async_context(
            open_tracing("dialer", settings, TracingMetrics(registry), SystemClock())
        )
        tasks = await stack.enter_async_context(
            TaskOwner("dialer", on_failure=runtime.failures_of("dialer"))
        )
        tasks.start(CallFollower(bus, metrics).run(), name="follow")
        ledger = Ledger(bus.store, rows_max=settings.dialer_rows_max)
        machinery = build_machinery(
            settings, bus, vobiz, metrics, tracer=tracer, tasks=tasks, ledger=ledger
        )
        dialer = machinery.dialer
        machinery.start(
            tasks,
            silent_for_s=settings.dialer_silent_after_s,
            on_failure=runtime.failures_of("dialer"),
        )
        watch = Watch(
            vobiz if settings.account is not None else None,
            metrics,
            currency=settings.dialer_balance_currency,
            url=settings.gateway.base,
            certificate_end=certificate_end,
        )
        tasks.start(watch.run(every_s=settings.dialer_look_every_s), name="watch")
        tasks.start(LoopLag(runtime).run(), name="loop_lag")
        look = AccountLook(
            vobiz if settings.account is not None else None,
            machinery.pacing,
            currency=settings.dialer_balance_currency,
        )
        app = assemble(
            Parts(settings, bus, vobiz, dialer, metrics, registry, lifecycle.draining, look)
        )
        port = await stack.enter_async_context(
            serve_app(app, host=settings.dialer_host, port=settings.dialer_port)
        )
        _announce(settings, port)
        await lifecycle.draining.wait()
        machinery.runner.stop()
        if not await lifecycle.drain(dialer.until_idle, drain_s=settings.dialer_drain_s):
            _log.warning("stopped_while_dialling", hint="the sweep of the next start settles it")


def _announce(settings: DialerSettings, port: int) -> None:
    _log.info("dialer_started", port=port, gateway=settings.gateway.base)
    if settings.dialer_api_key is None:
        _log.warning("api_is_open", hint="set DIALER_API_KEY; fine for local trials alone")
    if settings.account is None:
        _log.warning("vobiz_not_configured", hint="set VOBIZ_AUTH_ID and VOBIZ_AUTH_TOKEN")
    elif settings.is_unreachable_for_vobiz:
        _log.warning(
            "gateway_not_public", hint="Vobiz can't call back: set PUBLIC_URL to the gateway's"
        )


def main() -> None:
    """Run the service."""
    settings = load_settings(DialerSettings)
    configure_logging(
        "dialer",
        level=settings.log_level,
        log_format=settings.log_format,
        traced_share=settings.traced_share,
    )
    if sys.platform == "win32":
        asyncio.run(run(settings))
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings))


if __name__ == "__main__":
    main()
