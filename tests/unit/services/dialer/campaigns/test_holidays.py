"""The file of holidays."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dialer.campaigns.holidays import NO_HOLIDAYS, BadHolidays, parse_holidays

FILE = """
# Days on which nobody is called.
2027-01-01
IN 2027-01-26        # Republic Day
Europe/Berlin 2027-10-03
US/Eastern 2027-07-04
GB 2027-05-03
"""


@pytest.mark.parametrize(
    ("zone", "day", "is_holiday"),
    [
        ("Asia/Tokyo", date(2027, 1, 1), True),
        ("Asia/Calcutta", date(2027, 1, 26), True),
        ("Asia/Kolkata", date(2027, 1, 26), True),
        ("Asia/Dhaka", date(2027, 1, 26), False),
        ("Europe/Berlin", date(2027, 10, 3), True),
        ("Europe/Oslo", date(2027, 10, 3), False),
        ("America/New_York", date(2027, 7, 4), True),
        ("America/Chicago", date(2027, 7, 4), False),
        ("Europe/London", date(2027, 5, 3), True),
        ("Europe/London", date(2027, 5, 4), False),
    ],
)
def test_a_holiday_holds_where_the_file_says(zone: str, day: date, *, is_holiday: bool) -> None:
    assert parse_holidays(FILE).has(zone, day) is is_holiday


def test_without_a_file_there_is_no_holiday() -> None:
    assert not NO_HOLIDAYS.has("Asia/Kolkata", date(2027, 1, 26))
    assert parse_holidays("") == NO_HOLIDAYS


@pytest.mark.parametrize(
    "line",
    ["2027-02-30", "27-01-01", "XX 2027-01-01", "Nowhere/Else 2027-01-01", "IN DE 2027-01-01"],
)
def test_a_line_that_cannot_be_read_is_named(line: str) -> None:
    with pytest.raises(BadHolidays, match="line 2"):
        parse_holidays(f"2027-01-01\n{line}\n")


def test_a_file_is_bounded() -> None:
    with pytest.raises(BadHolidays, match="lines"):
        parse_holidays("2027-01-01\n" * 20_001)


@given(st.text())
def test_any_text_is_holidays_or_a_bad_line(text: str) -> None:
    try:
        read = parse_holidays(text)
    except BadHolidays:
        return
    assert read.by_zone == {} or "-" in text
