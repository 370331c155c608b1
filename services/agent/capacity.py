"""PURE. Whether a worker takes one more call, and how many it takes when its frames are late."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum


class Refusal(StrEnum):
    """Why a link is turned down before the upgrade."""

    FULL = "full"
    DRAINING = "draining"
    UNAUTHORIZED = "unauthorized"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Load:
    """A worker's load at a moment."""

    active: int
    capacity: int
    is_draining: bool


def refuse_new_call(load: Load) -> Refusal | None:
    """Say why a new call is not taken, or None when it is."""
    if load.is_draining:
        return Refusal.DRAINING
    if load.active >= load.capacity:
        return Refusal.FULL
    return None


def refuse_attach(known_epoch: int, offered_epoch: int) -> Refusal | None:
    """Say why a link may not take over a call that is here already.

    Epochs count the attaches of a call; only a newer one may take over, so that a gateway that
    was away can't.
    """
    return Refusal.STALE if offered_epoch <= known_epoch else None


@dataclass(frozen=True, slots=True)
class LatenessRule:
    """When a worker counts as late, and how it comes back.

    Args:
        budget_s: the 95th percentile of a second's lateness that is still in time.
        sustained_s: how long it must be passed before anything is done: one late garbage
            collection is none of a caller's business.
        calm_s: how long it must be below half of the budget before a step up, and between steps.
        steps: in how many steps the whole capacity is given back.
    """

    budget_s: float = 0.06
    sustained_s: float = 0.5
    calm_s: float = 3.0
    steps: int = 5


_WINDOW_S = 1.0
_JUDGED_EACH_S = 0.25


class AdaptiveCapacity:
    """How many calls a worker takes at the moment: fewer while its frames are late.

    Lateness is that of the wheel that paces all calls: from when a turn was due until every call
    has had it. The lag of the event loop is in it, since a turn is a timer of that loop.

    Args:
        full: calls taken while all is well.
        rule: see there.
    """

    def __init__(self, full: int, rule: LatenessRule | None = None) -> None:
        self._full = full
        self._rule = rule or LatenessRule()
        self._told = full
        self._recent: deque[tuple[float, float]] = deque()
        self._judged_s = float("-inf")
        self._late_since_s: float | None = None
        self._calm_since_s: float | None = None

    @property
    def calls(self) -> int:
        """Calls to be held at once, those at hand among them."""
        return self._told

    @property
    def is_reduced(self) -> bool:
        """Whether lateness holds new calls off."""
        return self._told < self._full

    def on_turn(self, lateness_s: float, active: int, now_s: float) -> bool:
        """Take one turn of the wheel into account; `active` is the calls at hand.

        Returns:
            whether `calls` has changed.
        """
        self._recent.append((now_s, lateness_s))
        while self._recent[0][0] < now_s - _WINDOW_S:
            self._recent.popleft()
        if now_s - self._judged_s < _JUDGED_EACH_S:
            return False
        self._judged_s = now_s
        before = self._told
        self._judge(self._percentile(), active, now_s)
        return self._told != before

    def _percentile(self) -> float:
        ordered = sorted(lateness_s for _, lateness_s in self._recent)
        return ordered[int(0.95 * (len(ordered) - 1) + 0.5)]

    def _judge(self, lateness_s: float, active: int, now_s: float) -> None:
        if lateness_s > self._rule.budget_s:
            self._calm_since_s = None
            if self._late_since_s is None:
                self._late_since_s = now_s
            if now_s - self._late_since_s >= self._rule.sustained_s:
                self._told = min(self._told, active)
            return
        self._late_since_s = None
        if not self.is_reduced or lateness_s > self._rule.budget_s / 2:
            self._calm_since_s = None
            return
        if self._calm_since_s is None:
            self._calm_since_s = now_s
        elif now_s - self._calm_since_s >= self._rule.calm_s:
            self._calm_since_s = now_s
            self._told = min(self._full, self._told + max(1, self._full // self._rule.steps))
