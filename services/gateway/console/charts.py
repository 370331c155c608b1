"""PURE. The charts of the last hour: what Prometheus is asked, and what its answers become."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

POINTS = 120
MIN_WINDOW_S, MAX_WINDOW_S = 300, 86_400
_OVER = "[2m]"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart; `query` is PromQL that gives one series."""

    label: str
    query: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart; `unit` is ms or nothing: a count."""

    name: str
    title: str
    unit: str
    lines: tuple[Line, ...]


def _quantile(share: float, metric: str, match: str = "") -> str:
    buckets = f"sum by (le) (rate({metric}_bucket{match}{_OVER}))"
    return f"1000 * histogram_quantile({share}, {buckets})"


CHARTS = (
    Chart(
        "calls",
        "Calls in progress",
        "",
        (
            Line("calls", "sum(voice_agent_active_calls)"),
            Line("room", "sum(voice_agent_open_capacity_calls)"),
        ),
    ),
    Chart(
        "turn",
        "Wait for an answer",
        "ms",
        (
            Line("median", _quantile(0.5, "voice_agent_turn_seconds", '{stage="total"}')),
            Line("95 %", _quantile(0.95, "voice_agent_turn_seconds", '{stage="total"}')),
        ),
    ),
    Chart(
        "barge_in",
        "Silence after barging in",
        "ms",
        (
            Line("median", _quantile(0.5, "voice_agent_barge_in_seconds")),
            Line("95 %", _quantile(0.95, "voice_agent_barge_in_seconds")),
        ),
    ),
    Chart(
        "frames",
        "Frames",
        "ms",
        (
            Line("arrival jitter, 95 %", _quantile(0.95, "voice_agent_frame_jitter_seconds")),
            Line("sent late, 99 %", _quantile(0.99, "voice_agent_pacing_lateness_seconds")),
        ),
    ),
    Chart(
        "loop_lag",
        "Event loop lag, 99 %",
        "ms",
        tuple(
            Line(job, _quantile(0.99, "voice_runtime_loop_lag_seconds", f'{{job="{job}"}}'))
            for job in ("gateway", "agent")
        ),
    ),
    Chart(
        "provider_errors",
        "Provider errors a minute",
        "",
        (Line("errors", f"60 * sum(rate(voice_agent_provider_errors_total{_OVER}))"),),
    ),
)


def step_s(window_s: float) -> float:
    """Return the time between two points of a window: never less than Prometheus scrapes."""
    return max(5.0, window_s / POINTS)


def chart_json(chart: Chart, answers: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return a chart for the page; `answers` are Prometheus' results, one for each line.

    Raises:
        KeyError, TypeError, ValueError: not a result of a range query.
    """
    series = [
        {"label": line.label, "points": _points(answer)}
        for line, answer in zip(chart.lines, answers, strict=True)
    ]
    return {"name": chart.name, "title": chart.title, "unit": chart.unit, "series": series}


def _points(answer: Sequence[Mapping[str, Any]]) -> list[list[float | None]]:
    if not answer:
        return []
    return [[float(at_s), _number(value)] for at_s, value in answer[0]["values"]]


def _number(text: str) -> float | None:
    number = float(text)
    return round(number, 3) if math.isfinite(number) else None
