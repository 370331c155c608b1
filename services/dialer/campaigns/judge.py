"""PURE. When a campaign stops itself: its newest tries look wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.dialer.campaigns.outcome import ANSWERED_OUTCOMES, ERROR_OUTCOMES, Outcome
from services.dialer.errors import InvalidOrder

MAX_OVER_LAST: Final = 1000
_NAMES: Final = frozenset({"error_rate", "answer_rate_min", "answer_rate_max", "over_last"})


@dataclass(frozen=True, slots=True)
class PauseRules:
    """Bounds of the newest `over_last` tries since the campaign was started or resumed.

    `error_rate`: paused when so large a share failed by our, Vobiz's or a carrier's doing.
    `answer_rate_min` and `answer_rate_max`: paused when the share that was answered, machines too,
    is below or above. None: not looked at. Nothing is judged before there are as many tries.
    """

    error_rate: float | None = 0.5
    answer_rate_min: float | None = None
    answer_rate_max: float | None = None
    over_last: int = 50

    def reason_to_pause(self, newest: Sequence[Outcome]) -> str | None:
        """Return why the campaign is to pause, a fixed word and the figure; None: it goes on.

        Args:
            newest: outcomes of tries, the newest first.
        """
        judged = newest[: self.over_last]
        if len(judged) < self.over_last:
            return None
        errors = sum(outcome in ERROR_OUTCOMES for outcome in judged) / len(judged)
        answers = sum(outcome in ANSWERED_OUTCOMES for outcome in judged) / len(judged)
        if self.error_rate is not None and errors >= self.error_rate:
            return f"error_rate {errors:.2f}"
        if self.answer_rate_min is not None and answers < self.answer_rate_min:
            return f"answer_rate {answers:.2f}"
        if self.answer_rate_max is not None and answers > self.answer_rate_max:
            return f"answer_rate {answers:.2f}"
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the rules as the API shows them."""
        return {
            "error_rate": self.error_rate,
            "answer_rate_min": self.answer_rate_min,
            "answer_rate_max": self.answer_rate_max,
            "over_last": self.over_last,
        }

    @classmethod
    def from_json(cls, data: object) -> PauseRules:
        """Read rules; what is not given is as by default, null switches a bound off.

        Raises:
            InvalidOrder: a part that can't be.
        """
        if data is None:
            return cls()
        if not isinstance(data, Mapping) or set(data) - _NAMES:
            raise InvalidOrder("pause_rules", f"holds {', '.join(sorted(_NAMES))} alone")
        over_last = data.get("over_last", 50)
        if not isinstance(over_last, int) or isinstance(over_last, bool):
            raise InvalidOrder("pause_rules.over_last", "must be a whole number")
        if not 5 <= over_last <= MAX_OVER_LAST:
            raise InvalidOrder("pause_rules.over_last", f"must be 5 to {MAX_OVER_LAST}")
        return cls(
            _rate(data, "error_rate", 0.5),
            _rate(data, "answer_rate_min", None),
            _rate(data, "answer_rate_max", None),
            over_last,
        )


def _rate(data: Mapping[str, Any], name: str, default: float | None) -> float | None:
    value = data.get(name, default)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise InvalidOrder(f"pause_rules.{name}", "must be above 0 and at most 1")
    return float(value)
