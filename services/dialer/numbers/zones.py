"""PURE. Where a number rings: the time zones it may be in.

A number tells where it was given out, not where its owner is, and often not even that: a mobile
number in Russia may be in any of the country's zones. So the answer is a set, and who asks may
call only when all of it agrees. Where a number tells nothing the set is empty.

The tables are those of the packages phonenumbers (numbers) and tzdata (zones); they are read when
they are first needed.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import phonenumbers
from phonenumbers import PhoneNumberType

from services.dialer.numbers.e164 import country_code_of

_RENAMED = {
    "Africa/Asmera": "Africa/Asmara",
    "Pacific/Ponape": "Pacific/Pohnpei",
    "Pacific/Truk": "Pacific/Chuuk",
}
"""Old names of zones that tzdata links to another country's zone of the same clock."""


def zones_of(number: str) -> tuple[str, ...]:
    """Return the names of the zones that a number in E.164 may be in; none: it tells nothing.

    A number that stands for no place (most mobile numbers outside the Americas, toll-free ones),
    and one of a range younger than the tables, may be in any zone of its country code.
    """
    code = country_code_of(number)
    if code is None:
        return ()
    anywhere = _table().get(str(code), ())
    if len(anywhere) < 2 or not _stands_for_a_place(number, code):
        return anywhere
    longest = min(len(number) - 1, _longest_prefix())
    for length in range(longest, 0, -1):
        zones = _table().get(number[1 : 1 + length])
        if zones is not None:
            return zones
    return anywhere  # pragma: no cover - its country code alone is in the table


def tells_zone(number: str) -> bool:
    """Whether `zones_of` a number has any, in a fraction of its time."""
    code = country_code_of(number)
    return code is not None and str(code) in _table()


def is_zone(name: str) -> bool:
    """Whether this is the name of a time zone, as in `Asia/Kolkata`."""
    return name in _names()


def zone_today(name: str) -> str:
    """Return the name that a zone has today: `Asia/Kolkata` for `Asia/Calcutta`.

    A zone of its own in some country keeps its name, also where its clock is another zone's.
    """
    places, links = _places(), _links()
    name = _RENAMED.get(name, name)
    while name not in places and name in links:
        name = links[name]
    return name


def zones_of_country(country: str) -> frozenset[str]:
    """Return the zones of a country, by its two letters (ISO 3166): empty for what is none."""
    return frozenset(zone for zone, owner in _places().items() if owner == country)


def _stands_for_a_place(number: str, code: int) -> bool:
    digits = number[1 + len(str(code)) :]
    if digits.startswith("0"):
        try:
            read = phonenumbers.parse(number, None)
        except phonenumbers.NumberParseException:
            return False
    else:
        read = phonenumbers.PhoneNumber(country_code=code, national_number=int(digits or "0"))
    kind = phonenumbers.number_type(read)
    if kind == PhoneNumberType.UNKNOWN:
        return False
    return bool(phonenumbers.is_number_type_geographical(kind, code))


@lru_cache(maxsize=1)
def _table() -> dict[str, tuple[str, ...]]:
    """Return zones by the first digits of numbers, country code first."""
    from phonenumbers.tzdata import TIMEZONE_DATA  # half a megabyte that few processes need

    return dict(TIMEZONE_DATA)


@lru_cache(maxsize=1)
def _longest_prefix() -> int:
    return max(len(prefix) for prefix in _table())


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split())


@lru_cache(maxsize=1)
def _links() -> dict[str, str]:
    """Return today's names by the old ones: lines `L <today> <old>` of tzdata's own source."""
    text = files("tzdata").joinpath("zoneinfo", "tzdata.zi").read_text("utf-8")
    lines = (line.split() for line in text.splitlines() if line.startswith("L "))
    return {old: today for _, today, old in lines}


@lru_cache(maxsize=1)
def _places() -> dict[str, str]:
    """Return each zone's country, by two letters: lines `<country> <place> <zone>`."""
    text = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8")
    lines = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return {parts[2]: parts[0] for parts in lines}
