"""PURE. When people may be called: hours of the day by weekday, in their own time, and holidays.

An instant is judged by what a clock on the wall shows at that instant where the phone rings. So
an hour that a change of the clocks skips is never open, and one that it doubles is open twice, or
not at all. Where a number may be in several zones, all their clocks have to agree.

Inside, instants are whole seconds of Unix time, and a zone is a row of pieces with one offset
each: within a piece, open hours are a shift and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from services.dialer.campaigns.holidays import NO_HOLIDAYS, Holidays
from services.dialer.errors import InvalidOrder
from services.dialer.numbers.zones import is_zone

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DEFAULT = (("09:00", "21:00"),)
_DAY_MIN = 24 * 60
_DAY_S = 86_400
_HORIZON_DAYS = 366
_PROBE_S = 6 * 3600
_MAX_SPANS = 12
_MAX_HOLIDAYS = 400
_MAX_REMEMBERED = 1024
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Open = tuple[int, int]
"""Seconds of Unix time, the first within, the second without."""


@dataclass(frozen=True, slots=True)
class Span:
    """Hours in minutes of a day's wall clock; an end before the start is on the next day."""

    from_min: int
    to_min: int

    @property
    def runs_over_midnight(self) -> bool:
        """Whether its end is on the next day."""
        return self.to_min <= self.from_min


@dataclass(frozen=True, slots=True)
class Windows:
    """When a campaign may call. Make it by `parse_windows`.

    `days` begins with Monday. `zone` None: the zone of each number called. `is_always`: nothing
    else counts.
    """

    days: tuple[tuple[Span, ...], ...]
    holidays: frozenset[date] = frozenset()
    zone: str | None = None
    is_always: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what `parse_windows` reads."""
        if self.is_always:
            return {"always": True}
        days = {
            name: [[_written(span.from_min), _written(span.to_min)] for span in spans]
            for name, spans in zip(WEEKDAYS, self.days, strict=True)
            if spans
        }
        is_daily = len(set(self.days)) == 1
        told: dict[str, Any] = {"daily": days["mon"]} if is_daily else {"days": days}
        if self.holidays:
            told["holidays"] = sorted(day.isoformat() for day in self.holidays)
        if self.zone is not None:
            told["zone"] = self.zone
        return told


def parse_windows(wanted: object) -> Windows:
    """Return windows as asked for; None: nine to nine each day where the phone rings.

    Args:
        wanted: `{"always": true}`, or `daily` (spans of every day) or `days` (spans by weekday,
            the others closed), with `holidays` (dates) and `zone` if wanted. A span is two times
            `HH:MM`; one that ends at or before its start runs into the next day.

    Raises:
        InvalidOrder: field `windows`, with the first thing that is wrong.
    """
    if wanted is None:
        wanted = {}
    if not isinstance(wanted, Mapping):
        raise _bad('must be like {"daily": [["09:00", "21:00"]]}')
    unknown = set(wanted) - {"always", "daily", "days", "holidays", "zone"}
    if unknown:
        raise _bad(f"has {min(map(str, unknown))[:40]!r}, which is no part of it")
    if wanted.get("always"):
        if wanted["always"] is not True or len(wanted) > 1:
            raise _bad('"always": true stands alone')
        return Windows(((),) * 7, is_always=True)
    zone = wanted.get("zone")
    if zone is not None and not (isinstance(zone, str) and is_zone(zone)):
        raise _bad("zone must be the name of a time zone such as Asia/Kolkata")
    return Windows(_days(wanted), _holidays(wanted.get("holidays") or ()), zone)


def _days(wanted: Mapping[str, Any]) -> tuple[tuple[Span, ...], ...]:
    daily, days = wanted.get("daily"), wanted.get("days")
    if daily is not None and days is not None:
        raise _bad("takes daily or days, not both")
    if days is None:
        found: tuple[tuple[Span, ...], ...] = (_spans(_DEFAULT if daily is None else daily),) * 7
    elif isinstance(days, Mapping) and set(days) <= set(WEEKDAYS):
        found = tuple(_spans(days.get(name) or ()) for name in WEEKDAYS)
    else:
        raise _bad(f"days are named {', '.join(WEEKDAYS)}")
    if not any(found):
        raise _bad("is never open")
    return found


def _spans(wanted: object) -> tuple[Span, ...]:
    if not isinstance(wanted, Sequence) or isinstance(wanted, str):
        raise _bad('a day is a list of spans such as [["09:00", "21:00"]]')
    if len(wanted) > _MAX_SPANS:
        raise _bad(f"a day has at most {_MAX_SPANS} spans")
    return tuple(_span(pair) for pair in wanted)


def _span(pair: object) -> Span:
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise _bad('a span is two times such as ["09:00", "21:00"]')
    begin, end = (_minutes(text) for text in pair)
    if begin in (end, _DAY_MIN):
        raise _bad("a span begins and ends at different times, and before 24:00")
    return Span(begin, end)


def _minutes(text: object) -> int:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise _bad("times are written HH:MM, from 00:00 to 24:00")
    return int(text[:2]) * 60 + int(text[3:])


def _written(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _holidays(wanted: object) -> frozenset[date]:
    if not isinstance(wanted, Sequence) or isinstance(wanted, str):
        raise _bad('holidays are a list of dates such as ["2026-12-25"]')
    if len(wanted) > _MAX_HOLIDAYS:
        raise _bad(f"holidays are at most {_MAX_HOLIDAYS}")
    found = set()
    for text in wanted:
        try:
            if not isinstance(text, str) or not _DATE.fullmatch(text):
                raise ValueError
            found.add(date.fromisoformat(text))
        except ValueError:
            raise _bad("holidays are dates such as 2026-12-25") from None
    return frozenset(found)


def _bad(problem: str) -> InvalidOrder:
    return InvalidOrder("windows", problem)


def is_open(
    zones: Iterable[str], windows: Windows, now_utc: datetime, holidays: Holidays = NO_HOLIDAYS
) -> bool:
    """Whether somebody may be called now.

    Args:
        zones: where the phone may be; none: nobody knows, and only windows with a zone of their
            own, or none at all, are ever open.
        windows: the campaign's.
        now_utc: the instant, aware of its zone.
        holidays: those of the installation.
    """
    if windows.is_always:
        return True
    judged = _judged(zones, windows)
    return bool(judged) and all(
        _is_open_there(zone, windows, now_utc.astimezone(_zone(zone)), holidays) for zone in judged
    )


def next_opening(
    zones: Iterable[str], windows: Windows, now_utc: datetime, holidays: Holidays = NO_HOLIDAYS
) -> datetime | None:
    """Return when somebody may be called next, in UTC: now, when open; None: not within a year.

    The arguments are those of `is_open`.
    """
    if windows.is_always:
        return now_utc
    now_s = now_utc.timestamp()
    found = _first_open(_judged(zones, windows), windows, int(now_s), holidays)
    if found is None:
        return None
    return now_utc if found[0] <= now_s else datetime.fromtimestamp(found[0], UTC)


@dataclass(slots=True)
class Calendar:
    """Windows and holidays together, for who asks often about the same few zones.

    Remembers the last answer for each set of zones, up to a thousand sets: as long as time stands
    between the question and the answer, or within the hours found, it stays the same.
    """

    windows: Windows
    holidays: Holidays = NO_HOLIDAYS
    _known: dict[tuple[str, ...], tuple[int, Open | None]] = field(default_factory=dict)

    def is_open(self, zones: tuple[str, ...], now_utc: datetime) -> bool:
        """Whether somebody may be called now."""
        opening = self.next_opening(zones, now_utc)
        return opening is not None and opening <= now_utc

    def next_opening(self, zones: tuple[str, ...], now_utc: datetime) -> datetime | None:
        """Return when somebody may be called next; see the function of this name."""
        if self.windows.is_always:
            return now_utc
        now_s = now_utc.timestamp()
        asked_s, found = self._known.get(zones, (0, (0, 0)))
        if not asked_s <= now_s < (asked_s + _DAY_S if found is None else found[1]):
            asked_s = int(now_s)
            found = _first_open(_judged(zones, self.windows), self.windows, asked_s, self.holidays)
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[zones] = (asked_s, found)
        if found is None:
            return None
        return now_utc if found[0] <= now_s else datetime.fromtimestamp(found[0], UTC)

    def end_of(self, zones: tuple[str, ...], now_utc: datetime, open_s: float) -> datetime | None:
        """Return when so many open seconds have passed from now on; None: not within a year."""
        if self.windows.is_always:
            return now_utc + timedelta(seconds=open_s)
        now_s, judged = int(now_utc.timestamp()), _judged(zones, self.windows)
        at_s, left_s = now_s, max(0.0, open_s)
        while at_s < now_s + _HORIZON_DAYS * _DAY_S:
            found = _first_open(judged, self.windows, at_s, self.holidays)
            if found is None:
                return None
            begin_s = max(at_s, found[0])
            if found[1] - begin_s >= left_s:
                return datetime.fromtimestamp(begin_s + left_s, UTC)
            left_s -= found[1] - begin_s
            at_s = found[1]
        return None


def _judged(zones: Iterable[str], windows: Windows) -> tuple[str, ...]:
    return (windows.zone,) if windows.zone is not None else tuple(zones)


@lru_cache(maxsize=1024)  # there are six hundred names
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _is_open_there(zone: str, windows: Windows, wall: datetime, holidays: Holidays) -> bool:
    minute, today = wall.hour * 60 + wall.minute, wall.date()
    if _is_holiday(zone, windows, today, holidays):
        return False
    if any(
        span.from_min <= minute and (span.runs_over_midnight or minute < span.to_min)
        for span in windows.days[today.weekday()]
    ):
        return True
    yesterday = today - timedelta(days=1)
    return any(
        span.runs_over_midnight and minute < span.to_min
        for span in windows.days[yesterday.weekday()]
    ) and not _is_holiday(zone, windows, yesterday, holidays)


def _is_holiday(zone: str, windows: Windows, day: date, holidays: Holidays) -> bool:
    return day in windows.holidays or holidays.has(zone, day)


def _first_open(
    zones: tuple[str, ...], windows: Windows, now_s: int, holidays: Holidays
) -> Open | None:
    """Return the first hours common to all zones that end after now; None: not within a year."""
    if not zones:
        return None
    first = now_s // _DAY_S
    for day in range(first, first + _HORIZON_DAYS + 1):
        common: list[Open] = [(day * _DAY_S, (day + 1) * _DAY_S)]
        for zone in zones:
            common = list(_both(common, _open_there(zone, windows, day, holidays)))
            if not common:
                break
        for begin, end in common:
            if end > now_s:
                return begin, end
    return None


def _both(ours: list[Open], theirs: list[Open]) -> Iterator[Open]:
    """Yield what two sorted lists of hours have in common."""
    for begin, end in ours:
        for other_begin, other_end in theirs:
            if max(begin, other_begin) < min(end, other_end):
                yield max(begin, other_begin), min(end, other_end)


def _open_there(zone: str, windows: Windows, day: int, holidays: Holidays) -> list[Open]:
    """Return the open hours of one zone within one day of UTC, sorted, without overlaps."""
    found: list[Open] = []
    for begin, end, offset_s in _pieces(zone, day):
        # Local days that touch the piece, and the one before, whose last span may reach into it.
        first_local = (begin + offset_s) // _DAY_S - 1
        last_local = (end - 1 + offset_s) // _DAY_S
        for local in range(first_local, last_local + 1):
            for from_s, to_s in _open_on(zone, windows, local, holidays):
                opens, closes = max(begin, from_s - offset_s), min(end, to_s - offset_s)
                if opens < closes:
                    found.append((opens, closes))
    return _merged(found)


def _open_on(zone: str, windows: Windows, local: int, holidays: Holidays) -> Iterator[Open]:
    """Yield the spans that begin on a local day, in seconds of its wall clock since 1970."""
    today = date.fromordinal(_EPOCH + local)
    if _is_holiday(zone, windows, today, holidays):
        return
    start_s = local * _DAY_S
    for span in windows.days[today.weekday()]:
        if not span.runs_over_midnight:
            yield start_s + span.from_min * 60, start_s + span.to_min * 60
            continue
        midnight_s = start_s + _DAY_S
        yield start_s + span.from_min * 60, midnight_s
        if not _is_holiday(zone, windows, today + timedelta(days=1), holidays):
            yield midnight_s, midnight_s + span.to_min * 60


_EPOCH = date(1970, 1, 1).toordinal()


def _merged(found: list[Open]) -> list[Open]:
    merged: list[Open] = []
    for begin, end in sorted(found):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


@lru_cache(maxsize=4096)
def _pieces(zone: str, day: int) -> tuple[tuple[int, int, int], ...]:
    """Return one day of UTC as (begin, end, seconds ahead of UTC), split where clocks change.

    No zone changes its clock twice within the quarter of a day between two looks.
    """
    pieces: list[tuple[int, int, int]] = []
    begin = day * _DAY_S
    offset_s = _offset_s(zone, begin)
    for probe in range(begin + _PROBE_S, (day + 1) * _DAY_S + 1, _PROBE_S):
        if _offset_s(zone, probe) != offset_s:
            change = _change(zone, probe - _PROBE_S, probe, offset_s)
            pieces.append((begin, change, offset_s))
            begin, offset_s = change, _offset_s(zone, probe)
    if begin < (day + 1) * _DAY_S:
        pieces.append((begin, (day + 1) * _DAY_S, offset_s))
    return tuple(pieces)


def _change(zone: str, before: int, after: int, offset_s: int) -> int:
    """Return the first second of another offset, between one before and one after the change."""
    while after - before > 1:
        middle = (before + after) // 2
        if _offset_s(zone, middle) == offset_s:
            before = middle
        else:
            after = middle
    return after


def _offset_s(zone: str, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, _zone(zone)).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
