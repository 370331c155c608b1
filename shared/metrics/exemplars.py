"""Which trace a measured time belongs to, so that a point on a dashboard leads to its call.

Prometheus takes exemplars with the OpenMetrics format alone; without a trace nothing is added.
"""

from __future__ import annotations

from contextvars import ContextVar

from prometheus_client import Histogram

CURRENT_TRACE: ContextVar[str | None] = ContextVar("current_trace", default=None)
"""The id of the trace that is being recorded, 32 hex digits; set by whoever records traces."""


def trace_id() -> str | None:
    """Return the trace that is being recorded, None where none is."""
    return CURRENT_TRACE.get()


def observe(metric: Histogram, value: float, trace: str | None = None) -> None:
    """Observe a value with the trace it is of.

    Not for what happens with each frame: a few hundred nanoseconds more than plain `observe`.

    Args:
        metric: a histogram, its labels given.
        value: in the metric's unit.
        trace: the trace where the caller knows it; None: the one that is being recorded.
    """
    trace = trace or trace_id()
    metric.observe(value, {"trace_id": trace} if trace else None)
