"""When people may be called, walked through a year and held against a second judgment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dialer.campaigns.holidays import Holidays, parse_holidays
from services.dialer.campaigns.windows import (
    WEEKDAYS,
    Calendar,
    Windows,
    is_open,
    next_opening,
    parse_windows,
)
from services.dialer.errors import InvalidOrder

QUARTER = timedelta(minutes=15)
TWELVE = (
    "Asia/Kolkata",
    "America/New_York",
    "America/Los_Angeles",
    "Europe/London",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "America/Santiago",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
)
NIGHT_AND_DAY = parse_windows(
    {
        "days": {
            "mon": [["09:00", "12:30"], ["13:15", "21:00"]],
            "tue": [["00:00", "24:00"]],
            "wed": [["20:45", "02:15"]],
            "fri": [["22:00", "22:00"[:3] + "30"]],
            "sat": [["01:15", "03:45"]],
            "sun": [["01:45", "02:15"], ["23:30", "01:00"]],
        },
        "holidays": ["2026-12-24", "2027-03-08"],
    }
)
DAILY = parse_windows(None)
_TOLD = {NIGHT_AND_DAY: NIGHT_AND_DAY.to_json()}
FILE = parse_holidays("Europe/London 2027-01-01\nIN 2027-01-26\n")


def judged_by_the_wall(zone: str, windows: Windows, at: datetime, holidays: Holidays) -> bool:
    """A second judgment: by the text a clock on the wall shows, the days written out in JSON."""
    wall = at.astimezone(ZoneInfo(zone))
    told = _TOLD[windows]
    closed = set(told.get("holidays", ()))

    def is_closed(day: str) -> bool:
        return day in closed or holidays.has(zone, date.fromisoformat(day))

    written = wall.isoformat()
    today, clock = written[:10], written[11:16]
    if is_closed(today):
        return False
    yesterday = wall.date() - timedelta(days=1)
    days = told["days"]
    for begin, end in days.get(WEEKDAYS[wall.weekday()], ()):
        if begin <= clock and (clock < end or end <= begin):
            return True
    for begin, end in days.get(WEEKDAYS[yesterday.weekday()], ()):
        if end <= begin and clock < end and not is_closed(yesterday.isoformat()):
            return True
    return False


def quarters(begin: datetime, days: int) -> Iterator[datetime]:
    return (begin + QUARTER * n for n in range(days * 96))


@pytest.mark.parametrize("zone", TWELVE)
def test_every_quarter_of_a_year_is_judged_as_the_clock_on_the_wall_says(zone: str) -> None:
    calendar, awaited = Calendar(NIGHT_AND_DAY, FILE), set[datetime]()
    for at in quarters(datetime(2026, 11, 1, tzinfo=UTC), 365):
        is_right = judged_by_the_wall(zone, NIGHT_AND_DAY, at, FILE)
        assert is_open((zone,), NIGHT_AND_DAY, at, FILE) is is_right, at
        opening = calendar.next_opening((zone,), at)
        assert opening is not None
        if is_right:
            assert opening == at
            assert awaited <= {at}, at  # all who waited were told of this quarter
            awaited = set()
        else:
            awaited.add(opening)
            assert opening > at


@pytest.mark.parametrize("zones", [TWELVE[:2], TWELVE[1:5], ("America/New_York", "Asia/Kolkata")])
def test_several_zones_are_open_when_all_of_them_are(zones: tuple[str, ...]) -> None:
    for at in quarters(datetime(2027, 3, 7, tzinfo=UTC), 28):
        is_right = all(judged_by_the_wall(zone, NIGHT_AND_DAY, at, FILE) for zone in zones)
        assert is_open(zones, NIGHT_AND_DAY, at, FILE) is is_right
        opening = next_opening(zones, NIGHT_AND_DAY, at, FILE)
        assert opening is not None
        assert is_open(zones, NIGHT_AND_DAY, opening, FILE)
        assert (opening == at) is is_right


# --- hours that clocks skip and double, by the almanac ------------------------------------------


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text + "+00:00")


def opened(zone: str, windows: dict[str, Any], begin: str, end: str) -> list[tuple[str, str]]:
    """The open minutes between two instants, as spans of UTC."""
    read, at, spans = parse_windows(windows), utc(begin), list[tuple[str, str]]()
    since: datetime | None = None
    while at < utc(end):
        is_now = is_open((zone,), read, at)
        assert is_now is (next_opening((zone,), read, at) == at)
        if is_now and since is None:
            since = at
        if not is_now and since is not None:
            spans.append((f"{since:%H:%M}", f"{at:%H:%M}"))
            since = None
        at += timedelta(minutes=1)
    return spans


def test_an_hour_that_is_skipped_is_never_open() -> None:
    """New York, 14 March 2027: 02:00 is 03:00, at 07:00 UTC."""
    day = ("2027-03-14T04:00", "2027-03-15T03:59")
    assert opened("America/New_York", {"daily": [["02:15", "02:45"]]}, *day) == []
    assert opened("America/New_York", {"daily": [["01:30", "02:30"]]}, *day) == [("06:30", "07:00")]
    assert opened("America/New_York", {"daily": [["02:30", "03:30"]]}, *day) == [("07:00", "07:30")]


def test_an_hour_that_is_doubled_is_open_twice() -> None:
    """New York, 7 November 2027: 02:00 is 01:00 again, at 06:00 UTC."""
    day = ("2027-11-07T04:00", "2027-11-08T04:59")
    assert opened("America/New_York", {"daily": [["01:15", "01:45"]]}, *day) == [
        ("05:15", "05:45"),
        ("06:15", "06:45"),
    ]
    assert opened("America/New_York", {"daily": [["01:30", "02:30"]]}, *day) == [
        ("05:30", "06:00"),
        ("06:30", "07:30"),
    ]


def test_clocks_that_change_at_midnight_of_utc_are_followed() -> None:
    """Kaliningrad, 27 March 2011: 02:00 is 03:00, at 00:00 UTC."""
    zone = ("Europe/Kaliningrad",)
    for at in quarters(datetime(2011, 3, 25, tzinfo=UTC), 4):
        is_right = judged_by_the_wall(*zone, NIGHT_AND_DAY, at, FILE)
        assert is_open(zone, NIGHT_AND_DAY, at, FILE) is is_right
        assert (next_opening(zone, NIGHT_AND_DAY, at, FILE) == at) is is_right


def test_lord_howe_moves_by_half_an_hour() -> None:
    """3 October 2027: 02:00 is 02:30, at 15:30 UTC of the day before; offsets 10:30 and 11:00."""
    day = ("2027-10-02T13:30", "2027-10-03T12:30")
    zone = "Australia/Lord_Howe"
    assert opened(zone, {"daily": [["02:05", "02:25"]]}, *day) == []
    assert opened(zone, {"daily": [["09:00", "21:00"]]}, *day) == [("22:00", "10:00")]


def test_the_day_that_samoa_skipped_is_never_open() -> None:
    """Samoa went from 29 to 31 December 2011 at 10:00 UTC of the 30th."""
    at = utc("2011-12-30T07:30")  # 21:30 of the 29th, a Thursday
    only_friday = parse_windows({"days": {"fri": [["09:00", "21:00"]]}})
    opening = next_opening(("Pacific/Apia",), only_friday, at)
    assert opening == utc("2012-01-05T19:00")  # 09:00 of the sixth, fourteen hours ahead
    assert next_opening(("Pacific/Apia",), DAILY, at) == utc("2011-12-30T19:00")


@pytest.mark.parametrize(
    ("zone", "begin", "end"),
    [
        ("Asia/Kolkata", "2027-01-01T03:30", "2027-01-01T15:30"),
        ("America/New_York", "2027-01-01T14:00", "2027-01-02T02:00"),
        ("America/New_York", "2027-07-01T13:00", "2027-07-02T01:00"),
        ("Pacific/Apia", "2027-01-01T20:00", "2027-01-02T08:00"),
        ("Asia/Kathmandu", "2027-01-01T03:15", "2027-01-01T15:15"),
    ],
)
def test_nine_to_nine_is_open_to_the_second(zone: str, begin: str, end: str) -> None:
    second = timedelta(microseconds=1)
    for at, is_right in (
        (utc(begin) - second, False),
        (utc(begin), True),
        (utc(end) - second, True),
        (utc(end), False),
    ):
        assert is_open((zone,), DAILY, at) is is_right
    assert next_opening((zone,), DAILY, utc(begin) - second) == utc(begin)
    assert next_opening((zone,), DAILY, utc(end)) == utc(begin) + timedelta(days=1)


# --- what is never open, and what always is -----------------------------------------------------


def test_zones_that_share_no_hour_are_never_open() -> None:
    hour = parse_windows({"daily": [["10:00", "11:00"]]})
    zones = ("Asia/Kolkata", "America/New_York")
    assert next_opening(zones, hour, utc("2027-01-01T00:00")) is None
    calendar = Calendar(hour)
    for day in range(3):
        assert calendar.next_opening(zones, utc("2027-01-01T00:00") + timedelta(days=day)) is None
        assert not calendar.is_open(zones, utc("2027-01-01T00:00"))


def test_a_number_of_no_known_place_is_called_only_where_the_windows_name_one() -> None:
    at = utc("2027-01-01T06:00")
    assert next_opening((), DAILY, at) is None
    assert not is_open((), DAILY, at)
    in_india = parse_windows({"zone": "Asia/Kolkata"})
    assert is_open((), in_india, at)
    assert is_open(("America/New_York",), in_india, at)
    assert next_opening((), in_india, at) == at


def test_always_is_always() -> None:
    always, at = parse_windows({"always": True}), utc("2027-01-01T02:11")
    assert is_open((), always, at)
    assert next_opening((), always, at) == at
    assert Calendar(always).next_opening(("Asia/Kolkata",), at) == at
    assert Calendar(always).is_open((), at)


def test_a_weekly_hour_among_holidays_is_found_months_away() -> None:
    days = [(date(2027, 1, 4) + timedelta(weeks=week)).isoformat() for week in range(20)]
    windows = parse_windows({"days": {"mon": [["10:00", "11:00"]]}, "holidays": days})
    found = next_opening(("Asia/Kolkata",), windows, utc("2027-01-01T00:00"))
    assert found == utc("2027-05-24T04:30")


def test_work_ends_when_so_many_open_hours_have_passed() -> None:
    calendar, friday = (
        Calendar(parse_windows({"days": {"fri": [["09:00", "11:00"]]}})),
        "2027-01-01",
    )
    now = utc(f"{friday}T04:00")  # 09:30 in India
    assert calendar.end_of(("Asia/Kolkata",), now, 3600) == utc(f"{friday}T05:00")
    assert calendar.end_of(("Asia/Kolkata",), now, 2 * 3600) == utc("2027-01-08T04:00")
    assert calendar.end_of(("Asia/Kolkata",), now, 200 * 3600) is None
    assert calendar.end_of((), now, 60) is None
    assert Calendar(parse_windows({"always": True})).end_of((), now, 60) == utc(f"{friday}T04:01")


def test_a_night_before_a_holiday_ends_at_midnight_and_a_holidays_night_is_not() -> None:
    windows = {"daily": [["22:00", "02:00"]], "holidays": ["2027-01-05"]}
    assert opened("Europe/London", windows, "2027-01-04T12:00", "2027-01-07T12:00") == [
        ("22:00", "00:00"),
        ("22:00", "02:00"),
    ]


@settings(max_examples=60)
@given(
    st.sampled_from(TWELVE),
    st.integers(min_value=1_577_836_800, max_value=2_000_000_000),
    st.lists(st.integers(min_value=0, max_value=200_000), max_size=12),
)
def test_a_calendar_that_remembers_answers_as_one_that_does_not(
    zone: str, start_s: int, steps: list[int]
) -> None:
    calendar, at = Calendar(NIGHT_AND_DAY, FILE), datetime.fromtimestamp(start_s, UTC)
    for step in [0, *steps, -50_000]:
        at += timedelta(seconds=step)
        assert calendar.next_opening((zone,), at) == next_opening((zone,), NIGHT_AND_DAY, at, FILE)
        assert calendar.is_open((zone,), at) is is_open((zone,), NIGHT_AND_DAY, at, FILE)


def test_a_calendar_remembers_a_bounded_number_of_places() -> None:
    calendar, at = Calendar(parse_windows({"zone": "Asia/Kolkata"})), utc("2027-01-01T00:00")
    for n in range(1100):
        calendar.next_opening((f"Nowhere/{n}",), at)
    assert 0 < len(calendar._known) <= 1024


# --- what is written ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        {"always": True},
        {"daily": [["09:00", "12:00"], ["13:00", "24:00"]], "zone": "Asia/Kolkata"},
        {"days": {"mon": [["22:00", "02:00"]]}, "holidays": ["2026-12-25", "2026-12-24"]},
    ],
)
def test_windows_are_written_as_they_are_read(wanted: dict[str, Any] | None) -> None:
    windows = parse_windows(wanted)
    assert parse_windows(windows.to_json()) == windows


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        ({"always": True, "zone": "Asia/Kolkata"}, "alone"),
        ({"always": 1}, "alone"),
        ({"dayly": []}, "dayly"),
        ({"daily": [["09:00", "21:00"]], "days": {}}, "not both"),
        ({"days": {}}, "never open"),
        ({"daily": "09:00"}, "list of spans"),
        ({"daily": [["09:00"]]}, "two times"),
        ({"daily": ["09:00"]}, "two times"),
        ({"daily": [["9:00", "21:00"]]}, "HH:MM"),
        ({"daily": [[9, 21]]}, "HH:MM"),
        ({"daily": [["09:00", "24:30"]]}, "HH:MM"),
        ({"daily": [["09:00", "09:00"]]}, "different"),
        ({"daily": [["24:00", "09:00"]]}, "different"),
        ({"daily": [["09:00", "09:30"]] * 13}, "at most"),
        ({"days": {"monday": []}}, "mon, tue"),
        ({"days": []}, "mon, tue"),
        ({"zone": "Mars/Olympus"}, "time zone"),
        ({"zone": 5}, "time zone"),
        ({"holidays": "2026-12-25"}, "list of dates"),
        ({"holidays": ["2026-02-30"]}, "dates such as"),
        ({"holidays": [20261225]}, "dates such as"),
        ({"holidays": ["2026-12-25"] * 401}, "at most"),
    ],
)
def test_windows_that_cannot_be_are_refused(wanted: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidOrder, match=word) as caught:
        parse_windows(wanted)
    assert caught.value.field == "windows"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("09:00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "daily": JSON,
            "days": st.dictionaries(st.sampled_from(WEEKDAYS), JSON) | JSON,
            "holidays": JSON,
            "zone": JSON,
            "always": JSON,
        },
    )
)
def test_any_json_is_windows_or_refused(wanted: dict[str, Any]) -> None:
    try:
        windows = parse_windows(wanted)
    except InvalidOrder:
        return
    assert parse_windows(windows.to_json()) == windows
