"""Starts an agent worker: wiring only."""

from __future__ import annotations

import gc

if __name__ == "__main__":
    # What is imported stays: to look for garbage in it again and again is a third of the start.
    # Until `run` has all it needs.
    gc.disable()

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from uuid import uuid4

import structlog
import uvloop
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from starlette.applications import Starlette

from services.agent.after_call.archive import Archive
from services.agent.after_call.deliver import Deliverer
from services.agent.agents.library import Library, LibraryOptions
from services.agent.agents.load import Agent, BadAgent, Loader
from services.agent.call.parts import Parts
from services.agent.capacity import LatenessRule
from services.agent.company.casting import Production, Workshop, produce
from services.agent.company.casts import Casts
from services.agent.company.provider_pool import ProviderPool
from services.agent.providers.catalogue import make_registry
from services.agent.providers.chain.link import Breakers
from services.agent.providers.errors import ProviderUnavailable
from services.agent.providers.offline.silero import SileroVoiceActivity
from services.agent.providers.offline.sphinx import SphinxTranscriber
from services.agent.providers.offline.voice import OfflineSynthesiser
from services.agent.recording.sweep import Sweep
from services.agent.recording.writer import OnFailure, RecordingWriter, WriterBounds
from services.agent.settings import AgentSettings
from services.agent.speech.shared_speech import SharedSpeech
from services.agent.tools.base import ToolUnusable
from services.agent.turn.vad import SpeechDetector, VadTuning
from services.agent.wire.network import VobizNetwork
from services.agent.wire.scorer import FrameScorer
from services.agent.worker import Worker
from shared.bus.deferred_calls import DeferredCalls
from shared.bus.messages import WorkerLease
from shared.bus.redis import RedisBus, open_bus
from shared.metrics.catalogue import (
    AfterCallMetrics,
    AgentMetrics,
    BusMetrics,
    DeferredMetrics,
    ProviderMetrics,
    RecordingMetrics,
    RuntimeMetrics,
    TracingMetrics,
)
from shared.metrics.server import ops_routes, service_registry
from shared.protocol.call import WorkerId
from shared.recordings.archive import RecordingArchive
from shared.recordings.errors import BadAddress
from shared.recordings.store import open_store
from shared.runtime.clock import SystemClock
from shared.runtime.http import serve_app
from shared.runtime.lifecycle import Lifecycle, LoopLag
from shared.runtime.logs import configure_logging
from shared.runtime.secrets import EnvironmentSecrets
from shared.runtime.settings import load_settings
from shared.runtime.tasks import TaskOwner
from shared.runtime.trace_export import open_tracing
from shared.runtime.tracing import Tracer
from shared.vobiz.client import open_vobiz

_log = structlog.get_logger(__name__)


async def run(settings: AgentSettings) -> None:
    """Run a worker until it is told to stop."""
    registry = service_registry()
    metrics = AgentMetrics(registry)
    lifecycle = Lifecycle()
    lifecycle.install_signals()
    tuning = VadTuning(echo_margin_db=settings.agent_echo_margin_db)
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
        calls = await stack.enter_async_context(
            DeferredCalls(bus.calls, DeferredMetrics(registry), SystemClock())
        )
        tracer = await stack.enter_async_context(
            open_tracing("agent", settings, TracingMetrics(registry), SystemClock())
        )
        worker_id = WorkerId(f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}")
        secrets = EnvironmentSecrets.read()
        casts = await _open_casts(settings, secrets, bus, registry, metrics, stack, tracer)
        deliverer = await stack.enter_async_context(
            Deliverer(
                bus.outbox,
                worker=worker_id,
                secret_of=lambda name: _plain(secrets.get(name)),
                metrics=AfterCallMetrics(registry),
                clock=SystemClock(),
                chance=random.Random(),  # noqa: S311 - spreads retries in time
            )
        )
        vobiz = await stack.enter_async_context(
            open_vobiz(
                settings.vobiz_account,
                timeout_s=settings.agent_vobiz_timeout_s,
                connect_timeout_s=settings.agent_vobiz_timeout_s / 2,
                user_agent="parley-agent",
            )
        )
        runtime = RuntimeMetrics(registry)
        recordings = await _open_recordings(
            settings, bus, calls, worker_id, registry, stack, runtime.failures_of("recordings")
        )
        parts = Parts(
            worker_id=worker_id,
            scorer=FrameScorer(SileroVoiceActivity(), metrics, SystemClock()),
            make_detector=lambda: SpeechDetector(tuning),
            archive=Archive(calls, deliverer),
            network=VobizNetwork(bus.values, vobiz if settings.vobiz_account else None),
            metrics=metrics,
            clock=SystemClock(),
            lead_s=settings.agent_lead_s,
            burst_s=settings.agent_burst_s,
            sessions=bus.sessions,
            live=bus.live,
            tracer=tracer,
            recordings=recordings,
        )
        loop = asyncio.get_running_loop()
        listener = socket.create_server(
            (settings.ws_host, settings.ws_port), backlog=1024, reuse_port=False
        )
        port = listener.getsockname()[1]
        lease = WorkerLease(
            worker_id,
            f"{settings.agent_advertise_host or _own_address()}:{port}",
            settings.agent_capacity,
            version=_version(),
            zone=settings.agent_zone,
        )
        worker = Worker(
            lease,
            parts,
            casts,
            bus=bus,
            secret=settings.link_secret,
            lag=LoopLag(runtime),
            on_task_failed=runtime.failures_of("worker"),
            lateness=LatenessRule(budget_s=settings.agent_lateness_budget_s),
        )

        async def ready() -> Mapping[str, str]:
            return {
                "redis": worker.pool_state,
                "worker": "draining" if worker.is_draining else "ok",
            }

        await stack.enter_async_context(
            serve_app(
                Starlette(routes=ops_routes(registry, ready)),
                host=settings.ws_host,
                port=settings.agent_metrics_port,
            )
        )
        server = await loop.create_server(worker.make_link, sock=listener)
        stack.callback(server.close)
        stack.push_async_callback(worker.stop)
        gc.collect()
        gc.freeze()
        gc.enable()
        worker.start()
        _log.info(
            "worker_ready",
            worker_id=worker_id,
            address=lease.address,
            capacity=lease.capacity,
            agents=casts.names,
        )
        await lifecycle.draining.wait()
        worker.drain()
        has_drained = await lifecycle.drain(worker.wait_idle, drain_s=settings.agent_drain_s)
        _log.info("worker_stopping", has_drained=has_drained)


async def _open_casts(
    settings: AgentSettings,
    secrets: EnvironmentSecrets,
    bus: RedisBus,
    registry: CollectorRegistry,
    metrics: AgentMetrics,
    stack: AsyncExitStack,
    tracer: Tracer,
) -> Casts:
    """Read the agents' files and make all of them ready.

    Raises:
        BadAgent, ProviderError, ToolUnusable: there would be nobody to take calls.
    """
    provider_metrics = ProviderMetrics(registry)
    async with _starting_recogniser(settings, metrics, stack) as transcriber:
        providers = make_registry(transcriber=transcriber, voice=settings.agent_voice)
        pool = ProviderPool(providers, secrets)
        stack.push_async_callback(pool.aclose)
        workshop = Workshop(
            pool=pool,
            breakers=Breakers(provider_metrics, SystemClock(), tracer),
            metrics=provider_metrics,
            secrets=secrets,
            defaults=settings,
            shared=await stack.enter_async_context(SharedSpeech(bus.cache, provider_metrics)),
            last_resort=_last_resort(settings.agent_voice, stack),
            tools_folder=settings.agent_tools,
            has_recordings=settings.recordings_url is not None,
        )

        async def produce_one(agent: Agent) -> Production:
            return await produce(agent, workshop)

        library = Library.open(
            settings.agent_files,
            Loader(providers, secrets),
            LibraryOptions(
                default=settings.agent_default,
                overrides=settings.overrides,
                on_refused=metrics.agent_files_refused.inc,
                on_unknown=metrics.unknown_agents.inc,
            ),
        )
        casts = Casts(library, produce_one)
        stack.push_async_callback(casts.aclose)
        await casts.open()
    return casts


@asynccontextmanager
async def _starting_recogniser(
    settings: AgentSettings, metrics: AgentMetrics, stack: AsyncExitStack
) -> AsyncIterator[SphinxTranscriber]:
    """Give the offline recogniser while it starts; it is there when the block is left.

    Its processes take as long as all else here, and nobody hears before the first call.
    """
    transcriber = SphinxTranscriber(
        processes=settings.agent_stt_processes, on_dropped=metrics.dropped_audio.inc
    )
    ears = await stack.enter_async_context(AsyncExitStack())
    async with TaskOwner("start") as starting:
        hearing = starting.start(ears.enter_async_context(transcriber), name="recogniser")
        await asyncio.sleep(0)  # begun before what follows keeps the loop
        yield transcriber
        await hearing


async def _open_recordings(
    settings: AgentSettings,
    bus: RedisBus,
    calls: DeferredCalls,
    worker_id: WorkerId,
    registry: CollectorRegistry,
    stack: AsyncExitStack,
    on_failure: OnFailure,
) -> RecordingWriter | None:
    """Make ready to record calls, and to remove what was kept long enough.

    Raises:
        BadAddress: RECORDINGS_URL names no store.
    """
    store = open_store(settings)
    if store is None:
        return None
    archive, metrics = RecordingArchive(store), RecordingMetrics(registry)
    stack.callback(archive.close)
    writer = await stack.enter_async_context(
        RecordingWriter(
            archive,
            worker=worker_id,
            metrics=metrics,
            clock=SystemClock(),
            bounds=WriterBounds(block_s=settings.agent_recording_block_s),
            calls=calls,
            on_failure=on_failure,
        )
    )
    sweep = Sweep(
        archive,
        bus,
        worker=worker_id,
        metrics=metrics,
        clock=SystemClock(),
        every_s=settings.agent_recording_sweep_s,
        on_failure=on_failure,
    )
    owner = await stack.enter_async_context(TaskOwner("recordings_sweep", on_failure=on_failure))
    owner.start(sweep.run(), name="sweep")
    return writer


def _last_resort(voice: str | None, stack: AsyncExitStack) -> OfflineSynthesiser | None:
    try:
        synthesiser = OfflineSynthesiser.open(voice)
    except ProviderUnavailable as exc:
        _log.warning("no_voice_of_last_resort", error=str(exc))
        return None
    stack.callback(synthesiser.close)
    return synthesiser


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _own_address() -> str:
    """The address other hosts reach this one by: the one its name resolves to."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


def _version() -> str:
    try:
        return version("parley")
    except PackageNotFoundError:
        return "source"


def main() -> None:
    """Read settings, run, and say plainly what is missing."""
    settings = load_settings(AgentSettings)
    configure_logging(
        "agent",
        level=settings.log_level,
        log_format=settings.log_format,
        traced_share=settings.traced_share,
    )
    if settings.has_default_link_secret:
        _log.info("link_secret_is_the_default", hint="set PARLEY_LINK_SECRET outside a trial")
    try:
        uvloop.run(run(settings))
    except BadAgent as exc:
        for fault in exc.faults:
            _log.error("agent_file_wrong", fault=str(fault))
        raise SystemExit(1) from None
    except (ProviderUnavailable, ToolUnusable, BadAddress) as exc:
        _log.error("cannot_start", error=str(exc))
        raise SystemExit(1) from None
    except OSError as exc:
        _log.error("cannot_bind", error=str(exc))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
