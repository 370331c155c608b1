"""Metrics of what happens with every 20 ms of every call: they cost a quarter of the usual ones.

The usual ones take a lock and look through their buckets one by one, at each observation. These
count in plain numbers, as one event loop alone does the counting; a scrape reads them as they are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import INF, floatToGoString


def _written(bound: float) -> str:
    text: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
    return text


class FrameHistogram(Collector):
    """A histogram without labels; for one thread's observations."""

    # As the package's own have them, for whoever goes through a catalogue.
    _type, _labelnames = "histogram", ()

    def __init__(
        self,
        name: str,
        documentation: str,
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = [*buckets, INF]
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        """Count a value, in the unit of the name."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Tell a scrape."""
        so_far, buckets = 0, []
        for bound, count in zip(self._bounds, self._counts, strict=True):
            so_far += count
            buckets.append((_written(bound), so_far))
        yield HistogramMetricFamily(self._name, self._documentation, buckets, self._sum)


class FrameCount:
    """One of a FrameCounter's numbers."""

    def __init__(self) -> None:
        self.count = 0

    def inc(self, amount: int = 1) -> None:
        """Count."""
        self.count += amount


class FrameCounter(Collector):
    """A counter with one label, whose values are known; for one thread's counting."""

    _type = "counter"

    def __init__(
        self,
        name: str,
        documentation: str,
        label: str,
        values: Sequence[str],
        *,
        registry: CollectorRegistry,
    ) -> None:
        self._name = name.removesuffix("_total")
        self._documentation = documentation
        self._labelnames = (label,)
        self._counts = {value: FrameCount() for value in values}
        registry.register(self)

    def labels(self, value: str) -> FrameCount:
        """Return what counts for a value of the label."""
        return self._counts[value]

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Tell a scrape."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labelnames)
        for value, count in self._counts.items():
            family.add_metric([value], count.count)
        yield family
