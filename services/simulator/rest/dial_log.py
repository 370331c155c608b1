"""PURE. Every call that was asked for, as it arrived, and what became of it.

It is the account's own book: whoever dials by way of it can be held to it. Times are the cloud's
monotonic seconds; the wall's time stands beside them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

MAX_KEPT = 50_000
MAX_PAGE = 1000
_MAX_TEXT = 200


class DialVerdict(StrEnum):
    """What the asker was told of a call."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # a 4xx; `status` says which
    FAILED = "failed"  # a 5xx
    LOST = "lost"  # the connection was cut
    LATE = "late"  # yes, but later than most will wait


@dataclass(slots=True)
class DialledCall:
    """One destination of one Make Call.

    Args:
        number: counts from 1, in order of arrival.
        at_s: when it arrived.
        to_number: as given.
        from_number: as given.
        query: of the answer URL.
        verdict: what the asker was told.
        status: of the answer; None when there was none.
        call_uuid: of the call that was begun; None: no telephone rang.
        channels: calls ringing or talking in the account, this one included, once it was begun.
        ended_s: when the call was over.
        answered_s: when somebody, or something, picked up.
        cause_code: how it ended.
        is_machine: whether a machine picked up.
    """

    number: int
    at_s: float
    to_number: str
    from_number: str
    query: Mapping[str, str]
    verdict: DialVerdict
    status: int | None
    call_uuid: str | None = None
    channels: int | None = None
    ended_s: float | None = None
    answered_s: float | None = None
    cause_code: int | None = None
    is_machine: bool = False


@dataclass(slots=True)
class _Figures:
    asked: Counter[str] = field(default_factory=Counter)
    by_status: Counter[str] = field(default_factory=Counter)
    most_asked_in_a_second: int = 0
    most_dialled_in_a_second: int = 0
    most_channels: int = 0


class DialLog:
    """Keeps the newest calls asked for, and figures over all of them.

    Args:
        origin: the wall's time when the cloud's clock said `origin_s`.
        origin_s: monotonic.
        max_kept: calls kept; figures are of all there were.
    """

    def __init__(self, origin: datetime, origin_s: float, *, max_kept: int = MAX_KEPT) -> None:
        self._origin = origin
        self._origin_s = origin_s
        self._kept: deque[DialledCall] = deque(maxlen=max_kept)
        self._by_uuid: dict[str, DialledCall] = {}
        self._figures = _Figures()
        self._asked_s: deque[float] = deque()
        self._dialled_s: deque[float] = deque()
        self._number = 0

    def __len__(self) -> int:
        return len(self._kept)

    def note(
        self,
        at_s: float,
        *,
        to_number: str,
        from_number: str = "",
        query: Mapping[str, str] | None = None,
        verdict: DialVerdict,
        status: int | None,
        call_uuid: str | None = None,
        channels: int | None = None,
    ) -> DialledCall:
        """Write down a call that was asked for; `call_uuid` where it was begun."""
        self._number += 1
        call = DialledCall(
            number=self._number,
            at_s=at_s,
            to_number=to_number[:_MAX_TEXT],
            from_number=from_number[:_MAX_TEXT],
            query={key[:_MAX_TEXT]: text[:_MAX_TEXT] for key, text in (query or {}).items()},
            verdict=verdict,
            status=status,
            call_uuid=call_uuid,
            channels=channels,
        )
        if len(self._kept) == self._kept.maxlen:
            self._by_uuid.pop(self._kept[0].call_uuid or "", None)
        self._kept.append(call)
        self._count(call)
        return call

    def ended(
        self,
        call_uuid: str,
        *,
        ended: datetime,
        answered: datetime | None,
        cause_code: int,
        is_machine: bool,
    ) -> None:
        """Write down how a call went; one that was not asked for here is none of this book's."""
        call = self._by_uuid.get(call_uuid)
        if call is None:
            return
        call.ended_s = self._seconds(ended)
        call.answered_s = None if answered is None else self._seconds(answered)
        call.cause_code = cause_code
        call.is_machine = is_machine

    def page(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return up to `limit` calls behind number `after`, in order of arrival."""
        if not self._kept:
            return []
        start = max(0, after - self._kept[0].number + 1)
        stop = min(len(self._kept), start + max(0, min(limit, MAX_PAGE)))
        return [self._json(self._kept[index]) for index in range(start, stop)]

    def figures(self, *, numbers: int = 0) -> dict[str, Any]:
        """Return the figures of all calls asked for, and the most dialled of the kept numbers."""
        figures = self._figures
        answer: dict[str, Any] = {
            "asked": self._number,
            "kept": len(self._kept),
            "verdicts": {name: count for name, count in figures.asked.items() if count},
            "statuses": dict(figures.by_status),
            "most_asked_in_a_second": figures.most_asked_in_a_second,
            "most_dialled_in_a_second": figures.most_dialled_in_a_second,
            "most_channels": figures.most_channels,
        }
        if numbers:
            dialled = Counter(call.to_number for call in self._kept if call.call_uuid)
            answer["dialled_by_number"] = dict(dialled.most_common(numbers))
        return answer

    def _count(self, call: DialledCall) -> None:
        figures = self._figures
        figures.asked[call.verdict] += 1
        figures.by_status[str(call.status or "none")] += 1
        most = _in_last_second(self._asked_s, call.at_s)
        figures.most_asked_in_a_second = max(figures.most_asked_in_a_second, most)
        if call.call_uuid is None:
            return
        self._by_uuid[call.call_uuid] = call
        most = _in_last_second(self._dialled_s, call.at_s)
        figures.most_dialled_in_a_second = max(figures.most_dialled_in_a_second, most)
        figures.most_channels = max(figures.most_channels, call.channels or 0)

    def _seconds(self, at: datetime) -> float:
        return self._origin_s + (at - self._origin).total_seconds()

    def _json(self, call: DialledCall) -> dict[str, Any]:
        at = self._origin + timedelta(seconds=call.at_s - self._origin_s)
        return {
            "n": call.number,
            "at": at.isoformat(timespec="milliseconds"),
            "at_ms": round(at.timestamp() * 1000, 1),
            "at_s": round(call.at_s, 4),
            "to": call.to_number,
            "from": call.from_number,
            "query": dict(call.query),
            "verdict": call.verdict.value,
            "status": call.status,
            "call_uuid": call.call_uuid,
            "channels": call.channels,
            "answered_s": _rounded(call.answered_s),
            "ended_s": _rounded(call.ended_s),
            "cause_code": call.cause_code,
            "is_machine": call.is_machine,
        }


def _in_last_second(times_s: deque[float], now_s: float) -> int:
    """Add a time and return how many there are in the second that ends with it."""
    times_s.append(now_s)
    while times_s[0] <= now_s - 1.0:
        times_s.popleft()
    return len(times_s)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
