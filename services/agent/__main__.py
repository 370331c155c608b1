"""Starts an agent worker: wiring only."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from importlib.metadata import PackageNotFoundError, version
from uuid import uuid4

import structlog
import uvloop
from starlette.applications import Starlette

from services.agent.agents.load import load_flow
from services.agent.call import Parts
from services.agent.phone_speech import PhoneSpeech
from services.agent.providers import base
from services.agent.providers.errors import ProviderUnavailable
from services.agent.providers.offline.flow import FlowBrain
from services.agent.providers.offline.silero import SileroVoiceActivity
from services.agent.providers.offline.sphinx import SphinxTranscriber
from services.agent.providers.offline.voice import OfflineSynthesiser
from services.agent.settings import AgentSettings
from services.agent.turn.sentences import split_sentences
from services.agent.turn.vad import SpeechDetector, VadTuning
from services.agent.worker import Worker
from shared.bus.messages import WorkerLease
from shared.bus.redis import open_bus
from shared.metrics.catalogue import AgentMetrics, BusMetrics, RuntimeMetrics
from shared.metrics.server import ops_routes, service_registry
from shared.protocol.call import CallId, Direction, WorkerId
from shared.runtime.clock import SystemClock
from shared.runtime.http import serve_app
from shared.runtime.lifecycle import Lifecycle, LoopLag
from shared.runtime.logs import configure_logging
from shared.runtime.settings import load_settings

_log = structlog.get_logger(__name__)


async def run(settings: AgentSettings) -> None:
    """Run a worker until it is told to stop."""
    registry = service_registry()
    metrics = AgentMetrics(registry)
    lifecycle = Lifecycle()
    lifecycle.install_signals()
    tuning = VadTuning(
        echo_margin_db=settings.agent_echo_margin_db, end_silence_s=settings.agent_endpointing_s
    )
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
        transcriber = await stack.enter_async_context(
            SphinxTranscriber(
                processes=settings.agent_stt_processes, on_dropped=metrics.dropped_audio.inc
            )
        )
        synthesiser = OfflineSynthesiser.open(settings.agent_voice)
        stack.callback(synthesiser.close)
        worker_id = WorkerId(f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}")
        parts = Parts(
            worker_id=worker_id,
            activity=SileroVoiceActivity(),
            transcriber=transcriber,
            brain=FlowBrain(load_flow(settings.agent_files / "flows" / "parley.yaml")),
            speech=PhoneSpeech(synthesiser, chunk_timeout_s=settings.agent_provider_timeout_s),
            make_detector=lambda: SpeechDetector(tuning),
            store=bus.calls,
            metrics=metrics,
            clock=SystemClock(),
            turn_taking=settings.turn_taking,
            lead_s=settings.agent_lead_s,
            provider_timeout_s=settings.agent_provider_timeout_s,
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
            bus=bus,
            secret=settings.link_secret,
            lag=LoopLag(RuntimeMetrics(registry)),
        )

        async def ready() -> Mapping[str, str]:
            return {
                "redis": "ok" if await bus.ping() else "unavailable",
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
        await _rehearse(parts)
        gc.collect()
        gc.freeze()
        worker.start()
        _log.info(
            "worker_ready",
            worker_id=worker_id,
            address=lease.address,
            capacity=lease.capacity,
            voice=synthesiser.name,
        )
        await lifecycle.draining.wait()
        worker.drain()
        has_drained = await lifecycle.drain(worker.wait_idle, drain_s=settings.agent_drain_s)
        _log.info("worker_stopping", has_drained=has_drained)


async def _rehearse(parts: Parts) -> None:
    """Speak the greeting once, so that the first callers of a worker don't wait for it."""
    facts = base.CallFacts(CallId("rehearsal"), "default", Direction.INBOUND, "", "")
    async for piece in parts.brain.open(facts, {}).greet():
        if isinstance(piece, base.Say):
            for number, sentence in enumerate(split_sentences(piece.text)):
                async for _ in parts.speech.speak(sentence, is_first=number == 0):
                    pass


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
    configure_logging("agent", level=settings.log_level, log_format=settings.log_format)
    if settings.has_default_link_secret:
        _log.info("link_secret_is_the_default", hint="set PARLEY_LINK_SECRET outside a trial")
    try:
        uvloop.run(run(settings))
    except ProviderUnavailable as exc:
        _log.error("cannot_start", error=str(exc))
        raise SystemExit(1) from None
    except OSError as exc:
        _log.error("cannot_bind", error=str(exc))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
