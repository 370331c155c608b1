"""YAML with its lines."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.agents.document import UnreadableDocument, read_document


def test_every_field_has_its_line() -> None:
    document = read_document(b"a: 1\nb:\n  - x\n  - c: 2\n    d: >-\n      text\n")
    assert document.data == {"a": 1, "b": ["x", {"c": 2, "d": "text"}]}
    lines = {("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "c"): 4, ("b", 1, "d"): 5}
    assert {path: document.line(path) for path in lines} == lines
    assert document.line(("b", 1, "nothing", "here")) == 4
    assert document.line(("z",)) == 1


def test_plain_words_are_what_people_mean() -> None:
    text = b"""[yes, no, on, off, true, False, ~, null, 0, 12, -3, 1.5, -.5, 1e3, +9180, 007, 12:30,
      2026-01-02, 0x10, .inf, .nan, '5', "true", 1_000]"""
    assert read_document(text).data == [
        *("yes", "no", "on", "off", True, False, None, None, 0, 12, -3, 1.5, -0.5, 1000.0),
        *("+9180", "007", "12:30", "2026-01-02", "0x10", ".inf", ".nan", "5", "true", "1_000"),
    ]


def test_keys_are_texts() -> None:
    assert read_document(b"1: a\nno: b\n3.5: c\n").data == {"1": "a", "no": "b", "3.5": "c"}


def test_a_mark_of_the_byte_order_is_no_character() -> None:
    assert read_document("\ufeffa: 1\n".encode()).data == {"a": 1}


def test_a_key_that_is_no_word_is_refused() -> None:
    with pytest.raises(UnreadableDocument, match="a key must be a word"):
        read_document(b"a: 1\n? [x, y]\n: 2\n")


def test_tags_are_told_of_whatever_they_stand_at() -> None:
    for text in (b"a: !x 1\n", b"a: !!set {b: 1}\n", b"a: !!int many\n", b"a: !!bool yes\n"):
        (problem,) = read_document(text).problems
        assert problem[0] == 1
        assert "tags" in problem[1].reason


def test_a_file_of_countless_entries_is_given_up_early() -> None:
    with pytest.raises(UnreadableDocument, match="more than 10000 entries") as raised:
        read_document(b"- x\n" * 12_000)
    assert raised.value.line == 10_000


@given(st.binary(max_size=200) | st.text("ab: -[]{}&*!|>'\"\n\t,#?%@", max_size=80).map(str.encode))
def test_whatever_is_read_only_our_error_comes(raw: bytes) -> None:
    with contextlib.suppress(UnreadableDocument):
        read_document(raw)
