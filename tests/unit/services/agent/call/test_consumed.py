"""How far a caller's messages were dealt with."""

from __future__ import annotations

from services.agent.call.consumed import Consumed, mark_of
from shared.protocol.call import StreamId
from shared.protocol.telephony import Media


def media(at_ms: int | None, stream: str | None = "s1", *, chunk: int | None = None) -> Media:
    stream_id = StreamId(stream) if stream is not None else None
    return Media(b"\xff", stream_id, timestamp_ms=at_ms, chunk=chunk)


def fed(count: int, kept: Consumed | None = None) -> Consumed:
    consumed = kept or Consumed()
    for n in range(count):
        consumed.is_old(media(1000 + 20 * n), n * 0.02)
    return consumed


def test_what_was_dealt_with_is_old_and_the_rest_is_new() -> None:
    kept = fed(10).kept(None)
    other = Consumed(kept)
    assert other.is_old(media(1180), 9.0)
    assert not other.is_old(media(1200), 9.0)
    assert not other.is_old(media(None), 9.0)


def test_nothing_is_old_for_a_call_that_begins() -> None:
    assert not Consumed().is_old(media(0), 9.0)
    assert not Consumed().is_old_key()


def test_words_that_are_open_are_to_be_heard_again_with_what_was_before_them() -> None:
    consumed = fed(100)
    other = Consumed(consumed.kept(open_since_s=1.0))
    assert other.is_old(media(1000 + 580), 9.0)
    assert not other.is_old(media(1000 + 620), 9.0)


def test_what_was_settled_once_is_not_heard_again() -> None:
    consumed = fed(100)
    before = consumed.kept(None)
    assert consumed.kept(open_since_s=0.1) == before


def test_a_gateway_that_comes_anew_sends_what_is_old() -> None:
    consumed = Consumed()
    wall_ms = 1_800_000_000_000
    consumed.is_old(media(wall_ms), 1.0)
    assert not consumed.is_old(media(wall_ms), 9.0)
    consumed.on_link()
    assert consumed.is_old(media(wall_ms), 9.0)
    assert not consumed.is_old(media(wall_ms + 20), 9.0)


def test_times_that_begin_anew_are_not_taken_for_old_ones() -> None:
    consumed = fed(10)
    consumed.on_link()
    assert not consumed.is_old(media(1000), 9.0)
    late = Consumed({"stream_id": "s1", "media_ms": 60_000})
    assert not late.is_old(media(20), 9.0)


def test_another_stream_is_new() -> None:
    other = Consumed(fed(10).kept(None))
    assert not other.is_old(media(1000, "s2"), 9.0)
    other.is_old(media(10, "s2"), 5.0)
    assert not other.is_old(media(20, "s2"), 9.0)
    assert other.kept(None)["stream_id"] == "s2"


def test_a_key_counts_by_the_audio_before_it() -> None:
    consumed = fed(5)
    consumed.on_key()
    other = Consumed(consumed.kept(None))
    other.is_old(media(1080), 9.0)
    assert other.is_old_key()
    other.is_old(media(1100), 9.02)
    assert not other.is_old_key()


def test_pieces_without_a_time_have_their_place_by_their_number() -> None:
    assert mark_of(media(None, chunk=3)) == 60
    assert mark_of(media(7, chunk=3)) == 7
    assert mark_of(media(None)) is None
