"""services.gateway.media.relay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.media.relay import (
    CallSoFar,
    Cause,
    FloodGate,
    Losses,
    Next,
    after_link,
    cause_of,
    code_for_caller,
    code_for_worker,
    is_clean_end,
    peek_event,
    peek_stream_id,
)
from shared.protocol.call import StreamId
from shared.protocol.telephony import Media, WireShape, serialize_inbound
from shared.protocol.worker import LinkClose

START = (
    '{"sequenceNumber":0,"event":"start","start":{"callId":"c","streamId":"s-1"},'
    '"extra_headers":"{}"}'
)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        (START, "start"),
        ('{"event":"media","media":{"payload":"/w=="}}', "media"),
        ('{ "media" : {"payload":"x"} ,\n "event" : "media" }', "media"),
        ('{"event":"stop"}', "stop"),
        ("", ""),
        ("[]", ""),
        ('{"event"', ""),
        ('{"event":', ""),
        ('{"event":"', ""),
        ('{"event":"sto', ""),
        ('{"event":"' + "x" * 100 + '"}', ""),
    ],
)
def test_an_events_name_is_found_without_parsing(text: str, event: str) -> None:
    assert peek_event(text) == event


@pytest.mark.parametrize(
    ("text", "stream_id"),
    [
        (START, "s-1"),
        ('{"event":"start","streamId":"flat"}', "flat"),
        ('{"event":"media"}', ""),
        ('{"streamId":7}', ""),
        ('{"streamId":"' + "x" * 500 + '"}', ""),
    ],
)
def test_a_stream_id_is_found_without_parsing(text: str, stream_id: str) -> None:
    assert peek_stream_id(text) == stream_id


@given(st.binary(min_size=160, max_size=160), st.sampled_from([WireShape.CURRENT, WireShape.FLAT]))
def test_no_audio_is_taken_for_an_event(payload: bytes, shape: WireShape) -> None:
    media = Media(payload=payload, stream_id=StreamId("s-1"), timestamp_ms=20, chunk=1)
    text = serialize_inbound(media, shape=shape)
    assert peek_event(text) == "media"


@given(st.text(max_size=300))
def test_peeking_takes_any_text(text: str) -> None:
    assert len(peek_event(text)) <= 32
    assert len(peek_stream_id(text)) <= 130


def test_the_gate_passes_ordinary_traffic_and_a_second_of_backlog() -> None:
    gate = FloodGate(500.0, now_s=0.0)
    assert all(gate.admits(0.0) for _ in range(500))
    assert not gate.admits(0.0)
    assert all(gate.admits(1.0 + n * 0.02) for n in range(500))


def test_the_gate_lets_no_more_through_than_its_rate() -> None:
    gate = FloodGate(100.0, now_s=0.0)
    passed = sum(gate.admits(n / 10_000) for n in range(50_000))
    assert passed == pytest.approx(100 + 500, abs=2)


@pytest.mark.parametrize(
    ("code", "has_begun", "tries_left", "following"),
    [
        (LinkClose.ENDED, True, 3, Next.END),
        (LinkClose.ENDED, False, 3, Next.END),
        (LinkClose.NORMAL, True, 3, Next.END),
        (LinkClose.SUPERSEDED, False, 3, Next.MOVED),
        (LinkClose.SUPERSEDED, True, 3, Next.MOVED),
        (LinkClose.AWAY, True, 0, Next.AWAY),
        (LinkClose.AWAY, False, 3, Next.AWAY),
        (LinkClose.FULL, False, 3, Next.ANOTHER_WORKER),
        (LinkClose.HANDOVER, False, 1, Next.ANOTHER_WORKER),
        (LinkClose.HANDOVER, True, 0, Next.ANOTHER_WORKER),
        (1006, False, 2, Next.ANOTHER_WORKER),
        (1006, False, 0, Next.LOST),
        (1006, True, 0, Next.ANOTHER_WORKER),
        (1011, True, 3, Next.ANOTHER_WORKER),
        (1012, True, 3, Next.ANOTHER_WORKER),
        (1001, True, 3, Next.ANOTHER_WORKER),
    ],
)
def test_what_follows_a_closed_link(
    code: int, has_begun: bool, tries_left: int, following: Next
) -> None:
    call = CallSoFar(has_begun, False, tries_left, False)
    assert after_link(code, call) is following


def test_a_stream_that_has_stopped_gets_no_other_worker() -> None:
    assert after_link(1006, CallSoFar(True, True, 3, False)) is Next.LOST


@pytest.mark.parametrize("has_begun", [True, False])
def test_the_second_worker_lost_in_a_row_gets_no_third(has_begun: bool) -> None:
    assert after_link(1006, CallSoFar(has_begun, False, 3, True)) is Next.LOST
    assert after_link(LinkClose.ENDED, CallSoFar(has_begun, False, 3, True)) is Next.END


def closed(losses: Losses, code: int, now_s: float) -> Next:
    return losses.on_closed(code, has_begun=True, has_stopped=False, now_s=now_s)


def test_two_workers_lost_within_seconds_are_enough() -> None:
    losses = Losses(3)
    losses.on_attached(0.0)
    assert closed(losses, 1006, 500.0) is Next.ANOTHER_WORKER
    losses.on_attached(501.0)
    assert closed(losses, 1011, 510.9) is Next.LOST
    assert losses.were_two_in_a_row


def test_a_worker_that_held_a_while_before_it_was_lost_begins_the_count_anew() -> None:
    losses = Losses(0)
    losses.on_attached(0.0)
    for at_s in (5.0, 15.0, 25.0, 35.0):
        assert closed(losses, 1006, at_s) is Next.ANOTHER_WORKER
        losses.on_attached(at_s)
    assert closed(losses, 1006, 44.9) is Next.LOST


def test_a_handover_is_no_loss() -> None:
    losses = Losses(0)
    for at_s in (1.0, 2.0, 3.0):
        assert closed(losses, LinkClose.HANDOVER, at_s) is Next.ANOTHER_WORKER
        losses.on_attached(at_s)
    assert closed(losses, 1006, 4.0) is Next.ANOTHER_WORKER
    losses.on_attached(4.0)
    assert closed(losses, LinkClose.HANDOVER, 5.0) is Next.ANOTHER_WORKER
    assert not losses.were_two_in_a_row


def test_a_link_has_a_cause_for_being_gone() -> None:
    assert cause_of(1006, was_silent=False) is Cause.BROKEN
    assert cause_of(1006, was_silent=True) is Cause.SILENT
    assert cause_of(LinkClose.HANDOVER, was_silent=False) is Cause.HANDOVER


@pytest.mark.parametrize(
    ("link_code", "caller_code"),
    [
        (4000, 1000),
        (4007, 1000),
        (1000, 1000),
        (1001, 1001),
        (1006, 1011),
        (1005, 1011),
        (4002, 1011),
    ],
)
def test_a_workers_code_for_the_caller(link_code: int, caller_code: int) -> None:
    assert code_for_caller(link_code) == caller_code


@pytest.mark.parametrize(
    ("caller_code", "link_code"),
    [(1000, 1000), (1001, 1001), (1006, 1001), (1005, 1001), (1012, 1001)],
)
def test_a_callers_code_for_the_worker(caller_code: int, link_code: int) -> None:
    assert code_for_worker(caller_code) == link_code


def test_only_a_close_in_form_is_an_end() -> None:
    assert [code for code in (1000, 1001, 1005, 1006, 1011) if is_clean_end(code)] == [1000, 1001]
