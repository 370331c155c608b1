"""PURE. The place of a span in a call's trace, and how it is written between services (W3C).

A call's trace and the span that all others stand under have ids made from the call's own id. So
whoever has to do with a call - another gateway, the dialer, a worker that takes it over, a line of
a log - names the same trace without being told of it, and nobody can put spans of one call into
the trace of another.

Source: W3C Trace Context, version 00.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

HEADER = "traceparent"
_FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 1
_RATIO_BITS = 64


@dataclass(frozen=True, slots=True)
class SpanPlace:
    """One span, as others refer to it.

    Attributes:
        trace_id: 32 hexadecimal digits, not all nought.
        span_id: 16 of them, likewise.
        is_sampled: whether the trace is kept at all.
    """

    trace_id: str
    span_id: str
    is_sampled: bool = True

    def serialize(self) -> str:
        """Return the value of a `traceparent` header."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"


def parse_traceparent(text: str) -> SpanPlace | None:
    """Read a `traceparent` of version 00; None for anything else, however near it comes."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    trace_id, span_id, flags = match.groups()
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    return SpanPlace(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def trace_id_of(call_id: str) -> str:
    """Return the id of a call's trace."""
    return hashlib.sha256(f"parley trace:{call_id}".encode()).hexdigest()[:32]


def root_of(call_id: str, ratio: float) -> SpanPlace:
    """Return the place of the span that all others of a call stand under.

    Args:
        call_id: of the call.
        ratio: the share of calls whose traces are kept, 0 to 1; every service that has the same
            one decides the same of a call.
    """
    trace_id = trace_id_of(call_id)
    span_id = hashlib.sha256(f"parley root:{call_id}".encode()).hexdigest()[:16]
    return SpanPlace(trace_id, span_id, is_kept(trace_id, ratio))


def is_kept(trace_id: str, ratio: float) -> bool:
    """Whether a trace is among the share kept, by its last 64 bits as OpenTelemetry has it."""
    bound = round(ratio * (1 << _RATIO_BITS))
    return int(trace_id[-_RATIO_BITS // 4 :], 16) < bound
