from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.simulator.line.playback import PlaybackQueue

TONE = bytes([0x80])


def test_audio_is_consumed_in_order_and_silence_follows() -> None:
    queue = PlaybackQueue()
    queue.push(b"\x01" * 100)
    queue.push(b"\x02" * 100)
    first = queue.consume(160)
    second = queue.consume(160)
    assert first.frame == b"\x01" * 100 + b"\x02" * 60
    assert first.samples == 160
    assert second.frame == b"\x02" * 40 + b"\xff" * 120
    assert second.samples == 40
    assert (queue.received_samples, queue.played_samples, len(queue)) == (200, 200, 0)


def test_a_checkpoint_is_reached_when_the_audio_before_it_has_been_played() -> None:
    queue = PlaybackQueue()
    queue.push(TONE * 320)
    assert not queue.checkpoint("first")
    queue.push(TONE * 160)
    assert not queue.checkpoint("second")
    assert queue.consume(160).checkpoints == ()
    reached = queue.consume(160)
    assert reached.checkpoints == ("first",)
    assert reached.is_at_checkpoint
    assert queue.consume(160).checkpoints == ("second",)


def test_a_checkpoint_on_a_drained_queue_is_reached_at_once() -> None:
    queue = PlaybackQueue()
    queue.push(TONE * 160)
    queue.consume(160)
    assert queue.checkpoint("late")
    assert queue.consume(160).is_at_checkpoint


def test_a_checkpoint_with_nothing_ever_queued_is_ignored() -> None:
    assert not PlaybackQueue().checkpoint("early")


def test_a_knob_acknowledges_a_checkpoint_with_nothing_ever_queued() -> None:
    assert PlaybackQueue(acks_empty_checkpoint=True).checkpoint("early")


def test_a_checkpoint_right_after_a_clear_is_ignored() -> None:
    queue = PlaybackQueue()
    queue.push(TONE * 160)
    queue.clear()
    assert not queue.checkpoint("after")
    assert queue.consume(160).checkpoints == ()


def test_clear_drops_the_audio_and_its_checkpoints_for_ever() -> None:
    queue = PlaybackQueue()
    queue.push(TONE * 480)
    queue.checkpoint("void")
    queue.consume(160)
    dropped = queue.clear()
    assert (dropped.samples, dropped.checkpoints) == (320, ("void",))
    queue.push(TONE * 480)
    reached = [name for _ in range(4) for name in queue.consume(160).checkpoints]
    assert reached == []
    assert queue.cleared_samples == 320


@given(st.lists(st.one_of(st.binary(max_size=700), st.sampled_from(["clear", "read", "mark"]))))
def test_every_sample_is_played_cleared_or_still_queued(steps: list[bytes | str]) -> None:
    queue = PlaybackQueue()
    marks, reached, void = 0, 0, 0
    for step in steps:
        if isinstance(step, bytes):
            queue.push(step)
        elif step == "clear":
            void += len(queue.clear().checkpoints)
        elif step == "read":
            reached += len(queue.consume(160).checkpoints)
        else:
            waiting = len(queue) > 0
            assert not (waiting and queue.checkpoint(f"m{marks}"))
            marks += waiting
    while len(queue):
        reached += len(queue.consume(160).checkpoints)
    assert queue.received_samples == queue.played_samples + queue.cleared_samples
    assert marks == reached + void


def test_a_queue_is_complete_where_a_checkpoint_stands_at_its_end() -> None:
    queue = PlaybackQueue()
    assert not queue.is_complete
    queue.push(TONE * 160)
    assert not queue.is_complete
    queue.checkpoint("end")
    assert queue.is_complete
    queue.consume(160)
    assert queue.is_complete
    queue.push(TONE)
    assert not queue.is_complete
    queue.checkpoint("void")
    queue.clear()
    assert not queue.is_complete
