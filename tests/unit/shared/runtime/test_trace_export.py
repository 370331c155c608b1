"""Spans on their way to a collector, one that takes them and some that don't."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from shared.metrics.catalogue import TracingMetrics
from shared.protocol.trace import SpanPlace
from shared.runtime.clock import SystemClock
from shared.runtime.settings import ServiceSettings
from shared.runtime.trace_export import SpanQueue, open_otlp, open_tracing, read_pairs
from shared.runtime.tracing import Span
from tests.support.collector import Collector, running_collector

PLACE = SpanPlace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


def span(number: int = 0) -> Span:
    return Span("connect", PLACE, None, number, number + 1, {"call_id": "c"})


class Counted:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.metrics = TracingMetrics(self._registry)

    def __getitem__(self, outcome: str) -> float:
        labels = {"outcome": outcome}
        return self._registry.get_sample_value("voice_runtime_spans_total", labels) or 0.0


class Sink:
    """Takes spans, or blocks until it is let go."""

    def __init__(self, is_taken: Callable[[], bool] = lambda: True) -> None:
        self.got: list[Span] = []
        self.free = threading.Event()
        self.free.set()
        self.is_closed = False
        self._is_taken = is_taken

    def send(self, spans: Sequence[Span]) -> bool:
        self.free.wait(5)
        self.got += spans
        return self._is_taken()

    def close(self) -> None:
        self.is_closed = True
        self.free.set()


def queue_to(sink: Sink, counted: Counted, most_waiting: int = 100) -> SpanQueue:
    queue = SpanQueue(sink, counted.metrics, most_waiting=most_waiting, every_s=0.01)
    queue.start()
    return queue


def test_spans_reach_their_sink_in_order_and_the_last_ones_on_the_way_out() -> None:
    sink, counted = Sink(), Counted()
    queue = queue_to(sink, counted)
    for number in range(90):
        queue.put(span(number))
    queue.stop()
    assert [one.began_ns for one in sink.got] == list(range(90))
    assert (counted["exported"], counted["dropped"], sink.is_closed) == (90, 0, True)


def test_a_sink_that_hangs_costs_spans_and_nobodys_time() -> None:
    sink, counted = Sink(), Counted()
    sink.free.clear()
    queue = queue_to(sink, counted, most_waiting=10)
    queue.put(span())
    time.sleep(0.05)  # it hangs with that one
    began_s = time.perf_counter()
    for number in range(1000):
        queue.put(span(number))
    assert time.perf_counter() - began_s < 0.2
    assert counted["dropped"] == 990
    began_s = time.perf_counter()
    queue.stop(0.1)
    assert time.perf_counter() - began_s < 1.0


def test_what_a_sink_does_not_take_is_counted_and_the_next_batch_is_tried() -> None:
    answers = iter([False, True])
    sink, counted = Sink(lambda: next(answers)), Counted()
    queue = queue_to(sink, counted)
    queue.put(span())
    time.sleep(0.05)
    queue.put(span())
    queue.stop()
    assert (counted["failed"], counted["exported"]) == (1, 1)


def test_a_sink_with_a_bug_does_not_end_the_thread() -> None:
    calls = iter([True, False])

    def broken() -> bool:
        if next(calls):
            raise ValueError("odd span")
        return True

    sink, counted = Sink(broken), Counted()
    queue = queue_to(sink, counted)
    queue.put(span())
    time.sleep(0.05)
    queue.put(span())
    queue.stop()
    assert (counted["failed"], counted["exported"]) == (1, 1)


def test_a_collector_gets_a_span_whole(collector: Collector) -> None:
    sink = open_otlp(f"{collector.url}/v1/traces", headers={"X-Key": "k"}, resource={"a": "b"})
    link = SpanPlace(PLACE.trace_id, "1111111111111111")
    whole = Span(
        "request", PLACE, "2222222222222222", 10**18, 10**18 + 5 * 10**8, {"n": 1}, [link], "cut"
    )
    assert sink.send([whole])
    sink.close()
    (told,) = collector.spans
    assert (told.name, told.trace_id, told.span_id) == ("request", PLACE.trace_id, PLACE.span_id)
    assert (told.parent_id, told.links) == ("2222222222222222", ("1111111111111111",))
    assert (told.began_s, told.ended_s) == (10**9, 10**9 + 0.5)
    assert (told.attributes, told.error) == ({"n": 1}, "cut")
    assert collector.resources == [{"a": "b"}]
    assert collector.headers[0]["x-key"] == "k"


@pytest.mark.parametrize("status", [400, 503])
def test_a_collector_that_refuses_is_given_up_in_time(collector: Collector, status: int) -> None:
    collector.status = status
    url = f"{collector.url}/v1/traces"
    sink = open_otlp(url, headers={}, resource={}, timeout_s=0.5)
    began_s = time.perf_counter()
    assert not sink.send([span()])
    assert time.perf_counter() - began_s < 2.0
    sink.close()


async def test_what_the_settings_say_is_what_the_collector_gets(collector: Collector) -> None:
    settings = ServiceSettings(
        otel_exporter_otlp_endpoint=f"{collector.url}/",
        otel_exporter_otlp_headers=SecretStr("authorization=Bearer%20s3cret,x-scope=a"),
        otel_resource_attributes="deployment.environment=trial,odd",
    )
    counted = Counted()
    async with open_tracing("gateway", settings, counted.metrics, SystemClock()) as tracer:
        with tracer.span("attach", tracer.concern("c")):
            pass
    (told,) = collector.spans
    assert (told.service, told.name) == ("parley-gateway", "attach")
    assert abs(told.began_s - time.time()) < 5.0
    assert collector.headers[0]["authorization"] == "Bearer s3cret"
    assert collector.resources[0]["deployment.environment"] == "trial"
    assert "s3cret" not in repr(settings)
    assert counted["exported"] == 1


async def test_a_share_of_nought_traces_nothing(collector: Collector) -> None:
    settings = ServiceSettings(
        otel_exporter_otlp_endpoint=collector.url, otel_traces_sampler_arg=0.0
    )
    async with open_tracing("x", settings, Counted().metrics, SystemClock()) as tracer:
        with tracer.span("attach", tracer.concern("c")):
            pass
    assert collector.spans == []


def test_pairs_are_read_leniently() -> None:
    assert read_pairs("") == {}
    assert read_pairs("a=1, b = two%20words ,c,d=x=y") == {"a": "1", "b": "two words", "d": "x=y"}
