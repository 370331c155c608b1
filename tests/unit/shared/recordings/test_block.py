from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.protocol.call import CallId
from shared.recordings.block import (
    AgentPiece,
    Block,
    CallerPiece,
    Facts,
    RunPlace,
    parse_block,
    serialize_block,
)
from shared.recordings.errors import MalformedBlock

places = st.integers(0, 2**32)
blocks = st.builds(
    Block,
    facts=st.builds(
        Facts,
        st.text(max_size=20).map(CallId),
        st.integers(1, 999),
        st.text(max_size=20),
        st.text(max_size=20),
        st.floats(0, 4e9),
        st.none() | st.floats(0, 1e9),
    ),
    number=st.integers(0, 10**6),
    caller=st.lists(st.builds(CallerPiece, places, st.binary(max_size=500)), max_size=4).map(tuple),
    agent=st.lists(
        st.builds(AgentPiece, st.integers(0, 99), places, st.binary(max_size=500)), max_size=4
    ).map(tuple),
    runs=st.dictionaries(st.integers(0, 99), st.builds(RunPlace, places, st.none() | places)),
    cuts=st.lists(places, max_size=3).map(tuple),
    is_last=st.booleans(),
    stopped=st.sampled_from(["", "slow"]),
)


@settings(max_examples=50)
@given(blocks)
def test_a_block_comes_back_as_it_was(block: Block) -> None:
    assert parse_block(serialize_block(block)) == block


@settings(max_examples=50)
@given(blocks, st.integers(0, 400))
def test_a_block_that_was_cut_short_is_no_block(block: Block, kept: int) -> None:
    data = serialize_block(block)
    if kept < len(data):
        with pytest.raises(MalformedBlock):
            parse_block(data[:kept])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_block_or_malformed(data: bytes) -> None:
    for text in (data, b"PRB1" + data, b"PRB1\x00\x00\x00\x02{}" + data):
        with pytest.raises(MalformedBlock):
            parse_block(text)


def test_audio_that_was_damaged_is_noticed() -> None:
    facts = Facts(CallId("c"), 1, "w", "default", 0.0, None)
    data = bytearray(serialize_block(Block(facts, 0, caller=(CallerPiece(0, b"\x01" * 160),))))
    data[-1] ^= 0xFF
    with pytest.raises(MalformedBlock, match="damaged"):
        parse_block(bytes(data))


def test_a_place_before_the_beginning_is_refused() -> None:
    facts = Facts(CallId("c"), 1, "w", "default", 0.0, None)
    data = serialize_block(Block(facts, 0, cuts=(-160,)))
    with pytest.raises(MalformedBlock):
        parse_block(data)


def test_audio_that_belongs_to_no_piece_is_refused() -> None:
    facts = Facts(CallId("c"), 1, "w", "default", 0.0, None)
    data = serialize_block(Block(facts, 0, caller=(CallerPiece(0, b"\x01" * 160),)))
    with pytest.raises(MalformedBlock, match="more or less"):
        parse_block(data.replace(b'"caller":[[0,160]]', b'"caller":[[0,159]]'))
