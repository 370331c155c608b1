from __future__ import annotations

import pytest

from shared.protocol.call import CallId
from shared.recordings import layout
from shared.recordings.layout import Marker

CALL = CallId("b2c7-4_f")


def test_a_block_is_told_from_other_names() -> None:
    assert layout.is_block(layout.block_path(CALL, 2, 17))
    assert not layout.is_block(layout.index_path(CALL))


def test_names_sort_as_time_goes() -> None:
    blocks = [layout.block_path(CALL, *at) for at in ((1, 9), (1, 10), (1, 100), (2, 0))]
    days = [Marker(at_ms, CALL).day_path() for at_ms in (5, 999_999_999_999, 1_764_000_000_000)]
    assert blocks == sorted(blocks)
    assert days == sorted(days)


def test_a_marker_reads_back() -> None:
    marker = Marker(1_764_139_212_345, CALL)
    assert marker.day_path() == "days/2025-11-26/1764139212345.b2c7-4_f"
    assert layout.read_day_marker(marker.day_path()) == marker
    assert layout.read_day_marker("1764139212345.b2c7-4_f") == marker
    assert layout.read_expiry_marker(marker.expiry_path()) == Marker(1_764_139_212_000, CALL)


@pytest.mark.parametrize(
    "name",
    ["", "x", "12", ".call", "x.call", "12.", "12.a/b", "12.a b", "99999999999999.call", "٣.c"],
)
def test_what_is_no_marker_is_none(name: str) -> None:
    assert layout.read_day_marker(f"days/2025-11-26/{name}") is None


@pytest.mark.parametrize("call_id", ["", "..", "a/b", "a.b", "a" * 129, "ä"])
def test_an_id_that_is_no_name_is_not_recorded(call_id: str) -> None:
    assert not layout.is_recordable(call_id)


def test_an_hour_is_due_once_it_has_begun() -> None:
    now_ms = 1_764_139_212_345
    assert layout.is_due(Marker(now_ms, CALL).expiry_path().rpartition("/")[0], now_ms)
    assert not layout.is_due(
        Marker(now_ms + 3_600_000, CALL).expiry_path().rpartition("/")[0], now_ms
    )


def test_the_day_of_any_number_is_a_day() -> None:
    assert layout.day_of(-5) == "days/1970-01-01"
    assert layout.day_of(10**30) == "days/2286-11-20"
