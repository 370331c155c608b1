from __future__ import annotations

import json
import zlib
from dataclasses import asdict
from typing import Any

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
    empty = b"\x00\x00\x00\x02{}" + data
    whole = b"PRB2" + zlib.crc32(empty).to_bytes(4, "big") + empty
    for text in (data, b"PRB1" + data, b"PRB2" + data, b"PRB1" + empty, whole):
        with pytest.raises(MalformedBlock):
            parse_block(text)


FACTS = Facts(CallId("c"), 1, "w", "default", 0.0, None)


@given(st.integers(4, 10**6), st.integers(1, 255))
def test_damage_is_noticed_wherever_it_is(place: int, change: int) -> None:
    """The header was outside the sum: a bit that flipped in a place moved what was said."""
    data = bytearray(serialize_block(Block(FACTS, 0, caller=(CallerPiece(8000, b"\x01" * 160),))))
    data[4 + place % (len(data) - 4)] ^= change
    with pytest.raises(MalformedBlock):
        parse_block(bytes(data))


def of_first_version(audio: bytes, **changes: Any) -> bytes:
    header = {
        "facts": asdict(FACTS),
        "number": 3,
        "caller": [[0, 160]],
        "agent": [],
        "runs": [],
        "cuts": [],
        "is_last": False,
        "stopped": "",
        "crc": zlib.crc32(audio),
    }
    text = json.dumps(header | changes).encode()
    return b"PRB1" + len(text).to_bytes(4, "big") + text + audio


def test_a_block_of_the_first_version_is_read_still() -> None:
    audio = b"\x01" * 160
    assert parse_block(of_first_version(audio)) == Block(FACTS, 3, caller=(CallerPiece(0, audio),))
    with pytest.raises(MalformedBlock, match="damaged audio"):
        parse_block(of_first_version(audio, crc=1))


def test_a_place_before_the_beginning_is_refused() -> None:
    data = serialize_block(Block(FACTS, 0, cuts=(-160,)))
    with pytest.raises(MalformedBlock):
        parse_block(data)


def test_audio_that_belongs_to_no_piece_is_refused() -> None:
    with pytest.raises(MalformedBlock, match="more or less"):
        parse_block(of_first_version(b"\x01" * 160, caller=[[0, 159]]))
