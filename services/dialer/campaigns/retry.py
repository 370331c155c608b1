"""PURE. Which tries are followed by another, and after how long."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from services.dialer.campaigns.outcome import Outcome
from services.dialer.errors import InvalidOrder

MAX_ATTEMPTS: Final = 20
MAX_WAIT_S: Final = 30 * 86_400.0
_RETRIABLE: Final = frozenset(
    {
        Outcome.ANSWERED,
        Outcome.MACHINE,
        Outcome.BUSY,
        Outcome.NO_ANSWER,
        Outcome.REJECTED,
        Outcome.INVALID_NUMBER,
        Outcome.FAILED,
        Outcome.UNKNOWN,
        Outcome.ANSWERED_THEN_FAILED,
    }
)
_DEFAULT_WAITS_S: Final[Mapping[Outcome, tuple[float, ...]]] = MappingProxyType(
    {
        Outcome.BUSY: (300.0, 900.0),
        Outcome.NO_ANSWER: (3600.0, 14_400.0),
        Outcome.FAILED: (120.0, 600.0),
    }
)


@dataclass(frozen=True, slots=True)
class RetryRules:
    """When a number is tried again.

    `after_s` has for an outcome the wait after the first such try, after the second and so on; when
    the list is used up the row has ended, and an outcome that is not named ends it at once. Never
    more than `max_attempts` tries in all. What was answered, or perhaps was, is therefore tried
    again only where the rules name it.
    """

    max_attempts: int = 3
    after_s: Mapping[Outcome, tuple[float, ...]] = field(default_factory=lambda: _DEFAULT_WAITS_S)

    def next_wait_s(self, tries: Sequence[Outcome]) -> float | None:
        """Return how long after the last try comes the next; None: the row has ended.

        Args:
            tries: the outcomes so far, the newest last; at least one.
        """
        if len(tries) >= self.max_attempts:
            return None
        newest = tries[-1]
        waits = self.after_s.get(newest, ())
        so_far = sum(outcome is newest for outcome in tries)
        return waits[so_far - 1] if so_far <= len(waits) else None

    def to_json(self) -> dict[str, Any]:
        """Return the rules as the API shows them."""
        waits = {outcome.value: list(waits) for outcome, waits in self.after_s.items()}
        return {"max_attempts": self.max_attempts, "after_s": waits}

    @classmethod
    def from_json(cls, data: object) -> RetryRules:
        """Read rules; what is not given is as by default.

        Raises:
            InvalidOrder: a part that can't be.
        """
        if data is None:
            return cls()
        if not isinstance(data, Mapping) or set(data) - {"max_attempts", "after_s"}:
            raise InvalidOrder("retry", 'must be like {"max_attempts": 3, "after_s": {...}}')
        most = data.get("max_attempts", 3)
        if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MAX_ATTEMPTS:
            raise InvalidOrder("retry.max_attempts", f"must be 1 to {MAX_ATTEMPTS}")
        waits = data.get("after_s")
        return cls(most, _DEFAULT_WAITS_S if waits is None else _waits_from(waits))


def _waits_from(data: object) -> Mapping[Outcome, tuple[float, ...]]:
    if not isinstance(data, Mapping):
        raise InvalidOrder("retry.after_s", "must hold lists of seconds by outcome")
    waits = {}
    for name, given in data.items():
        if name not in {outcome.value for outcome in _RETRIABLE}:
            known = ", ".join(sorted(outcome.value for outcome in _RETRIABLE))
            raise InvalidOrder("retry.after_s", f"names what can't be tried again; can: {known}")
        if (
            not isinstance(given, list)
            or len(given) > MAX_ATTEMPTS
            or not all(map(_is_wait, given))
        ):
            raise InvalidOrder("retry.after_s", f"lists hold seconds of 1 to {MAX_WAIT_S:.0f}")
        waits[Outcome(name)] = tuple(float(wait) for wait in given)
    return waits


def _is_wait(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and 1 <= value <= MAX_WAIT_S
