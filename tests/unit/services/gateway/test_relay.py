"""services.gateway.relay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.relay import (
    FloodGate,
    Next,
    RelayQueue,
    after_link,
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


def drained(queue: RelayQueue) -> list[str]:
    return [queue.take() for _ in range(len(queue))]


def test_a_queue_keeps_order() -> None:
    queue = RelayQueue(3)
    assert all(queue.put(text, "media") for text in "abc")
    assert drained(queue) == ["a", "b", "c"]


def test_a_full_queue_drops_its_oldest_audio() -> None:
    queue = RelayQueue(3)
    queue.put("start", "start")
    queue.put("a", "media")
    queue.put("b", "media")
    assert not queue.put("c", "media")
    assert not queue.put("digit", "dtmf")
    assert drained(queue) == ["start", "c", "digit"]


def test_a_queue_full_of_control_messages_drops_the_oldest() -> None:
    queue = RelayQueue(2)
    for text in ("1", "2", "3"):
        queue.put(text, "dtmf")
    assert drained(queue) == ["2", "3"]


@given(st.lists(st.sampled_from(["media", "dtmf", "stop", ""]), max_size=60))
def test_a_queue_never_grows_past_its_size(events: list[str]) -> None:
    queue = RelayQueue(8)
    dropped = sum(not queue.put(event, event) for event in events)
    assert len(queue) <= 8
    assert len(queue) + dropped == len(events)


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
    ("code", "has_spoken", "tries_left", "following"),
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
        (LinkClose.HANDOVER, True, 3, Next.LOST),
        (1006, False, 2, Next.ANOTHER_WORKER),
        (1006, False, 0, Next.LOST),
        (1006, True, 3, Next.LOST),
    ],
)
def test_what_follows_a_closed_link(
    code: int, has_spoken: bool, tries_left: int, following: Next
) -> None:
    assert after_link(code, has_spoken=has_spoken, tries_left=tries_left) is following


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
