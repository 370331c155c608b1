"""PURE. What a dashboard shows, said without Grafana: questions, queries, units, limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

RATE = "$__rate_interval"
"""Grafana fills in a window that holds at least four scrapes."""


class Unit(StrEnum):
    """Grafana's names of units."""

    SECONDS = "s"
    BYTES = "bytes"
    SHARE = "percentunit"
    PER_SECOND = "cps"
    PER_MINUTE = "cpm"
    NUMBER = "short"
    CORES = "cores"


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and how its series are named: `{{label}}` stands for a label."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One question and its answer over time.

    Attributes:
        title: short.
        description: the question, and what a bad answer means.
        queries: in the order of the legend.
        unit: of all of them.
        warn: above this it is worth a look; with `is_low_bad`, below.
        bad: above this callers suffer; with `is_low_bad`, below.
        is_low_bad: small values are the bad ones.
        is_stacked: the series add up to something.
        is_stat: the newest value as a number.
        width: of 24.
    """

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: Unit = Unit.NUMBER
    warn: float | None = None
    bad: float | None = None
    is_low_bad: bool = False
    is_stacked: bool = False
    is_stat: bool = False
    width: int = 8


@dataclass(frozen=True, slots=True)
class Variable:
    """What a reader may narrow a dashboard down to: the values of a metric's label."""

    label: str
    metric: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. `name` is its file's and its address's."""

    name: str
    title: str
    description: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...] = field(default=())

    def expressions(self) -> Iterator[tuple[str, str]]:
        """Every panel's title with each of its expressions, then those of the variables."""
        for panel in self.panels:
            for query in panel.queries:
                yield panel.title, query.expression
        for variable in self.variables:
            yield f"variable {variable.label}", variable.metric


def plain(expression: str, window: str = "1m") -> str:
    """Return an expression as Prometheus takes it: Grafana's windows and variables filled in."""
    filled = expression.replace(RATE, window).replace("$__range", "1h")
    for variable in ("agent", "instance", "job"):
        filled = filled.replace(f"${variable}", ".*")
    return filled


def quantiles(
    metric: str, *, by: str = "", where: str = "", of: tuple[float, ...] = (0.5, 0.95)
) -> tuple[Query, ...]:
    """Return queries for quantiles of a histogram.

    Args:
        metric: its name.
        by: a label to tell series apart by, beside the quantile.
        where: what to choose, as in braces.
        of: which quantiles.
    """
    labels = f"le, {by}" if by else "le"
    rate = f"sum by ({labels}) (rate({metric}_bucket{{{where}}}[{RATE}]))"
    return tuple(
        Query(
            f"histogram_quantile({quantile}, {rate})",
            f"{{{{{by}}}}} p{quantile * 100:g}" if by else f"p{quantile * 100:g}",
        )
        for quantile in of
    )


def per_minute(metric: str, *, by: str = "", where: str = "") -> Query:
    """Return a query for how often something happens a minute; 0 where it never has."""
    total = f"sum{f' by ({by}) ' if by else ''}(rate({metric}{{{where}}}[{RATE}])) * 60"
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",")) if by else ""
    return Query(f"{total} or on() vector(0)", legend)
