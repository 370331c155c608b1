"""A call's place in its trace, and the header that tells it."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.trace import SpanPlace, parse_traceparent, root_of, trace_id_of

HEX32, HEX16 = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(("flags", "is_sampled"), [("00", False), ("01", True), ("03", True)])
def test_a_traceparent_is_read(flags: str, is_sampled: bool) -> None:
    assert parse_traceparent(f"00-{HEX32}-{HEX16}-{flags}") == SpanPlace(HEX32, HEX16, is_sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        f"00-{HEX32}-{HEX16}",
        f"00-{HEX32}-{HEX16}-01-more",
        f"00-{HEX32}-{HEX16}-1",
        f"00-{HEX32.upper()}-{HEX16}-01",
        f"ff-{HEX32}-{HEX16}-01",
        f"01-{HEX32}-{HEX16}-01",
        f"00-{'0' * 32}-{HEX16}-01",
        f"00-{HEX32}-{'0' * 16}-01",
        f" 00-{HEX32}-{HEX16}-01",
        f"00-{HEX32}-{HEX16}-01\n",
        f"00-{HEX32[:-1]}-{HEX16}-01",
    ],
)
def test_what_is_nearly_one_is_none(text: str) -> None:
    assert parse_traceparent(text) is None


@given(st.text(alphabet=string.hexdigits + "-", max_size=60))
def test_random_text_is_refused_or_comes_back_the_same(text: str) -> None:
    place = parse_traceparent(text)
    if place is not None:
        assert parse_traceparent(place.serialize()) == place


@given(st.text(min_size=1, max_size=128), st.sampled_from([0.0, 0.25, 1.0]))
def test_every_call_has_a_place_that_can_be_told(call_id: str, ratio: float) -> None:
    root = root_of(call_id, ratio)
    assert parse_traceparent(root.serialize()) == root
    assert root == root_of(call_id, ratio)


def test_calls_have_traces_of_their_own() -> None:
    assert len({trace_id_of(f"call-{number}") for number in range(1000)}) == 1000


def test_the_share_that_is_kept_is_the_share_asked_for() -> None:
    chance = random.Random(5)
    calls = [f"{chance.getrandbits(128):x}" for _ in range(4000)]
    kept = sum(root_of(call, 0.2).is_sampled for call in calls)
    assert 700 < kept < 900
    # Who keeps fewer keeps none that others don't.
    assert all(root_of(call, 0.2).is_sampled for call in calls if root_of(call, 0.1).is_sampled)
    assert not any(root_of(call, 0.0).is_sampled for call in calls)
    assert all(root_of(call, 1.0).is_sampled for call in calls)
