"""Entries come back as they were given, however many pages they fill."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.agent.turn.packed import Packed

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=25)
@given(st.lists(st.dictionaries(st.text(), _JSON, max_size=4), max_size=40))
def test_what_was_added_comes_back_in_order(entries: list[dict[str, Any]]) -> None:
    packed = Packed(entries)
    assert list(packed) == entries
    assert len(packed) == len(entries)
    assert packed.newest == (entries[-1] if entries else None)


def test_entries_of_many_pages_come_back_in_order() -> None:
    entries = [{"number": number, "text": "words " * 20} for number in range(500)]
    assert list(Packed(entries)) == entries


def test_the_newest_may_be_changed_in_place() -> None:
    packed = Packed([{"n": 1}, {"n": 2}])
    newest = packed.newest
    assert newest is not None
    newest["n"] = 3
    packed.append({"n": 4})
    packed.append({"n": 5})
    packed.append({"n": 6})
    assert list(packed) == [{"n": 1}, {"n": 3}, {"n": 4}, {"n": 5}, {"n": 6}]


def test_all_can_be_taken_back_and_more_added() -> None:
    entries = [{"number": number, "text": "words " * 20} for number in range(100)]
    packed = Packed(entries)
    assert [packed.pop() for _ in range(100)] == entries[::-1]
    assert packed.newest is None
    assert len(packed) == 0
    packed.append({"number": 1})
    assert list(packed) == [{"number": 1}]
