"""PURE. What becomes of an attempt to deliver: delivered, tried again later, or given up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Protocol, TypeAlias

FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 3600.0
_TRY_AGAIN: Final = frozenset({408, 409, 425, 429})


class Chance(Protocol):
    """A generator of chance, such as `random.Random`."""

    def random(self) -> float:
        """Return a number from 0 up to 1."""
        ...


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Not now; `reason` is a closed word for the log."""

    reason: str
    after_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It would never be taken."""

    reason: str


Verdict: TypeAlias = Delivered | TryAgain | GiveUp


def backoff_s(attempt: int, chance: Chance) -> float:
    """Return the wait after the attempt-th failure: doubled each time, half of it by chance."""
    full_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempt - 1, 16))
    return full_s * (0.5 + 0.5 * chance.random())


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Read a Retry-After header, in seconds or as a date; None where it says nothing of use.

    Never more than an hour, and never less than nought, whatever it says.
    """
    if not header or len(header) > 100:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(LONGEST_WAIT_S, float(text))
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(LONGEST_WAIT_S, max(0.0, (at - now).total_seconds()))


def judge(
    status: int, retry_after: str | None, *, attempt: int, now: datetime, chance: Chance
) -> Verdict:
    """Judge an answer: 2xx is delivered, a refusal for good is given up, all else is tried again.

    Redirects are not followed: they are tried again, in case the receiver is moving.
    """
    if 200 <= status < 300:
        return Delivered()
    if 400 <= status < 500 and status not in _TRY_AGAIN:
        return GiveUp(f"status_{status}")
    wait_s = backoff_s(attempt, chance)
    asked_s = retry_after_s(retry_after, now)
    return TryAgain(f"status_{status}", wait_s if asked_s is None else max(wait_s, asked_s))
