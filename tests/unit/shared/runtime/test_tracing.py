from __future__ import annotations

import subprocess
import sys

import pytest

from deploy.local.install import ROOT
from shared.protocol.trace import SpanPlace, root_of
from shared.runtime.concern import About, Concern
from shared.runtime.tracing import NO_TRACER, Span, Tracer, kept_trace_id, trace_id
from tests.support.clock import ManualClock


class Stand:
    def __init__(self, ratio: float = 1.0) -> None:
        self.spans: list[Span] = []
        self.clock = ManualClock()
        self.tracer = Tracer(self.spans.append, self.clock, ratio=ratio)


def test_a_block_is_told_of_with_its_times_and_its_parent() -> None:
    stand = Stand()
    root = stand.tracer.concern("c")
    with stand.tracer.span("attach", root, agent="default", worker_id=None) as span:
        stand.clock.advance(0.25)
        span.note(worker_id="w")
    (told,) = stand.spans
    assert (told.name, told.parent_id) == ("attach", root_of("c", 1.0).span_id)
    assert told.place == (span.concern.span if span.concern else None)
    assert told.place.trace_id == root_of("c", 1.0).trace_id
    assert told.ended_ns - told.began_ns == 250_000_000
    assert told.attributes == {"call_id": "c", "agent": "default", "worker_id": "w"}


def test_the_first_span_of_a_trace_has_no_parent_and_the_place_all_know() -> None:
    stand = Stand()
    stand.tracer.tell("answer", None, stand.clock.now_s(), place=stand.tracer.concern("c"))
    (told,) = stand.spans
    assert (told.place, told.parent_id) == (root_of("c", 1.0), None)


def test_an_exception_is_the_error_of_its_block_and_goes_on() -> None:
    stand = Stand()
    with pytest.raises(ZeroDivisionError), stand.tracer.span("x", stand.tracer.concern("c")):
        _ = 1 / 0
    assert [told.error for told in stand.spans] == ["ZeroDivisionError"]


def test_a_block_that_never_learns_what_it_is_about_is_not_told_of() -> None:
    stand = Stand()
    with stand.tracer.span("ring", None):
        pass
    with stand.tracer.span("hangup", None) as span:
        span.under = stand.tracer.concern("c")
    assert [told.name for told in stand.spans] == ["hangup"]


def test_a_span_of_another_calls_trace_counts_for_nothing() -> None:
    stand = Stand()
    foreign = SpanPlace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    ours = SpanPlace(root_of("c", 1.0).trace_id, "00f067aa0ba902b7")
    assert stand.tracer.concern("c", foreign).span == root_of("c", 1.0)
    assert stand.tracer.concern("c", ours).span == ours


def test_a_call_that_is_not_among_the_share_is_not_traced() -> None:
    stand = Stand(ratio=0.0)
    with stand.tracer.span("attach", stand.tracer.concern("c")) as span:
        assert span.concern is not None
        assert span.concern.span is not None
        assert not span.concern.span.is_sampled
    assert stand.spans == []


def test_links_and_moments_before_the_present_are_kept() -> None:
    stand = Stand()
    root = stand.tracer.concern("c")
    before = stand.tracer.inside(root)
    stand.tracer.tell("take_over", root, 995.0, 998.0, links=[before, Concern("c")])
    (told,) = stand.spans
    assert told.links == [before.span]
    assert told.ended_ns - told.began_ns == 3_000_000_000
    stand.tracer.tell("odd", root, 998.0, 997.0)
    assert stand.spans[-1].ended_ns == stand.spans[-1].began_ns


def test_nothing_is_told_where_nobody_takes_it() -> None:
    concern = NO_TRACER.concern("c")
    assert concern == Concern("c")
    with NO_TRACER.span("x", concern) as span:
        assert span.concern == concern
    with About(concern):
        assert trace_id() is None


def test_the_trace_of_the_work_in_hand_is_there_for_exemplars() -> None:
    assert trace_id() is None
    with About(Stand().tracer.concern("c")):
        assert trace_id() == root_of("c", 1.0).trace_id == kept_trace_id("c", 1.0)
    with About(Stand(ratio=0.0).tracer.concern("c")):
        assert trace_id() is None
    assert kept_trace_id("c", 0.0) is None


@pytest.mark.parametrize("service", ["gateway", "agent", "dialer"])
def test_what_sends_spans_is_not_imported_where_nothing_is_traced(service: str) -> None:
    """It would cost each process some 25 ms at its start, and 8 MB once it sends.

    Parts of OpenTelemetry that fastapi and redis import by themselves are there anyway.
    """
    code = f"""
import asyncio, sys
SENDERS = ["opentelemetry.exporter", "opentelemetry.sdk.trace", "google.protobuf", "requests"]
import services.{service}.__main__
from prometheus_client import CollectorRegistry
from shared.metrics.catalogue import TracingMetrics
from shared.runtime.clock import SystemClock
from shared.runtime.settings import ServiceSettings
from shared.runtime.trace_export import open_tracing

async def run(endpoint):
    settings = ServiceSettings(_env_file=None, otel_exporter_otlp_endpoint=endpoint)
    metrics = TracingMetrics(CollectorRegistry())
    async with open_tracing("x", settings, metrics, SystemClock()) as tracer:
        print(tracer.is_on, [name for name in SENDERS if name in sys.modules])

asyncio.run(run(None))
asyncio.run(run("http://127.0.0.1:9"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    senders = "['opentelemetry.exporter', 'opentelemetry.sdk.trace', 'google.protobuf', 'requests']"
    assert done.stdout.splitlines() == ["False []", f"True {senders}"], done.stderr
