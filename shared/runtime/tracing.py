"""Spans of a call, told of once they are over; see shared/protocol/trace.py for how they meet.

A span is a name, two moments and a few words: nothing is alive while it lasts, so nothing can be
left open, and a stage whose times are known only afterwards is told like any other. Who tells one
hands it to a bounded queue and goes on; trace_export.py does the rest in a thread of its own.
While nothing is traced every function here returns at once, and OpenTelemetry is not imported.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias

from shared.protocol.trace import SpanPlace, is_kept, root_of, trace_id_of
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.concern import Concern, present

Attribute: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Span:
    """A span that is over.

    Attributes:
        name: what was done, of a closed set.
        place: its own.
        parent_id: of the span it is a part of, None for the first of a trace.
        began_ns: when it began, Unix time.
        ended_ns: when it ended.
        attributes: ids, names, outcomes; never words of a caller, numbers or secrets.
        links: spans that it follows without being part of them.
        error: what went wrong, one word; empty when nothing did.
    """

    name: str
    place: SpanPlace
    parent_id: str | None
    began_ns: int
    ended_ns: int
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    links: Sequence[SpanPlace] = ()
    error: str = ""


class Tracer:
    """Tells of spans.

    Args:
        put: takes a span, must not block; None: nothing is traced.
        clock: moments are of its monotonic time.
        ratio: the share of calls that are traced.
        chance: makes spans' ids.
    """

    def __init__(
        self,
        put: Callable[[Span], None] | None = None,
        clock: Clock | None = None,
        *,
        ratio: float = 1.0,
        chance: random.Random | None = None,
    ) -> None:
        self._put = put
        self._clock = clock or SystemClock()
        self._ratio = ratio
        self._chance = chance or random.Random()  # noqa: S311 - ids, not secrets

    @property
    def is_on(self) -> bool:
        """Whether anybody takes spans."""
        return self._put is not None

    def now_s(self) -> float:
        """Monotonic seconds, for the moments of spans."""
        return self._clock.now_s()

    def concern(self, call_id: str, place: SpanPlace | None = None) -> Concern:
        """Return where spans of a call stand.

        Args:
            call_id: of the call.
            place: the span they are part of, as another service has told; one of another trace
                than the call's counts for nothing. None: the call's first span.
        """
        if self._put is None:
            return Concern(call_id)
        root = root_of(call_id, self._ratio)
        is_ours = place is not None and place.trace_id == root.trace_id
        return Concern(call_id, place if is_ours else root)

    def inside(self, concern: Concern) -> Concern:
        """Return the place of a span that will be told of later, as part of another."""
        if self._put is None or concern.span is None:
            return concern
        span_id = f"{self._chance.getrandbits(64) | 1:016x}"
        return Concern(
            concern.call_id, SpanPlace(concern.span.trace_id, span_id, concern.span.is_sampled)
        )

    def tell(
        self,
        name: str,
        under: Concern | None,
        began_s: float,
        ended_s: float | None = None,
        *,
        place: Concern | None = None,
        links: Sequence[Concern] = (),
        error: str = "",
        **attributes: Attribute | None,
    ) -> None:
        """Tell of a span that is over.

        Args:
            name: of a closed set.
            under: what it is part of; None: it is the first of its trace, which `place` names.
            began_s: monotonic.
            ended_s: likewise; None: now.
            place: its own, from `inside` or, for a trace's first, from `concern`.
            links: what it follows.
            error: what went wrong, one word.
            attributes: those that are None are left out.
        """
        put, base = self._put, under or place
        if put is None or base is None or base.span is None or not base.span.is_sampled:
            return
        own = place if place is not None else self.inside(base)
        assert own.span is not None, "a place of a traced call is a span"
        now_s = self._clock.now_s()
        now_ns = round(self._clock.wall().timestamp() * 1e9)
        began_ns = now_ns - round((now_s - began_s) * 1e9)
        ended_ns = now_ns - (round((now_s - ended_s) * 1e9) if ended_s is not None else 0)
        known = {key: value for key, value in attributes.items() if value is not None}
        put(
            Span(
                name,
                own.span,
                under.span.span_id if under is not None and under.span is not None else None,
                began_ns,
                max(began_ns, ended_ns),
                {"call_id": own.call_id, **known},
                [link.span for link in links if link.span is not None],
                error,
            )
        )

    def span(self, name: str, under: Concern | None, **attributes: Attribute | None) -> OpenSpan:
        """Return a block that is told of when it is left; see OpenSpan."""
        return OpenSpan(self, name, under, attributes)


class OpenSpan:
    """A block of work. What it is part of it may learn within, by `under`; nothing: no span.

    `concern` is its own place, for what is part of it. An exception that leaves the block is its
    error, by its class's name.
    """

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        under: Concern | None,
        attributes: Mapping[str, Attribute | None],
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._attributes = dict(attributes)
        self._links: Sequence[Concern] = ()
        self.under = under
        self.concern = tracer.inside(under) if under is not None else None

    def note(self, **attributes: Attribute | None) -> None:
        """Say more of it."""
        self._attributes.update(attributes)

    def follows(self, *links: Concern | None) -> None:
        """Say what it follows."""
        self._links = [link for link in links if link is not None]

    def __enter__(self) -> Self:
        self._began_s = self._tracer.now_s()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self.under is None:
            return
        self._tracer.tell(
            self._name,
            self.under,
            self._began_s,
            self._tracer.now_s(),
            place=self.concern,
            links=self._links,
            error=kind.__name__ if kind is not None else "",
            **self._attributes,
        )


NO_TRACER = Tracer()
"""Traces nothing."""


def trace_id() -> str | None:
    """Return the id of the trace that the work in hand belongs to, for an exemplar.

    None where nothing is traced, or not this call.
    """
    concern = present()
    if concern is None or concern.span is None or not concern.span.is_sampled:
        return None
    return concern.span.trace_id


def kept_trace_id(call_id: str, ratio: float) -> str | None:
    """Return the id of a call's trace, None where it is not among the share that is kept."""
    found = trace_id_of(call_id)
    return found if is_kept(found, ratio) else None
