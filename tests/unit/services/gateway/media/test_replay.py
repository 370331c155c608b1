"""services.gateway.media.replay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.media.replay import CallerMessages, ReplayLimits

FOREVER = ReplayLimits(replay_s=1e9, max_frames=10_000, max_chars=10_000_000)


def drained(messages: CallerMessages) -> list[str]:
    return [taken(messages) for _ in range(len(messages))]


def taken(messages: CallerMessages) -> str:
    said = messages.take()
    assert isinstance(said, str)
    return said


def test_messages_keep_their_order() -> None:
    messages = CallerMessages(3, FOREVER)
    assert all(messages.put(text, "media", 0.0) for text in "abc")
    assert drained(messages) == ["a", "b", "c"]


def test_of_too_many_the_oldest_audio_gives_way() -> None:
    messages = CallerMessages(3, FOREVER)
    messages.put("start", "start", 0.0)
    messages.put("a", "media", 0.0)
    messages.put("b", "media", 0.0)
    assert not messages.put("c", "media", 0.0)
    assert not messages.put("digit", "dtmf", 0.0)
    assert drained(messages) == ["start", "c", "digit"]


def test_of_too_many_control_messages_the_oldest_gives_way() -> None:
    messages = CallerMessages(2, FOREVER)
    for text in ("1", "2", "3"):
        messages.put(text, "dtmf", 0.0)
    assert drained(messages) == ["2", "3"]


@given(st.lists(st.sampled_from(["media", "dtmf", "stop", ""]), max_size=60))
def test_no_more_wait_than_there_is_room_for(events: list[str]) -> None:
    messages = CallerMessages(8, FOREVER)
    dropped = sum(not messages.put(event, event, 0.0) for event in events)
    assert len(messages) <= 8
    assert len(messages) + dropped == len(events)


def test_another_worker_gets_the_start_and_what_its_forerunner_may_not_have_had() -> None:
    messages = CallerMessages(10, FOREVER)
    messages.put("start", "start", 0.0)
    messages.put("a", "media", 0.02)
    messages.put("b", "media", 0.04)
    assert drained(messages) == ["start", "a", "b"]
    messages.put("c", "media", 0.06)
    assert messages.rewind() == 3
    messages.put("d", "media", 0.08)
    assert drained(messages) == ["start", "a", "b", "c", "d"]


def test_a_start_that_waits_is_said_first_and_once() -> None:
    messages = CallerMessages(10, FOREVER)
    messages.put("start 1", "start", 0.0)
    messages.put("a", "media", 0.02)
    drained(messages)
    messages.put("start 2", "start", 3.0)
    messages.put("b", "media", 3.02)
    messages.rewind()
    assert drained(messages) == ["start 2", "a", "b"]
    messages.rewind()
    assert drained(messages) == ["start 2", "a", "b"]


def test_only_the_last_seconds_are_remembered() -> None:
    messages = CallerMessages(10, ReplayLimits(replay_s=1.0))
    for n in range(100):
        messages.put(str(n), "media", n * 0.1)
        messages.take()
        assert messages.is_whole == (n <= 10)
    assert messages.rewind() == 11
    assert drained(messages) == [str(n) for n in range(89, 100)]


def test_nothing_is_forgotten_while_there_is_no_worker() -> None:
    messages = CallerMessages(10, ReplayLimits(replay_s=1.0))
    messages.put("a", "media", 0.0)
    messages.take()
    messages.put("b", "media", 500.0)
    messages.rewind()
    assert drained(messages) == ["a", "b"]


def test_the_memory_is_bounded_in_frames_and_characters() -> None:
    messages = CallerMessages(10, ReplayLimits(replay_s=1e9, max_frames=3, max_chars=10))
    for text in ("1", "2", "3", "4"):
        messages.put(text, "media", 0.0)
        messages.take()
    assert messages.rewind() == 3
    drained(messages)
    messages.put("x" * 9, "media", 0.0)
    messages.take()
    messages.rewind()
    assert drained(messages) == ["4", "x" * 9]


@given(st.lists(st.sampled_from(["put", "take", "rewind"]), max_size=200))
def test_the_last_worker_has_everything_in_order(steps: list[str]) -> None:
    """Whatever links came and went: nothing lost, nothing twice, nothing out of order."""
    messages = CallerMessages(1000, FOREVER)
    sent: list[str] = []
    got: list[str] = []
    for step in steps:
        if step == "put":
            event = "start" if not sent else "media"
            sent.append(f"{event} {len(sent)}")
            messages.put(sent[-1], event, float(len(sent)))
        elif step == "take" and len(messages):
            got.append(taken(messages))
        elif step == "rewind":
            messages.rewind()
            got = []
    assert got + drained(messages) == sent
    assert messages.is_whole


@given(
    st.lists(st.sampled_from(["put", "put", "take", "take", "rewind"]), max_size=300),
    st.integers(1, 20),
)
def test_a_bounded_memory_loses_only_its_oldest(steps: list[str], max_frames: int) -> None:
    limits = ReplayLimits(replay_s=1e9, max_frames=max_frames)
    messages = CallerMessages(1000, limits)
    count, newest_taken = 0, -1
    for step in steps:
        if step == "put":
            messages.put(str(count), "media", 0.0)
            count += 1
        elif step == "take" and len(messages):
            newest_taken = max(newest_taken, int(taken(messages)))
        elif step == "rewind":
            messages.rewind()
    messages.rewind()
    rest = [int(text) for text in drained(messages)]
    assert rest == list(range(count - len(rest), count))
    assert len(rest) >= min(count, count - newest_taken - 1 + min(max_frames, newest_taken + 1))
