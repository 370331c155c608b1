"""The short way for text frames agrees with the library's, however the bytes are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side
from websockets.speedups import apply_mask

from services.agent.wire.text_frames import FrameSplitter, text_frame

MOST = 70_000


def masked(frame: Frame) -> bytes:
    return frame.serialize(mask=True)


def text(payload: bytes, *, fin: bool = True) -> bytes:
    return masked(Frame(Opcode.TEXT, payload, fin=fin))


payloads = st.one_of(st.binary(max_size=300), st.sampled_from([b"x" * 65_535, b"y" * 65_536]))


@given(st.lists(payloads, max_size=4), st.lists(st.integers(0, 400), max_size=20))
def test_text_comes_out_whole_however_it_is_cut(texts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(text(payload) for payload in texts)
    splitter, found, at = FrameSplitter(MOST, apply_mask), [], 0
    for cut in [*cuts, len(stream)]:
        found += list(splitter.push(stream[at : at + cut]))
        at += cut
    assert found == [(payload, True) for payload in texts]


@given(payloads, st.booleans(), st.integers(0, 40))
def test_one_whole_frame_alone_comes_out_at_once_and_nothing_else_does(
    payload: bytes, is_plain: bool, cut: int
) -> None:
    frame, splitter = text(payload), FrameSplitter(MOST, apply_mask)
    splitter.is_plain = is_plain
    is_medium = 126 <= len(payload) < 65_536
    assert splitter.whole(frame) == (payload if is_medium and is_plain else None)
    assert splitter.whole(frame + b"\x81") is None
    assert splitter.whole(frame[:cut]) is None
    assert splitter.whole(masked(Frame(Opcode.BINARY, payload))) is None
    assert FrameSplitter(100, apply_mask).whole(frame) is None
    splitter.is_plain = True
    begun = list(splitter.push(frame[:cut]))
    if cut and not begun:
        assert splitter.whole(frame) is None


def test_all_else_is_the_librarys_frame_by_frame() -> None:
    ping, close = masked(Frame(Opcode.PING, b"p")), masked(Frame(Opcode.CLOSE, b"\x03\xe8"))
    binary, more = masked(Frame(Opcode.BINARY, b"b")), text(b"a", fin=False)
    stream = ping + text(b"t") + binary + more + close
    assert list(FrameSplitter(MOST, apply_mask).push(stream)) == [
        (ping, False),
        (b"t", True),
        (binary, False),
        (more, False),
        (close, False),
    ]


def test_nothing_goes_the_short_way_while_a_fragmented_message_is_open() -> None:
    splitter = FrameSplitter(MOST, apply_mask)
    splitter.is_plain = False
    frame = text(b"t")
    assert list(splitter.push(frame)) == [(frame, False)]
    splitter.is_plain = True
    assert list(splitter.push(frame)) == [(b"t", True)]


def test_what_breaks_the_rules_is_the_librarys_from_then_on() -> None:
    unmasked = b"\x81\x02hi"
    for bad in (unmasked, b"\x81\xff" + (MOST + 1).to_bytes(8, "big") + b"mask"):
        splitter = FrameSplitter(MOST, apply_mask)
        assert list(splitter.push(text(b"t") + bad)) == [(b"t", True), (bad, False)]
        after = text(b"t")
        assert list(splitter.push(after)) == [(after, False)]


@given(payloads)
def test_a_client_reads_what_is_written(payload: bytes) -> None:
    client = Protocol(Side.CLIENT, state=OPEN, max_size=None)
    client.receive_data(text_frame(payload))
    (frame,) = client.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.TEXT, True, payload)
