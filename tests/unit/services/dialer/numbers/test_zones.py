"""Where numbers ring."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import timezone

from services.dialer.errors import InvalidOrder
from services.dialer.numbers.e164 import e164
from services.dialer.numbers.zones import (
    is_zone,
    tells_zone,
    zone_today,
    zones_of,
    zones_of_country,
)


@pytest.mark.parametrize(
    ("number", "zones"),
    [
        ("+918000000001", {"Asia/Calcutta"}),
        ("+12125550100", {"America/New_York"}),
        ("+14155550100", {"America/Los_Angeles"}),
        ("+61255501000", {"Australia/Sydney"}),
        ("+68522123", {"Pacific/Apia"}),
        ("+390612345678", {"Europe/Rome"}),
        ("+800123456789", set()),
        ("+870773000000", set()),
        ("+999123456789", set()),
    ],
)
def test_a_number_tells_where_it_rings(number: str, zones: set[str]) -> None:
    assert set(zones_of(number)) == zones
    assert tells_zone(number) == bool(zones)


def test_a_number_that_stands_for_no_place_may_be_anywhere_in_its_country_code() -> None:
    toll_free, mobile = zones_of("+18005550100"), zones_of("+79161234567")
    assert {"America/New_York", "Pacific/Honolulu", "Pacific/Guam"} <= set(toll_free)
    assert {"Europe/Moscow", "Asia/Kamchatka"} <= set(mobile)


def test_a_number_of_a_range_nobody_knows_may_be_anywhere_in_its_country_code() -> None:
    """The tables are older than the newest ranges; a guess by the first digits would be none."""
    assert zones_of("+15550100001") == zones_of("+18005550100")
    assert set(zones_of("+70001234567")) == set(zones_of("+79161234567"))
    assert set(zones_of("+390")) == {"Europe/Rome", "Europe/Vatican"}
    assert set(zones_of("+390000000000")) == {"Europe/Rome", "Europe/Vatican"}


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)),
    st.integers(min_value=10**6, max_value=10**10 - 1),
)
def test_zones_are_the_librarys_where_it_knows_any(code: int, digits: int) -> None:
    try:
        number = e164(f"+{code}{digits}", "to")
    except InvalidOrder:
        return
    theirs = set(timezone.time_zones_for_number(phonenumbers.parse(number, None)))
    ours = set(zones_of(number))
    assert ours == theirs or theirs == {timezone.UNKNOWN_TIMEZONE}
    assert all(is_zone(zone) for zone in ours)
    assert tells_zone(number) == bool(ours)


@given(st.text(alphabet="+0123456789 x", max_size=18))
def test_any_text_has_zones_or_none(text: str) -> None:
    try:
        assert isinstance(zones_of(e164(text, "to")), tuple)
    except InvalidOrder:
        assert not text.startswith("+91800000")


@pytest.mark.parametrize("name", ["", "Asia", "asia/kolkata", "../etc/passwd", "Etc/Unknown", "x"])
def test_names_of_no_zone_are_known(name: str) -> None:
    assert not is_zone(name)


def test_every_name_that_is_a_zone_can_be_opened() -> None:
    for name in ("Asia/Kolkata", "Asia/Calcutta", "Australia/Lord_Howe", "US/Eastern"):
        assert is_zone(name)
        assert ZoneInfo(name).key == name


@pytest.mark.parametrize(
    ("old", "today"),
    [
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("US/Eastern", "America/New_York"),
        ("Europe/Oslo", "Europe/Oslo"),
        ("Pacific/Ponape", "Pacific/Pohnpei"),
        ("Nowhere/Else", "Nowhere/Else"),
    ],
)
def test_a_zone_is_known_by_the_name_it_has_today(old: str, today: str) -> None:
    assert zone_today(old) == today


def test_a_country_has_its_zones() -> None:
    assert zones_of_country("IN") == {"Asia/Kolkata"}
    assert {"America/New_York", "Pacific/Honolulu"} <= zones_of_country("US")
    assert zones_of_country("XX") == frozenset()
