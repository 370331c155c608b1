"""Spans to a collector, by OpenTelemetry's OTLP over HTTP, behind the service's back.

A span waits in a bounded queue; a thread of its own makes it OpenTelemetry's and sends it with
others. A collector that is slow or gone costs the spans that find no room, and those are counted;
no call waits for it. OpenTelemetry is imported here alone, and only where a collector is set.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol
from urllib.parse import unquote

import structlog

from shared.metrics.catalogue import TracingMetrics
from shared.protocol.trace import SpanPlace
from shared.runtime.clock import Clock
from shared.runtime.settings import ServiceSettings
from shared.runtime.tracing import Span, Tracer

_log = structlog.get_logger(__name__)
_MOST_WAITING = 4096
_BATCH = 64
"""So few, because the thread that makes them OpenTelemetry's holds the others up meanwhile."""
_EVERY_S = 0.5
_SEND_S = 5.0
_STOP_S = 3.0


class SpanSink(Protocol):
    """Takes spans out of the process."""

    def send(self, spans: Sequence[Span]) -> bool:
        """Send them, bounded in time; whether they were taken. Called from a thread."""
        ...

    def close(self) -> None:
        """Give up what is being sent."""
        ...


class SpanQueue:
    """Spans that wait for their thread.

    When too many do, the newest are dropped: those that are there already make whole traces.

    Args:
        sink: where they go.
        metrics: counts them.
        most_waiting: so many at most.
        every_s: how long spans are gathered.
    """

    def __init__(
        self,
        sink: SpanSink,
        metrics: TracingMetrics,
        *,
        most_waiting: int = _MOST_WAITING,
        every_s: float = _EVERY_S,
    ) -> None:
        self._sink = sink
        self._most_waiting = most_waiting
        self._every_s = every_s
        self._waiting: deque[Span] = deque()
        self._stop = threading.Event()
        self._outcomes = {
            outcome: metrics.spans.labels(outcome) for outcome in ("exported", "dropped", "failed")
        }
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)

    def put(self, span: Span) -> None:
        """Take a span, or drop it; never waits."""
        if len(self._waiting) >= self._most_waiting:
            self._outcomes["dropped"].inc()
            return
        self._waiting.append(span)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, timeout_s: float = _STOP_S) -> None:
        """Send what waits, as far as that goes in time. Blocks."""
        self._stop.set()
        self._thread.join(timeout_s)
        self._sink.close()
        if left := len(self._waiting):
            self._outcomes["dropped"].inc(left)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._send_waiting()
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            is_taken = self._send(batch)
            self._outcomes["exported" if is_taken else "failed"].inc(len(batch))
            if not is_taken:
                return

    def _send(self, batch: Sequence[Span]) -> bool:
        try:
            is_taken = self._sink.send(batch)
        except Exception as exc:  # noqa: BLE001 - the top of a thread: the next batch may do better
            _log.error("spans_not_made", error=type(exc).__name__)
            return False
        if is_taken is self._is_failing:
            self._is_failing = not is_taken
            _log.log(
                logging.INFO if is_taken else logging.WARNING,
                "traces_taken_again" if is_taken else "traces_not_taken",
            )
        return is_taken


@asynccontextmanager
async def open_tracing(
    service: str, settings: ServiceSettings, metrics: TracingMetrics, clock: Clock
) -> AsyncIterator[Tracer]:
    """Yield a tracer, one that traces nothing unless a collector is set.

    What waits on the way out is sent within some seconds, or dropped.
    """
    endpoint = settings.otel_exporter_otlp_endpoint
    if endpoint is None:
        yield Tracer(clock=clock)
        return
    headers = settings.otel_exporter_otlp_headers
    resource = {
        "service.name": settings.otel_service_name or f"parley-{service}",
        "service.version": _version(),
        **read_pairs(settings.otel_resource_attributes),
    }
    sink = open_otlp(
        f"{endpoint.rstrip('/')}/v1/traces",
        headers=read_pairs(headers.get_secret_value() if headers is not None else ""),
        resource=resource,
    )
    queue = SpanQueue(sink, metrics)
    queue.start()
    try:
        yield Tracer(queue.put, clock, ratio=settings.otel_traces_sampler_arg)
    finally:
        await asyncio.to_thread(queue.stop)


def read_pairs(text: str) -> dict[str, str]:
    """Read `name=value,name=value`, percent-encoded; what has no = is left out."""
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name.strip(): unquote(value.strip()) for name, found, value in pairs if found}


def _version() -> str:
    try:
        return version("parley")
    except PackageNotFoundError:
        return "source"


def open_otlp(
    endpoint: str,
    *,
    headers: Mapping[str, str],
    resource: Mapping[str, str],
    timeout_s: float = _SEND_S,
) -> SpanSink:
    """Return a sink that posts to a collector.

    Args:
        endpoint: the whole URL.
        headers: sent with each request.
        resource: what is said of this process.
        timeout_s: of a batch, tries together.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

    # It says each failure, several times; here the first of a row is said.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    exporter = OTLPSpanExporter(endpoint, headers=dict(headers), timeout=timeout_s)
    described = Resource(dict(resource))
    scope = InstrumentationScope("parley")

    def context_of(place: SpanPlace) -> SpanContext:
        return SpanContext(
            int(place.trace_id, 16),
            int(place.span_id, 16),
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )

    def made(span: Span) -> ReadableSpan:
        parent = SpanPlace(span.place.trace_id, span.parent_id) if span.parent_id else None
        return ReadableSpan(
            span.name,
            context=context_of(span.place),
            parent=context_of(parent) if parent is not None else None,
            resource=described,
            attributes={f"parley.{key}": value for key, value in span.attributes.items()},
            links=[Link(context_of(link)) for link in span.links],
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=span.began_ns,
            end_time=span.ended_ns,
            instrumentation_scope=scope,
        )

    def send(spans: Sequence[Span]) -> bool:
        return exporter.export([made(span) for span in spans]) is SpanExportResult.SUCCESS

    return _Otlp(send, exporter.shutdown)


class _Otlp:
    def __init__(self, send: Callable[[Sequence[Span]], bool], close: Callable[[], None]) -> None:
        self.send = send
        self.close = close
