from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.tools.templates import (
    Unfillable,
    Values,
    fill_body,
    fill_header,
    fill_url,
    places_in,
    url_fault,
)


def values(**arguments: Any) -> Values:
    return Values(arguments, {"metadata.x": "m y"}, {"KEY": "s&t"})


@given(st.text(), st.text())
def test_no_argument_changes_the_shape_of_a_url(a: str, b: str) -> None:
    template = "https://shop.example/v1/{a}/end?q={b}"
    try:
        url = fill_url(template, {"extra": "{b}"}, values(a=a, b=b))
    except Unfillable:
        assert a in ("", ".", "..")
        return
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "shop.example", "")
    assert [unquote(part) for part in parts.path.split("/")] == ["", "v1", a, "end"]
    assert parse_qsl(parts.query, keep_blank_values=True) == [("q", b), ("extra", b)]


def test_a_url_without_a_path_or_places_stays_as_it_is() -> None:
    assert fill_url("https://shop.example", {}, values()) == "https://shop.example"
    assert fill_url("https://shop.example/a?b=c", {}, values()) == "https://shop.example/a?b=c"


def test_a_query_entry_is_left_out_when_its_argument_is_missing() -> None:
    query = {"a": "{a}", "b": "x{a}", "c d": "fixed &", "key": "{secret.KEY}"}
    assert fill_url("http://h/", query, values()) == "http://h/?b=x&c%20d=fixed%20%26&key=s%26t"


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (3, "3"), ([1, "é"], '[1, "é"]')]
)
def test_values_are_written_as_json_writes_them(value: Any, text: str) -> None:
    assert fill_header("{a}", values(a=value)) == text


def test_a_body_is_filled_at_every_depth() -> None:
    template = {"a": ["{a}", "{none}", {"m": "{metadata.x}!"}], "n": 1, "none": "{none}"}
    assert fill_body(template, values(a=[1])) == {"a": [[1], {"m": "m y!"}], "n": 1}
    assert fill_body("{none}", values()) is None
    assert fill_body("{a}", values(a="x")) == "x"


def test_places_are_found_at_every_depth() -> None:
    assert sorted(places_in({"{a}": ["{call.from}", {"x": "{b} {c-d}"}], "n": 1})) == [
        *("a", "b", "c-d"),
        "call.from",
    ]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://a/", "must begin with http"),
        ("http:///x", "must begin with http"),
        ("http://{a}/", "cannot be a place"),
        ("http://api.{a}.example/", "cannot be a place"),
        ("http://me:pw@shop.example/", "user or password"),
        ("http://shop.example/#x", "no fragment"),
        ("http://shop.example:99999/", "cannot be read"),
    ],
)
def test_a_faulty_url_is_named(url: str, words: str) -> None:
    assert words in (url_fault(url) or "")


def test_a_good_url_has_no_fault() -> None:
    assert url_fault("https://shop.example:8443/{a}?b={b}") is None
