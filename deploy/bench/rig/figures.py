"""PURE. Figures as the bench keeps them: distributions, the load client's report, histograms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BOTTLENECK_LATE_MS = 5.0
BOTTLENECK_CPU_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution in milliseconds; all nought where nothing was counted."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, data: Mapping[str, float]) -> Spread:
        """Read one as the programs in C print it."""
        return cls(int(data["count"]), data["p50"], data["p95"], data["p99"], data["max"])


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What the load client saw in one measured time.

    Attributes:
        seconds: how long it was.
        calls: opened; `open` of them are.
        refused: never let in; `lost` were, and their sockets closed before they hung up.
        sent: callers' frames.
        received: 20 ms of agents' audio.
        underruns: a handset ran dry within an utterance.
        checkpoints: answered as played; `clears`: as cleared.
        blocked: writes that the platform did not take at once.
        least_lead_ms: the least that a handset still had to play when more came.
        cpu_share: of a core, of the client itself.
        late_ms: how late the client itself sent.
        pacing_ms: how late audio came to the handset: what it had in hand, against what is to be
            kept ahead.
        jitter_ms: how far apart it came, less what came before it plays.
        delay_ms: of frames stamped by the far end.
        first_audio_ms: from the open socket; of all calls ever.
    """

    seconds: float
    calls: int
    open: int
    refused: int
    lost: int
    sent: int
    received: int
    underruns: int
    checkpoints: int
    clears: int
    blocked: int
    least_lead_ms: float
    cpu_share: float
    late_ms: Spread
    pacing_ms: Spread
    jitter_ms: Spread
    delay_ms: Spread
    first_audio_ms: Spread

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> LoadReport:
        """Read it as the client prints it.

        Raises:
            KeyError: a distribution is missing: client and bench are not of one version.
            TypeError: another figure is missing, or one too many is there.
        """
        fields: dict[str, Any] = dict(data)
        fields |= {name: Spread.of(data[name]) for name in _SPREADS}
        return cls(**fields)

    @property
    def call_minutes(self) -> float:
        """Minutes of all open calls together."""
        return self.open * self.seconds / 60

    @property
    def frames_out(self) -> float:
        """Frames a second and call that came; 50 where the agents speak all the time."""
        return self.received / self.seconds / self.open if self.open else 0.0

    @property
    def trouble(self) -> str:
        """Why these figures mean little; empty: nothing is known against them."""
        if self.lost:
            return f"{self.lost} calls were lost"
        if self.cpu_share > BOTTLENECK_CPU_SHARE:
            return f"the load client took {self.cpu_share:.0%} of a core"
        if self.late_ms.p99 > BOTTLENECK_LATE_MS:
            return f"the load client sent {self.late_ms.p99:.1f} ms late (p99)"
        return ""


_SPREADS = ("late_ms", "pacing_ms", "jitter_ms", "delay_ms", "first_audio_ms")


def quantile_s(before: str, after: str, name: str, share: float) -> float:
    """Return the bound of the bucket that holds a quantile of what came between two scrapes.

    Args:
        before: a scrape of /metrics, as text.
        after: a later one.
        name: of a histogram without labels.
        share: 0.99 for the 99th percentile.

    Returns:
        nought where nothing came; infinity above the last bound.
    """
    earlier = _buckets(before, name)
    counts = [(le, count - earlier.get(le, 0.0)) for le, count in _buckets(after, name).items()]
    total = counts[-1][1] if counts else 0.0
    if not total:
        return 0.0
    return next(float(le) for le, count in counts if count >= share * total)


def _buckets(text: str, name: str) -> dict[str, float]:
    pattern = rf'^{name}_bucket{{le="([^"]+)"}} (\S+)$'
    return {le: float(count) for le, count in re.findall(pattern, text, re.MULTILINE)}


def value_of(text: str, name: str) -> float:
    """Return a metric without labels from a scrape; nought where it is missing."""
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0
