"""Rows of lists, judged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dialer.campaigns.model import NewRow
from services.dialer.campaigns.row_rules import (
    BadHeader,
    BadRow,
    Columns,
    RowRules,
    check_variables,
    row_of_json,
)
from services.dialer.campaigns.windows import parse_windows
from services.dialer.errors import InvalidOrder
from services.dialer.numbers.e164 import NumberCheck

A, NOWHERE = "+918000000001", "+80012345678"
RULES = RowRules(parse_windows(None))


def problem(row: NewRow | BadRow) -> str:
    assert isinstance(row, BadRow), row
    return row.problem


def good(row: NewRow | BadRow) -> NewRow:
    assert isinstance(row, NewRow), row
    return row


def test_a_row_gets_its_number_in_e164_and_the_zones_of_the_number() -> None:
    row = good(RULES.check(7, "+91 80000-00001", variables={"name": "Asha"}, agent="desk"))
    assert row == NewRow(A, {"name": "Asha"}, ("Asia/Calcutta",), "desk", 7)


def test_a_zone_that_is_given_goes_before_the_numbers_own() -> None:
    assert good(RULES.check(1, "+12125550100", zone="America/Denver")).zones == ("America/Denver",)
    assert "Kolkata" in problem(RULES.check(1, A, zone="Mars/Olympus"))


def test_a_number_of_no_place_needs_a_zone_from_somebody() -> None:
    assert problem(RULES.check(1, NOWHERE)).startswith("zone: ")
    assert good(RULES.check(1, NOWHERE, zone="Asia/Tokyo")).zones == ("Asia/Tokyo",)
    for windows in ({"always": True}, {"zone": "Asia/Tokyo"}):
        assert good(RowRules(parse_windows(windows)).check(1, NOWHERE)).zones == ()


def test_ranges_are_looked_at_where_that_is_wanted() -> None:
    strict = RowRules(parse_windows(None), number_check=NumberCheck.VALID)
    assert "range" in problem(strict.check(1, "+15550100001"))
    assert good(RULES.check(1, "+15550100001"))


@pytest.mark.parametrize(
    "variables",
    [
        {str(n): "" for n in range(33)},
        {"": "x"},
        {"k" * 65: "x"},
        {"k": "v" * 513},
        {"k": "\ud800"},
        {"campaign": "x"},
        {"row": "x"},
        {"machine": "x"},
        {"a": "v" * 512, "b": "☎" * 500},
    ],
    ids=range(9),
)
def test_variables_are_bounded(variables: dict[str, str]) -> None:
    with pytest.raises(InvalidOrder, match="variables"):
        check_variables(variables)
    assert problem(RULES.check(1, A, variables=variables)).startswith("variables: ")


def test_a_rows_variables_count_with_the_campaigns() -> None:
    rules = RowRules(parse_windows(None), {str(n): "" for n in range(30)})
    assert good(rules.check(1, A, variables={"0": "x", "a": "", "b": ""}))
    assert "with the campaign's own" in problem(
        rules.check(1, A, variables={"a": "", "b": "", "c": ""})
    )


def test_a_rows_variables_fit_what_a_worker_can_be_told_with_the_campaigns() -> None:
    """Otherwise each such row would be refused at the moment of dialling."""
    rules = RowRules(parse_windows(None), {str(n): "x" * 500 for n in range(5)})
    assert good(rules.check(1, A, variables={"0": "x" * 500, "a": "x" * 300}))
    assert "in all" in problem(rules.check(1, A, variables={"a": "x" * 500}))


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (None, "no object"),
        ([], "no object"),
        ({}, "to: must be a text"),
        ({"to": 918000000001}, "to: must be a text"),
        ({"to": A, "line": 0}, "line"),
        ({"to": A, "line": "3"}, "line"),
        ({"to": A, "line": True}, "line"),
        ({"to": A, "colour": "red"}, "colour"),
        ({"to": A, "zone": 5}, "zone: must be a text"),
        ({"to": A, "agent": []}, "agent: must be a text"),
        ({"to": A, "agent": "a b"}, "agent: 1 to 64"),
        ({"to": A, "variables": []}, None),
        ({"to": A, "variables": [1]}, "variables: must be texts"),
        ({"to": A, "variables": {"a": 1}}, "variables: must be texts"),
    ],
)
def test_a_row_of_json_is_judged(value: object, word: str | None) -> None:
    row = row_of_json(value, 3, RULES)
    assert row.line == 3
    if word is None:
        assert good(row) == NewRow(A, {}, ("Asia/Calcutta",), None, 3)
    else:
        assert word in problem(row)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just(A),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["to", "zone", "agent", "variables", "line", "x"]), inner)
    ),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_a_row_or_a_bad_one(value: Any) -> None:
    row = row_of_json(value, 1, RULES)
    if isinstance(row, BadRow):
        row.to_json()["problem"].encode()
    else:
        assert NewRow.from_text(row.to_text()) == row


@pytest.mark.parametrize(
    ("header", "to"),
    [
        (["name", "To"], 1),
        ([" Phone ", "name"], 0),
        (["number", "phone_number"], 1),
        (["phone", "number", "TO"], 2),
    ],
)
def test_the_column_of_numbers_is_found(header: list[str], to: int) -> None:
    assert Columns.of_header(header).to == to


def test_all_other_columns_are_variables_and_empty_values_are_none() -> None:
    columns = Columns.of_header(["to", "zone", "Agent", "Name", "city"])
    row = good(columns.judge(2, [A, "", " ", "Asha", ""], RULES))
    assert row == NewRow(A, {"Name": "Asha"}, ("Asia/Calcutta",), None, 2)
    assert "4 values where the header has 5" in problem(columns.judge(2, [A, "", "", ""], RULES))


@pytest.mark.parametrize(
    "header",
    [
        ["name"],
        ["to", ""],
        ["to", "a", "a"],
        ["to", "x" * 65],
        ["to", "campaign"],
        ["to", *map(str, range(33))],
    ],
    ids=range(6),
)
def test_a_header_that_cannot_be_used_is_refused(header: list[str]) -> None:
    with pytest.raises(BadHeader):
        Columns.of_header(header)


@given(st.lists(st.text(max_size=10) | st.just("to"), max_size=5), st.lists(st.text(max_size=10)))
def test_any_table_is_judged(header: list[str], values: list[str]) -> None:
    try:
        columns = Columns.of_header(header)
    except BadHeader:
        return
    assert columns.judge(2, values, RULES).line == 2
