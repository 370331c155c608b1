"""Traces beside measured times, and labels that people make up."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import choose_encoder

from shared.metrics.bounded import OTHER, BoundedLabel
from shared.metrics.exemplars import observe
from shared.protocol.trace import SpanPlace
from shared.runtime.concern import About, Concern
from shared.runtime.tracing import trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def histogram(registry: CollectorRegistry) -> Histogram:
    return Histogram("t_seconds", "From a to b.", buckets=(1.0,), registry=registry)


def text_of(registry: CollectorRegistry) -> str:
    encode, _ = choose_encoder("application/openmetrics-text")
    return str(encode(registry).decode())


def test_without_a_trace_a_value_is_observed_bare(
    registry: CollectorRegistry, histogram: Histogram
) -> None:
    observe(histogram, 0.5)
    assert trace_id() is None
    assert registry.get_sample_value("t_seconds_sum") == 0.5
    assert "trace_id" not in text_of(registry)


def test_the_trace_being_recorded_is_beside_the_value(
    registry: CollectorRegistry, histogram: Histogram
) -> None:
    with About(Concern("c", SpanPlace(TRACE, "00f067aa0ba902b7", is_sampled=True))):
        observe(histogram, 0.5)
    observe(histogram, 5.0, "00000000000000000000000000000001")
    lines = [line for line in text_of(registry).splitlines() if "bucket" in line]
    assert f'# {{trace_id="{TRACE}"}} 0.5' in lines[0]
    assert '# {trace_id="00000000000000000000000000000001"} 5.0' in lines[1]


def test_names_beyond_the_bound_share_one_label() -> None:
    label = BoundedLabel(most=2)
    assert [label.of(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]
