"""Counting what happens each 20 ms: what a scrape shows is what the usual metrics would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from shared.metrics.frames import FrameCounter, FrameHistogram

BUCKETS = (0.001, 0.01, 1.0)


def shown(registry: CollectorRegistry) -> list[str]:
    return [
        line for line in generate_latest(registry).decode().splitlines() if "_created" not in line
    ]


@given(st.lists(st.one_of(st.floats(0, 2), st.sampled_from([0.0, *BUCKETS]))))
def test_a_histogram_shows_what_the_usual_one_does(values: list[float]) -> None:
    quick, usual = CollectorRegistry(), CollectorRegistry()
    one = FrameHistogram("a_seconds", "Some time.", buckets=BUCKETS, registry=quick)
    other = Histogram("a_seconds", "Some time.", buckets=BUCKETS, registry=usual)
    for value in values:
        one.observe(value)
        other.observe(value)
    assert shown(quick) == shown(usual)


def test_a_counter_shows_what_the_usual_one_does_and_is_there_from_nought() -> None:
    quick, usual = CollectorRegistry(), CollectorRegistry()
    one = FrameCounter("a_total", "Things.", "side", ("in", "out"), registry=quick)
    other = Counter("a_total", "Things.", ["side"], registry=usual)
    for value in ("in", "out"):
        other.labels(value)
    assert shown(quick) == shown(usual)
    one.labels("out").inc()
    one.labels("out").inc(4)
    other.labels("out").inc(5)
    assert shown(quick) == shown(usual)
