"""A stream begins once, may be followed by another, and is not disturbed by foreign messages."""

from __future__ import annotations

import pytest

from services.agent.wire.stream_gate import StreamGate, Verdict
from shared.protocol.call import CallId, StreamId

A, B = StreamId("a"), StreamId("b")
CALL = CallId("call")


@pytest.fixture
def gate() -> StreamGate:
    gate = StreamGate()
    assert gate.on_start(CALL, A, 1.0) is Verdict.BEGINS
    return gate


def flow(gate: StreamGate, until_s: float) -> None:
    now_s = 1.02
    while now_s < until_s:
        assert gate.on_media(A, now_s) is Verdict.GOES_ON
        now_s += 0.02


def test_media_without_start_begins_a_stream() -> None:
    gate = StreamGate()
    assert gate.on_media(A, 1.0) is Verdict.BEGINS
    assert gate.stream_id == A
    assert gate.on_media(A, 1.02) is Verdict.GOES_ON


def test_flat_client_without_any_ids_is_one_stream() -> None:
    gate = StreamGate()
    assert gate.on_start(None, None, 1.0) is Verdict.BEGINS
    assert gate.on_media(None, 1.02) is Verdict.GOES_ON
    assert gate.stream_id is None


def test_id_that_media_bring_first_is_adopted() -> None:
    gate = StreamGate()
    gate.on_start(CALL, None, 1.0)
    assert gate.on_media(A, 1.02) is Verdict.GOES_ON
    assert gate.stream_id == A


def test_repeated_and_foreign_starts_in_a_flowing_stream_change_nothing(gate: StreamGate) -> None:
    flow(gate, 2.0)
    for call_id, stream_id in ((CALL, A), (CALL, B), (None, B), (CallId("other"), B), (None, None)):
        assert gate.on_start(call_id, stream_id, 2.01) is Verdict.FOREIGN
    assert gate.on_media(B, 2.01) is Verdict.FOREIGN
    assert gate.on_media(A, 2.02) is Verdict.GOES_ON
    assert gate.stream_id == A


def test_start_after_silence_is_a_reconnect(gate: StreamGate) -> None:
    flow(gate, 2.0)
    assert gate.on_start(CALL, B, 3.0) is Verdict.BEGINS
    assert gate.stream_id == B


def test_media_alone_after_silence_is_a_reconnect_too(gate: StreamGate) -> None:
    flow(gate, 2.0)
    assert gate.on_media(B, 3.0) is Verdict.BEGINS


def test_start_of_another_call_is_foreign_even_after_silence(gate: StreamGate) -> None:
    assert gate.on_start(CallId("other"), B, 60.0) is Verdict.FOREIGN


def test_new_link_brings_a_stream_at_once_whatever_its_id(gate: StreamGate) -> None:
    flow(gate, 2.0)
    gate.on_link()
    assert gate.on_start(CALL, A, 2.01) is Verdict.BEGINS
    gate.on_link()
    assert gate.on_media(A, 2.02) is Verdict.BEGINS
