"""PURE. Whether a provider that has failed is to be asked again yet.

    CLOSED ── too many failures, or one for good ──▶ OPEN ── its time is over ──▶ HALF_OPEN
       ▲                                              ▲                               │
       └────────── the one that tried it out succeeded ── failed ─────────────────────┘

While it is half open one call tries the provider out; the others go on passing it by.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from services.agent.providers.chain.limits import ChainLimits


class BreakerState(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerEvent(StrEnum):
    """What moves it.

    FAILED: not too often yet. TRIPPED: too often, or for good. COOLED: its time is over.
    ABANDONED: a call ended before it was known how it would have gone.
    """

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TRIPPED = "tripped"
    COOLED = "cooled"
    ABANDONED = "abandoned"


_CLOSED, _OPEN, _HALF = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
TRANSITIONS = {
    (_CLOSED, BreakerEvent.SUCCEEDED): _CLOSED,
    (_CLOSED, BreakerEvent.FAILED): _CLOSED,
    (_CLOSED, BreakerEvent.TRIPPED): _OPEN,
    (_CLOSED, BreakerEvent.ABANDONED): _CLOSED,
    # Calls that began before it opened, and those of a chain with nobody else to ask.
    (_OPEN, BreakerEvent.SUCCEEDED): _OPEN,
    (_OPEN, BreakerEvent.FAILED): _OPEN,
    (_OPEN, BreakerEvent.TRIPPED): _OPEN,
    (_OPEN, BreakerEvent.ABANDONED): _OPEN,
    (_OPEN, BreakerEvent.COOLED): _HALF,
    (_HALF, BreakerEvent.SUCCEEDED): _CLOSED,
    (_HALF, BreakerEvent.FAILED): _OPEN,
    (_HALF, BreakerEvent.TRIPPED): _OPEN,
    (_HALF, BreakerEvent.ABANDONED): _HALF,
}


class UnexpectedBreakerEvent(Exception):
    """An event that cannot come in this state: a bug of ours."""

    def __init__(self, state: BreakerState, event: BreakerEvent) -> None:
        super().__init__(f"{event.value} while {state.value}")
        self.state = state
        self.event = event


class CircuitBreaker:
    """One provider's breaker, shared by all calls of a worker. Times are monotonic seconds."""

    def __init__(self, limits: ChainLimits) -> None:
        self._limits = limits
        self._state = BreakerState.CLOSED
        self._failures: deque[float] = deque(maxlen=limits.breaker_failures)
        self._open_until_s = 0.0
        self._is_tried_out = False

    @property
    def state(self) -> BreakerState:
        """Where it stands; an open one whose time is over stays open until it is asked."""
        return self._state

    def permits(self, now_s: float) -> bool:
        """Whether the provider may be asked now.

        Who is told yes asks it and says by one of the `on_` methods how it went: in a half-open
        breaker nobody else is told yes until then.
        """
        if self._state is BreakerState.OPEN and now_s >= self._open_until_s:
            self._move(BreakerEvent.COOLED)
            self._is_tried_out = False
        if self._state is BreakerState.HALF_OPEN and not self._is_tried_out:
            self._is_tried_out = True
            return True
        return self._state is BreakerState.CLOSED

    def on_success(self) -> None:
        """A call went well."""
        self._move(BreakerEvent.SUCCEEDED)

    def on_abandoned(self) -> None:
        """A call ended before it was known how it would have gone."""
        self._is_tried_out = False
        self._move(BreakerEvent.ABANDONED)

    def on_failure(self, now_s: float, *, is_for_good: bool = False) -> None:
        """A call failed; `is_for_good`: the next ones will too, until somebody mends it."""
        since_s = now_s - self._limits.breaker_window_s
        while self._failures and self._failures[0] <= since_s:
            self._failures.popleft()
        self._failures.append(now_s)
        is_often = len(self._failures) >= self._limits.breaker_failures
        was_open = self._state is BreakerState.OPEN
        is_tripped = is_often or is_for_good
        self._move(BreakerEvent.TRIPPED if is_tripped else BreakerEvent.FAILED)
        if self._state is not BreakerState.OPEN:
            return
        limits = self._limits
        open_s = limits.breaker_refused_s if is_for_good else limits.breaker_open_s
        if not was_open or is_for_good:
            self._open_until_s = max(self._open_until_s, now_s + open_s)

    def _move(self, event: BreakerEvent) -> None:
        after = TRANSITIONS.get((self._state, event))
        if after is None:
            raise UnexpectedBreakerEvent(self._state, event)
        if after is BreakerState.CLOSED and self._state is not after:
            self._failures.clear()
        self._state = after
