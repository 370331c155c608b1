"""What tells one request from another."""

from __future__ import annotations

import re

import pytest

from services.dialer.calls.idempotency import KEY_PATTERN, fingerprint_of, read_key


def test_equal_json_has_one_fingerprint_however_it_is_written() -> None:
    one = fingerprint_of("POST", "/v1/calls", {"to": "1", "variables": {"a": "b", "c": "d"}})
    same = fingerprint_of("POST", "/v1/calls", {"variables": {"c": "d", "a": "b"}, "to": "1"})
    assert one == same
    for other in (
        fingerprint_of("POST", "/v1/calls", {"to": "2"}),
        fingerprint_of("PUT", "/v1/calls", {"to": "1", "variables": {"a": "b", "c": "d"}}),
        fingerprint_of("POST", "/v1/other", {"to": "1", "variables": {"a": "b", "c": "d"}}),
    ):
        assert other != one


def test_a_key_is_the_same_in_quotes_and_without() -> None:
    assert read_key('"abc"') == read_key("abc") == "abc"
    assert read_key("") is None


@pytest.mark.parametrize(
    ("text", "is_key"),
    [("a", True), ('"a"', True), ("x" * 201, False), ("a b", False), ('"a', False), ("é", False)],
)
def test_keys_are_visible_ascii(text: str, is_key: bool) -> None:
    assert (re.search(KEY_PATTERN, text) is not None) == is_key
