"""The links of a chain, their breakers, and what is measured of each call of a provider."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Literal, Self, TypeAlias, TypeVar

import structlog

from services.agent.providers.chain.breaker import BreakerState, CircuitBreaker
from services.agent.providers.chain.limits import ChainLimits
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
)
from shared.metrics.catalogue import ProviderMetrics
from shared.runtime.clock import Clock
from shared.runtime.concern import present
from shared.runtime.tracing import NO_TRACER, Tracer

_log = structlog.get_logger(__name__)
P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)
Kind: TypeAlias = Literal["stt", "llm", "tts", "realtime", "brain"]
_FOR_GOOD = {FailureCause.UNAUTHORIZED, FailureCause.MISSING}


@dataclass(frozen=True, slots=True, eq=False)
class Link(Generic[P_co]):
    """One provider of a chain; the same vendor may be there twice, with another voice or model.

    Attributes:
        name: as agents' files have it; labels metrics.
        part: the provider.
        account: tells providers of one name apart whose faults have nothing to do with each other
            (another key, another host), so that they don't share a breaker. Never shown.
        is_here: it runs in this process: it is late only when the machine is, and then whoever
            came next would be too.
    """

    name: str
    part: P_co
    account: str = ""
    is_here: bool = False


class Breakers:
    """The breakers of a worker, by kind, provider and account; made when first asked for."""

    def __init__(self, metrics: ProviderMetrics, clock: Clock, tracer: Tracer = NO_TRACER) -> None:
        self.metrics = metrics
        self.tracer = tracer
        self.clock = clock
        self._breakers: dict[tuple[str, str, str], CircuitBreaker] = {}

    def of(self, kind: Kind, link: Link[object], limits: ChainLimits) -> CircuitBreaker:
        """Return a provider's breaker; the limits are those of the first to ask."""
        key = (kind, link.name, link.account)
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = CircuitBreaker(limits)
            self.show(kind, link.name)
        return breaker

    def show(self, kind: Kind, name: str) -> None:
        """Bring the gauge of a provider up to date."""
        open_ones = sum(
            breaker.state is not BreakerState.CLOSED
            for (its_kind, its_name, _), breaker in self._breakers.items()
            if (its_kind, its_name) == (kind, name)
        )
        self.metrics.breaker_open.labels(kind, name).set(open_ones)


class Chain(Generic[P]):
    """The links of one kind, as the parts in this folder go along them.

    Raises:
        ValueError: no link at all.
    """

    def __init__(
        self, kind: Kind, links: Sequence[Link[P]], limits: ChainLimits, breakers: Breakers
    ) -> None:
        if not links:
            raise ValueError(f"a chain of {kind} without a link")
        self.kind = kind
        self.links = tuple(links)
        self.limits = limits
        self.breakers = breakers
        self.metrics = breakers.metrics

    def now_s(self) -> float:
        """Monotonic seconds."""
        return self.breakers.clock.now_s()

    def breaker(self, link: Link[P]) -> CircuitBreaker:
        """Return a link's breaker."""
        return self.breakers.of(self.kind, link, self.limits)

    def usable(self, passed_by: Sequence[Link[P]] = ()) -> Iterator[Link[P]]:
        """Yield the links that may be asked, in order; each is to be asked at once, by `attempt`.

        When every breaker is open the last link is asked all the same: nothing is lost by it.
        Links that were left for the one that is yielded are counted.

        Args:
            passed_by: links that are not to be asked, because they have failed already; the last
                of them is the one that is left now.
        """
        left = list(passed_by[-1:])
        has_asked = False
        for place, link in enumerate(self.links):
            if link in passed_by:
                continue
            is_last_hope = not has_asked and place == len(self.links) - 1
            if self.breaker(link).permits(self.now_s()) or is_last_hope:
                has_asked = True
                for one in left:
                    self.metrics.fallbacks.labels(self.kind, one.name).inc()
                left.clear()
                yield link
            left.append(link)

    def attempt(self, link: Link[P]) -> Attempt:
        """Return the measure of one call of a link."""
        self.breakers.show(self.kind, link.name)
        return Attempt(self.kind, link, self.breaker(link), self.breakers)


class Attempt:
    """One call of one provider: what its breaker, the metrics and the trace are told of it, once.

    As a context manager it judges by how the block is left: a ProviderError is the provider's
    failure; anything else that cuts it short is nobody's, unless a first piece had come, which
    is as good as a success.
    """

    def __init__(
        self, kind: Kind, link: Link[object], breaker: CircuitBreaker, breakers: Breakers
    ) -> None:
        self._kind = kind
        self._link = link
        self._breaker = breaker
        self._breakers = breakers
        self._metrics = breakers.metrics
        self._began_s = breakers.clock.now_s()
        self._has_first = False
        self._is_judged = False
        self._first_ms: float | None = None
        self._concern = present()

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return self._breakers.clock.now_s() - self._began_s

    def on_piece(self) -> None:
        """Note that a piece has come; the first one is measured."""
        if not self._has_first:
            self._has_first = True
            self._first_ms = round(1000 * self.elapsed_s, 1)
            self.observe("first", self.elapsed_s)

    def observe(self, stage: Literal["first", "total"], seconds: float) -> None:
        """Measure a stage."""
        self._metrics.seconds.labels(self._kind, self._link.name, stage).observe(seconds)

    def on_success(self) -> None:
        """Tell that the provider kept its promise."""
        if not self._is_judged:
            self._is_judged = True
            self._breaker.on_success()
            self._breakers.show(self._kind, self._link.name)

    def on_failure(self, error: ProviderError) -> None:
        """Tell what went wrong. A refusal of one input is no fault of the provider's."""
        self._metrics.errors.labels(self._kind, self._link.name, error.cause.value).inc()
        _log.warning(
            "provider_failed",
            kind=self._kind,
            provider=self._link.name,
            cause=error.cause.value,
            error=error.detail,
        )
        if not isinstance(error, ProviderRejected):
            is_for_good = isinstance(error, ProviderUnavailable) or error.cause in _FOR_GOOD
            self._breaker.on_failure(self._breakers.clock.now_s(), is_for_good=is_for_good)
        elif not self._is_judged:
            self._breaker.on_abandoned()
        self._is_judged = True
        self._tell("failed", error.cause.value)
        self._breakers.show(self._kind, self._link.name)

    def on_abandoned(self) -> None:
        """Tell that nobody waits for the outcome any more."""
        if self._has_first:
            self.on_success()
        elif not self._is_judged:
            self._is_judged = True
            self._breaker.on_abandoned()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(exc, ProviderError):
            self.on_failure(exc)
        elif exc is not None:
            self.on_abandoned()
            self._tell("abandoned")
        else:
            self.observe("total", self.elapsed_s)
            self.on_success()
            self._tell("answered")

    def on_left(self) -> None:
        """Tell that a stream was left that may have answered many times; no failure follows."""
        self._tell("left")

    def _tell(self, outcome: str, error: str = "") -> None:
        tracer, concern, self._concern = self._breakers.tracer, self._concern, None
        if not tracer.is_on or concern is None:
            return
        tracer.tell(
            "request",
            concern,
            tracer.now_s() - self.elapsed_s,
            kind=self._kind,
            provider=self._link.name,
            outcome=outcome,
            first_ms=self._first_ms,
            error=error,
        )
