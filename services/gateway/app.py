"""Builds the application from its parts; starts nothing."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.access.admission import Admission
from services.gateway.access.limits import RequestLimits
from services.gateway.access.nonces import NonceMemory
from services.gateway.access.webhook_auth import webhook_policy
from services.gateway.calls.answering import Answering, AnswerRules
from services.gateway.calls.errands import Errands
from services.gateway.calls.held import HeldCalls
from services.gateway.calls.records import Records
from services.gateway.calls.routing import Texts
from services.gateway.calls.switchboard import Switchboard
from services.gateway.console.browser_calls import BrowserCalls
from services.gateway.console.campaigns import MOST_TRANSFERS, TRANSFERS_FULL, UPLOAD_PATH
from services.gateway.console.neighbours import Neighbours
from services.gateway.console.outlook import Outlook
from services.gateway.console.parts import ConsoleParts
from services.gateway.console.routes import Features, install_console
from services.gateway.console.stream import Watchers
from services.gateway.media.bridge import BridgeLimits
from services.gateway.routes import calls as call_routes
from services.gateway.routes import media
from services.gateway.routes import recordings as recording_routes
from services.gateway.routes.webhooks import WebhookRejected, webhook_routes
from services.gateway.settings import GatewaySettings
from services.gateway.state import GatewayState
from services.gateway.vobiz_recordings.fetch import CopyFetcher, FetchBounds
from services.gateway.vobiz_recordings.pull import PullRules, VobizRecordings
from services.gateway.vobiz_recordings.rules import RecordRule
from services.gateway.wire.frame_socket import SocketLimits
from services.gateway.wire.media_protocol import MediaProtocol
from services.gateway.workers.last_known_pool import PoolMemory
from services.gateway.workers.links import LinkLimits, LinkOpener
from services.gateway.workers.pulses import Elsewhere
from services.gateway.workers.waiting_line import WaitingLine
from shared.bus.base import Bus, BusUnavailable
from shared.metrics.catalogue import GatewayMetrics
from shared.metrics.server import ops_routes
from shared.recordings.archive import RecordingArchive
from shared.recordings.store import open_store
from shared.runtime.clock import Clock
from shared.runtime.tasks import TaskOwner
from shared.runtime.tracing import NO_TRACER, Tracer

_CALLER_SLICE_BYTES = 2048
_CLOSING_S = 2.0
_NEW_CALL_WAIT_S = 5.0
"""Vobiz does not say how long it waits for an answer; the fallback URL is asked after that."""
_LINK_SLICE_BYTES = 16_384
"""A worker may send a sentence at once, and is no stranger that floods us."""


def build_state(
    settings: GatewaySettings,
    bus: Bus,
    metrics: GatewayMetrics,
    clock: Clock,
    tasks: TaskOwner,
    tracer: Tracer = NO_TRACER,
    elsewhere: Elsewhere | None = None,
) -> GatewayState:
    """Put the parts together.

    `elsewhere` is the pool as it was last seen; without it somebody is taken to be there always.

    Raises:
        CannotAuthenticate: a public gateway without a way to tell Vobiz from strangers.
        BadAddress: RECORDINGS_URL names no store.
    """
    policy = webhook_policy(
        settings.gateway_webhook_auth,
        is_public=settings.is_public,
        tokens=settings.auth_tokens,
        path_secret=settings.path_secret,
    )
    memory_s = settings.gateway_call_max_s
    store = open_store(settings)
    archive = None if store is None else RecordingArchive(store)
    texts = Texts(settings.gateway_busy_text, settings.gateway_apology_text)
    records = Records(bus.calls, settings.own_id)
    calls = HeldCalls(
        LinkOpener(
            bus, settings.link_secret, _link_limits(settings), metrics, clock, tracer, elsewhere
        ),
        bus.values,
        clock,
        wait_s=settings.gateway_token_lifetime_s,
        memory_s=memory_s,
    )
    rules = AnswerRules(
        token_lifetime_s=settings.gateway_token_lifetime_s,
        memory_s=memory_s,
        stream_max_retries=settings.gateway_stream_max_retries,
        texts=texts,
        token_secret=settings.token_secret,
        hold_text=settings.gateway_hold_text,
        hold_pause_s=settings.gateway_hold_pause_s,
        recorded=RecordRule(
            settings.vobiz_recorded_agents, settings.gateway_vobiz_recording_format
        ),
    )
    answering = Answering(
        calls=calls,
        values=bus.values,
        records=records,
        rules=rules,
        clock=clock,
        tasks=tasks,
        line=WaitingLine(settings.gateway_waiting_calls, settings.gateway_waiting_s),
        metrics=metrics,
        tracer=tracer,
    )
    errands = Errands(
        bus=bus, records=records, calls=calls, rules=rules, metrics=metrics, clock=clock
    )
    switchboard = Switchboard(
        bus=bus,
        records=records,
        calls=calls,
        admission=Admission(bus, settings.token_secret, settings.own_id, clock, memory_s=memory_s),
        errands=errands,
        texts=texts,
        memory_s=memory_s,
        bridge_limits=_bridge_limits(settings),
        metrics=metrics,
        clock=clock,
        tasks=tasks,
        tracer=tracer,
    )
    browser_calls = BrowserCalls(
        answering=answering,
        switchboard=switchboard,
        calls=calls,
        records=records,
        clock=clock,
        tasks=tasks,
        come_s=settings.gateway_token_lifetime_s,
        back_s=settings.gateway_reconnect_grace_s + _CLOSING_S,
    )
    return GatewayState(
        settings=settings,
        policy=policy,
        calls=calls,
        answering=answering,
        switchboard=switchboard,
        browser_calls=browser_calls,
        console=_console(settings, bus, clock),
        errands=errands,
        records=records,
        nonces=NonceMemory(bus.values, memory_s=settings.gateway_nonce_memory_s),
        metrics=metrics,
        clock=clock,
        caller_limits=_socket_limits(settings, slice_bytes=_CALLER_SLICE_BYTES),
        public_base=settings.public_url,
        tracer=tracer,
        recordings=archive,
        vobiz_recordings=_vobiz_recordings(settings, archive, bus, metrics, clock, tasks),
    )


def _vobiz_recordings(
    settings: GatewaySettings,
    archive: RecordingArchive | None,
    bus: Bus,
    metrics: GatewayMetrics,
    clock: Clock,
    tasks: TaskOwner,
) -> VobizRecordings | None:
    account = settings.vobiz_account
    if archive is None or account is None or not settings.vobiz_recorded_agents:
        return None
    bounds = FetchBounds(
        settings.gateway_vobiz_recording_max_bytes, settings.gateway_vobiz_recording_timeout_s
    )
    return VobizRecordings(
        archive,
        bus.calls,
        bus.values,
        CopyFetcher(account, bounds),
        metrics=metrics,
        clock=clock,
        tasks=tasks,
        rules=PullRules(settings.gateway_vobiz_recording_keep_days),
    )


def _console(settings: GatewaySettings, bus: Bus, clock: Clock) -> ConsoleParts:
    neighbours = Neighbours(
        settings.prometheus_url, settings.console_dialer_url, settings.dialer_key
    )
    return ConsoleParts(
        bus,
        neighbours,
        Outlook(bus, neighbours, clock),
        watchers=Watchers(settings.console_pages_max),
        transfers=Watchers(MOST_TRANSFERS, TRANSFERS_FULL),
    )


def pool_memory(settings: GatewaySettings) -> PoolMemory:
    """Return how the pool is remembered while the bus is away."""
    return PoolMemory(
        keep_s=settings.gateway_pool_memory_s,
        slow_s=settings.gateway_reserve_s,
        zone=settings.gateway_zone,
    )


def _link_limits(settings: GatewaySettings) -> LinkLimits:
    return LinkLimits(
        connect_s=settings.gateway_link_connect_s,
        turn_s=min(settings.gateway_link_connect_s, settings.gateway_worker_wait_s),
        ping_s=settings.gateway_link_ping_s,
        pong_s=settings.gateway_link_pong_s,
        tries=settings.gateway_worker_tries,
        wait_s=min(settings.gateway_worker_wait_s, _NEW_CALL_WAIT_S),
        socket=_socket_limits(settings, slice_bytes=_LINK_SLICE_BYTES),
    )


def _socket_limits(settings: GatewaySettings, *, slice_bytes: int) -> SocketLimits:
    return SocketLimits(
        message_max_bytes=settings.gateway_message_hard_max_bytes,
        send_s=settings.gateway_send_timeout_s,
        close_s=settings.gateway_close_timeout_s,
        slice_bytes=slice_bytes,
    )


def _bridge_limits(settings: GatewaySettings) -> BridgeLimits:
    return BridgeLimits(
        queue_frames=settings.gateway_relay_queue_frames,
        message_rate=settings.gateway_message_rate,
        message_max_chars=settings.gateway_message_max_bytes,
        caller_idle_s=settings.gateway_caller_idle_s,
        reconnect_grace_s=settings.gateway_reconnect_grace_s,
        worker_tries=settings.gateway_worker_tries,
        replay_s=settings.gateway_replay_s,
        worker_wait_s=settings.gateway_worker_wait_s,
    )


def create_app(state: GatewayState, bus: Bus, registry: CollectorRegistry) -> FastAPI:
    """Return the application that serves a state."""
    settings = state.settings
    # No documentation pages: they would tell strangers what there is to try.
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.gateway = state

    async def ready() -> Mapping[str, str]:
        return await readiness(state, bus)

    def facts() -> Mapping[str, str | None]:
        return {"public_url": state.public_base}  # a tunnel's is known to this process alone

    app.router.routes.extend(ops_routes(registry, ready, facts=facts))
    app.include_router(recording_routes.router)
    app.include_router(call_routes.router)
    app.include_router(media.router)
    neighbours = state.console.neighbours
    install_console(app, state, Features(neighbours.has_dialer, neighbours.has_charts))
    app.include_router(webhook_routes(has_path_secret=settings.path_secret is not None))
    app.add_exception_handler(WebhookRejected, _rejected)
    app.add_middleware(
        RequestLimits,
        header_max_bytes=settings.gateway_header_max_bytes,
        body_max_bytes=settings.gateway_body_max_bytes,
        own_bounds=UPLOAD_PATH,
        metrics=state.metrics,
    )
    return app


def _rejected(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, WebhookRejected)
    return Response(status_code=exc.status)


async def readiness(state: GatewayState, bus: Bus) -> Mapping[str, str]:
    """Return each dependency's state, "ok" where new calls can be taken.

    While Redis is away they are taken for as long as the pool is remembered.
    """
    states = {"redis": "ok", "workers": "ok", "gateway": "ok"}
    try:
        leases = await bus.workers.workers()
        if not any(not lease.draining for lease in leases):
            states["workers"] = "none"
        if not await bus.ping():
            states["redis"] = "ok: unreachable or full, calls go by the last known pool"
    except BusUnavailable:
        states["workers"] = "unknown"
        states["redis"] = "ok" if await bus.ping() else "unreachable"
    if state.answering.is_draining:
        states["gateway"] = "draining"
    return states


def server_options(settings: GatewaySettings) -> dict[str, object]:
    """Return uvicorn's options.

    The WebSocket implementation does the opening handshake alone, and keeps the interval of pings.
    A pong that does not come ends nothing: whether Vobiz answers pings is not documented; a silent
    caller is noticed by its missing frames. uvicorn does not look at forwarding headers, because
    anybody can send them; see trusted_proxies.py.
    """
    return {
        "http": "h11",
        "ws": MediaProtocol,
        "ws_max_size": settings.gateway_message_hard_max_bytes,
        "ws_per_message_deflate": False,
        "ws_ping_interval": settings.gateway_caller_ping_s,
        "ws_ping_timeout": None,
        "h11_max_incomplete_event_size": 65_536,
        "proxy_headers": False,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": 5,
    }
