"""What a trace is told of one call of a provider."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from services.agent.providers.chain.limits import ChainLimits
from services.agent.providers.chain.link import Attempt, Breakers, Chain, Link
from services.agent.providers.errors import FailureCause, ProviderFailed
from shared.metrics.catalogue import ProviderMetrics
from shared.runtime.concern import About
from shared.runtime.tracing import Span, Tracer
from tests.support.clock import ManualClock


class Stand:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.spans: list[Span] = []
        self.tracer = Tracer(self.spans.append, self.clock)
        breakers = Breakers(ProviderMetrics(CollectorRegistry()), self.clock, self.tracer)
        self.link = Link("vendor", object())
        self.chain = Chain("llm", [self.link], ChainLimits(), breakers)
        self.turn = self.tracer.inside(self.tracer.concern("c"))

    def attempt(self) -> Attempt:
        with About(self.turn):
            return self.chain.attempt(self.link)


def test_an_answer_is_told_with_the_time_of_its_first_piece() -> None:
    stand = Stand()
    with stand.attempt() as attempt:
        stand.clock.advance(0.25)
        attempt.on_piece()
        stand.clock.advance(0.5)
    (told,) = stand.spans
    assert stand.turn.span is not None
    assert (told.name, told.parent_id, told.error) == ("request", stand.turn.span.span_id, "")
    assert told.ended_ns - told.began_ns == 750_000_000
    assert told.attributes == {
        "call_id": "c",
        "kind": "llm",
        "provider": "vendor",
        "outcome": "answered",
        "first_ms": 250.0,
    }


def test_a_failure_is_told_by_its_cause_and_never_by_its_words() -> None:
    stand = Stand()
    with pytest.raises(ProviderFailed), stand.attempt():
        raise ProviderFailed("vendor", "what the caller said", FailureCause.CUT)
    (told,) = stand.spans
    assert (told.attributes["outcome"], told.error) == ("failed", FailureCause.CUT.value)
    assert "caller said" not in str(told)


def test_an_answer_that_nobody_waits_for_is_no_failure() -> None:
    stand = Stand()
    with pytest.raises(asyncio.CancelledError), stand.attempt():
        raise asyncio.CancelledError
    assert [(told.attributes["outcome"], told.error) for told in stand.spans] == [("abandoned", "")]


def test_a_stream_is_told_of_once_when_it_is_left() -> None:
    stand = Stand()
    attempt = stand.attempt()
    attempt.on_success()
    assert stand.spans == []
    attempt.on_left()
    attempt.on_left()
    assert [told.attributes["outcome"] for told in stand.spans] == ["left"]


def test_what_is_done_for_no_call_has_no_span() -> None:
    stand = Stand()
    with stand.chain.attempt(stand.link):
        pass
    assert stand.spans == []
