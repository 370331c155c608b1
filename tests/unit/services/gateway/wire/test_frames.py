"""services.gateway.wire.frames, beside the `websockets` package: the same bytes mean the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from websockets.utils import apply_mask

from services.gateway.wire.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameReader,
    close_payload,
    frame_header,
    read_close,
)

MAX_BYTES = 300


def reader(*, is_masked: bool, max_bytes: int = MAX_BYTES) -> FrameReader:
    return FrameReader(is_masked=is_masked, max_bytes=max_bytes, unmask=apply_mask)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(marks)]


def read_here(data: bytes, cuts: list[int], *, is_masked: bool) -> tuple[list[object], int | None]:
    """What is read up to the first close frame or fault, and the fault's code."""
    ours = reader(is_masked=is_masked)
    found: list[object] = []
    for piece in pieces_of(data, cuts):
        for opcode, payload in ours.feed(piece):
            found.append((opcode, payload))
            if opcode == CLOSE:
                return found, None
        if ours.error is not None:
            return found, ours.error.code
    return found, None


def read_there(data: bytes, *, is_masked: bool) -> tuple[list[object], int | None]:
    """The same by the package: its frames joined to messages."""
    theirs: Protocol = ServerProtocol(state=State.OPEN, max_size=MAX_BYTES)
    if not is_masked:
        theirs = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN, max_size=MAX_BYTES)
    assert (theirs.side is Side.SERVER) is is_masked
    theirs.receive_data(data)
    found: list[object] = []
    opcode, parts = 0, b""
    for event in theirs.events_received():
        assert isinstance(event, Frame)
        payload = bytes(event.data)
        if event.opcode >= Opcode.CLOSE:
            found.append((int(event.opcode), payload))
            continue
        opcode, parts = (int(event.opcode) or opcode), parts + payload
        if event.fin:
            found.append((opcode, parts))
            parts = b""
    if theirs.parser_exc is None:
        return found, None
    assert theirs.close_sent is not None
    return found, theirs.close_sent.code


def frame(
    opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, key: bytes = b"", wide: int = 0
) -> bytes:
    """A frame as somebody might write it, rightly or not; `wide` takes a longer length field."""
    size = max(wide, 0 if len(payload) < 126 else 1 if len(payload) < 65_536 else 2)
    bit = 0x80 if key else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if size == 0:
        head += bytes([bit | len(payload)])
    elif size == 1:
        head += bytes([bit | 126]) + len(payload).to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + len(payload).to_bytes(8, "big")
    return head + key + (apply_mask(payload, key) if key else payload)


PAYLOADS = st.binary(max_size=8) | st.sampled_from([b"x" * n for n in (125, 126, 250, 300, 301)])
CLOSES = st.sampled_from(
    [
        b"",
        b"\x03",
        b"\x03\xe8",
        b"\x03\xe8bye",
        b"\x03\xed",
        b"\x0f\xa5",
        b"\x03\xe8\xff",
        b"\x13\x88",
    ]
)
WELL_FORMED = st.tuples(
    st.sampled_from([TEXT, TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE]), st.booleans(), PAYLOADS
)


@st.composite
def streams(draw: st.DrawFn, key: bytes) -> bytes:
    """Frames in a row, mostly good ones."""
    out = b""
    for _ in range(draw(st.integers(0, 8))):
        opcode, fin, payload = draw(WELL_FORMED)
        if opcode == CLOSE:
            payload = draw(CLOSES)
        is_odd = draw(st.integers(0, 5)) == 0
        out += frame(
            draw(st.integers(0, 15)) if is_odd else opcode,
            payload,
            fin=fin or draw(st.booleans()),
            rsv=draw(st.integers(0, 7)) if is_odd else 0,
            key=key if not is_odd or draw(st.booleans()) else b"",
            wide=draw(st.integers(0, 2)),
        )
    return out + draw(st.binary(max_size=3))


@pytest.mark.parametrize("is_masked", [True, False])
@given(data=st.data(), cuts=st.lists(st.integers(0, 4000), max_size=6))
def test_frames_mean_here_what_they_mean_to_the_package(
    is_masked: bool, data: st.DataObject, cuts: list[int]
) -> None:
    written = data.draw(streams(b"\x01\x82\x33\xf4" if is_masked else b""))
    assert read_here(written, cuts, is_masked=is_masked) == read_there(written, is_masked=is_masked)


@pytest.mark.parametrize("is_masked", [True, False])
@given(noise=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=4))
@example(noise=b"\x81\xff" + b"\xff" * 12, cuts=[])
def test_noise_means_here_what_it_means_to_the_package(
    is_masked: bool, noise: bytes, cuts: list[int]
) -> None:
    assert read_here(noise, cuts, is_masked=is_masked) == read_there(noise, is_masked=is_masked)


@given(payload=st.binary(max_size=400), is_masked=st.booleans())
@example(payload=b"x" * 65_535, is_masked=True)
@example(payload=b"x" * 65_536, is_masked=True)
@example(payload=b"x" * 65_536, is_masked=False)
def test_what_is_written_here_is_read_there(payload: bytes, is_masked: bool) -> None:
    written = frame_header(TEXT, len(payload), is_masked=is_masked) + payload
    theirs: Protocol = ServerProtocol(state=State.OPEN, max_size=None)
    if not is_masked:
        theirs = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN, max_size=None)
    theirs.receive_data(written)
    (event,) = theirs.events_received()
    assert isinstance(event, Frame)
    assert (event.opcode, event.fin, bytes(event.data)) == (Opcode.TEXT, True, payload)


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING])
@pytest.mark.parametrize("rsv", [1, 2, 4])
def test_reserved_bits_are_refused(opcode: int, rsv: int) -> None:
    ours = reader(is_masked=False)
    assert ours.feed(frame(opcode, b"x", rsv=rsv)) == []
    assert ours.error is not None
    assert ours.error.code == 1002


def test_a_reader_says_whether_a_message_has_begun() -> None:
    ours = reader(is_masked=False)
    assert not ours.is_midway
    ours.feed(frame(TEXT, b"x")[:2])
    assert ours.is_midway
    ours.feed(b"x")
    assert not ours.is_midway
    ours.feed(frame(TEXT, b"x", fin=False))
    assert ours.is_midway
    ours.feed(frame(CONTINUATION, b"y"))
    assert not ours.is_midway


def test_a_message_in_endless_tiny_fragments_is_bounded() -> None:
    ours = reader(is_masked=False)
    assert ours.feed(frame(TEXT, b"x", fin=False)) == []
    for _ in range(MAX_BYTES - 1):
        assert ours.feed(frame(CONTINUATION, b"x", fin=False)) == []
        assert ours.feed(frame(CONTINUATION, b"", fin=False)) == []
    assert ours.error is None
    assert ours.feed(frame(CONTINUATION, b"x", fin=False)) == []
    assert ours.error is not None
    assert ours.error.code == 1009


def test_too_long_a_message_is_refused_by_its_header() -> None:
    ours = reader(is_masked=True)
    assert ours.feed(b"\x81\xfe\x01\x2d") == []
    assert ours.error is not None
    assert (ours.error.code, ours.error.reason) == (1009, "message too big")


@pytest.mark.parametrize(
    ("payload", "code"), [(b"", 1005), (b"\x03\xe8", 1000), (b"\x0f\xa5later", 4005)]
)
def test_a_close_frame_tells_its_code(payload: bytes, code: int) -> None:
    assert read_close(payload) == code


@pytest.mark.parametrize(
    ("payload", "code"), [(b"\x03", 1002), (b"\x03\xed", 1002), (b"\x03\xe8\xc3", 1007)]
)
def test_a_close_frame_that_is_none_is_refused(payload: bytes, code: int) -> None:
    with pytest.raises(FrameError) as refused:
        read_close(payload)
    assert refused.value.code == code


def test_codes_that_must_not_be_on_the_wire_are_left_out() -> None:
    assert close_payload(1000) == b"\x03\xe8"
    assert close_payload(1005) == close_payload(1006) == b""
