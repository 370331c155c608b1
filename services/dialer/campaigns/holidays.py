"""PURE. Days on which nobody is called, everywhere or in some places.

The file of an installation's holidays has one a line: a date, with where it holds before it if it
does not hold everywhere. `#` begins a comment.

    2027-01-01
    IN 2027-01-26                 # a country, by its two letters
    Europe/Berlin 2027-10-03      # a time zone
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from services.dialer.numbers.zones import is_zone, zone_today, zones_of_country

_MAX_LINES = 20_000
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class BadHolidays(ValueError):
    """A line of the file that can't be read; the message names it."""


@dataclass(frozen=True, slots=True)
class Holidays:
    """Holidays of everywhere, and by the present name of a zone."""

    everywhere: frozenset[date] = frozenset()
    by_zone: Mapping[str, frozenset[date]] = field(default_factory=dict)

    def has(self, zone: str, day: date) -> bool:
        """Whether a day is a holiday in a zone, by any of the zone's names."""
        if day in self.everywhere:
            return True
        return bool(self.by_zone) and day in self.by_zone.get(zone_today(zone), ())


NO_HOLIDAYS = Holidays()


def parse_holidays(text: str) -> Holidays:
    """Read the file's text.

    Raises:
        BadHolidays: the first line that is wrong, by its number.
    """
    lines = text.splitlines()
    if len(lines) > _MAX_LINES:
        raise BadHolidays(f"more than {_MAX_LINES} lines")
    everywhere: set[date] = set()
    by_zone: dict[str, set[date]] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        day = _day(words[-1], number)
        if len(words) == 1:
            everywhere.add(day)
            continue
        for zone in _zones(words[:-1], number):
            by_zone.setdefault(zone, set()).add(day)
    return Holidays(
        frozenset(everywhere), {zone: frozenset(days) for zone, days in by_zone.items()}
    )


def _day(word: str, number: int) -> date:
    try:
        if not _DATE.fullmatch(word):
            raise ValueError
        return date.fromisoformat(word)
    except ValueError:
        raise BadHolidays(f"line {number}: no date such as 2027-01-26") from None


def _zones(words: list[str], number: int) -> frozenset[str]:
    place = words[0] if len(words) == 1 else ""
    zones = zones_of_country(place)  # first: GB and NZ are zones' names too
    if not zones and is_zone(place):
        zones = frozenset({zone_today(place)})
    if not zones:
        raise BadHolidays(f"line {number}: before a date stands a country's two letters or a zone")
    return zones
