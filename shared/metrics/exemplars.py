"""Which trace a measured time belongs to, so that a point on a dashboard leads to its call.

Prometheus takes exemplars with the OpenMetrics format alone; without a trace nothing is added.
"""

from __future__ import annotations

from prometheus_client import Histogram

from shared.runtime.tracing import trace_id


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
