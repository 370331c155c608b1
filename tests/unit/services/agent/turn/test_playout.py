"""The playout clock: pacing, checkpoints, and what the caller has heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.turn.playout import CLEAR_TIMEOUT_S, Playout
from shared.protocol.telephony import Checkpoint, PlayAudio

SECOND = 8000


def playing(*sentences: tuple[str, float], lead_s: float = 0.3, burst_s: float = 0.0) -> Playout:
    playout = Playout(lead_s=lead_s, burst_s=burst_s)
    for number, (text, seconds) in enumerate(sentences, 1):
        playout.add_sentence(f"s{number}", 1, text)
        audio = bytes([number]) * int(seconds * SECOND)
        playout.add_audio(f"s{number}", audio, level_dbfs=-20.0, is_last=True)
    playout.open(None)
    return playout


def frames(playout: Playout, now_s: float) -> int:
    return sum(isinstance(command, PlayAudio) for command in playout.due(now_s).commands)


def test_lead_goes_out_at_once_and_then_one_frame_a_tick() -> None:
    playout = playing(("a b c", 2.0))
    assert frames(playout, 10.0) == 15
    assert [frames(playout, 10.0 + n * 0.02) for n in range(1, 6)] == [1] * 5


def test_frames_go_out_some_at_a_time_and_never_leave_less_than_the_lead() -> None:
    playout = playing(("a b c", 5.0), burst_s=0.1)
    assert frames(playout, 10.0) == 19
    sent, counts = 19, []
    for n in range(1, 101):
        counts.append(frames(playout, 10.0 + n * 0.02))
        sent += counts[-1]
        assert sent * 0.02 - n * 0.02 >= 0.3 - 1e-6
    assert counts == [0, 0, 0, 0, 5] * 20


def test_a_burst_that_is_late_catches_up_and_says_by_how_much() -> None:
    playout = playing(("a", 3.0), burst_s=0.1)
    playout.due(10.0)
    due = playout.due(10.15)
    assert len(due.commands) == 8
    assert max(due.lateness_s) == pytest.approx(0.05, abs=1e-6)


def test_a_sentence_in_the_making_is_not_kept_back_for_a_burst() -> None:
    playout = playing(burst_s=0.1)
    playout.add_sentence("s", 1, "hello there")
    for n in range(10):
        playout.add_audio("s", b"\x01" * 160, level_dbfs=-20.0, is_last=False)
        assert frames(playout, 10.0 + n * 0.02) == 1


def test_late_clock_catches_up_by_its_schedule() -> None:
    playout = playing(("a", 3.0))
    frames(playout, 10.0)
    assert frames(playout, 10.2) == 10
    assert max(playout.due(10.26).lateness_s) == pytest.approx(0.04, abs=1e-6)


def test_what_fills_the_lead_is_not_late_as_it_was_not_to_be_had_before() -> None:
    """The first 0.3 s of every sentence counted as late, by up to 0.28 s: one frame in ten."""
    playout = playing(("a", 1.0))
    lateness = [*playout.due(10.0).lateness_s]
    for n in range(1, 51):
        lateness += playout.due(10.0 + n * 0.02).lateness_s
    assert len(lateness) == 49
    assert max(lateness) == pytest.approx(0.0, abs=1e-6)


def test_after_a_pause_the_lead_is_filled_again_without_being_late() -> None:
    playout = playing(("a", 3.0))
    playout.due(10.0)
    assert playout.pause(10.1)
    playout.on_cleared(10.2)
    playout.due(10.2)
    playout.resume()
    due = playout.due(10.22)
    assert len(due.commands) == 15
    assert max(due.lateness_s) == 0.0


def test_nothing_goes_out_before_the_stream_is_open() -> None:
    playout = Playout()
    playout.add_sentence("s1", 1, "hello")
    playout.add_audio("s1", b"\x01" * SECOND, level_dbfs=-20.0, is_last=True)
    assert playout.due(1.0).commands == ()


def test_sentence_in_the_making_is_sent_as_it_comes_and_running_dry_is_noticed() -> None:
    playout = playing()
    playout.add_sentence("s", 1, "hello there")
    playout.add_audio("s", b"\x01" * 800, level_dbfs=-20.0, is_last=False)
    assert frames(playout, 10.0) == 5
    due = playout.due(10.3)
    assert due.commands == ()
    playout.add_audio("s", b"\x01" * 70, level_dbfs=-20.0, is_last=True)
    due = playout.due(10.32)
    assert due.has_underrun
    frame, checkpoint = due.commands
    assert isinstance(frame, PlayAudio)
    assert frame.payload == b"\x01" * 70 + b"\xff" * 90
    assert isinstance(checkpoint, Checkpoint)


def test_sentence_without_audio_needs_no_checkpoint() -> None:
    playout = playing(("", 0.0), ("b", 0.1))
    commands = playout.due(10.0).commands
    assert [type(command).__name__ for command in commands] == ["PlayAudio"] * 5 + ["Checkpoint"]
    assert [heard.name for heard in playout.take_heard(10.0)] == ["s1"]


def test_acknowledged_checkpoint_means_everything_before_it_was_heard() -> None:
    playout = playing(("one", 0.1), ("two", 0.1), lead_s=0.5)
    names = [c.name for c in playout.due(10.0).commands if isinstance(c, Checkpoint)]
    playout.on_played("unknown")
    assert playout.take_heard(10.01) == []
    playout.on_played(names[1])
    assert [(h.text, h.is_whole) for h in playout.take_heard(10.01)] == [
        ("one", True),
        ("two", True),
    ]
    assert not playout.has_unplayed


def test_pause_keeps_the_unheard_and_resume_goes_on_at_the_word() -> None:
    playout = playing(("one two three four five six", 2.0))
    for n in range(51):
        playout.due(10.0 + n * 0.02)
    assert playout.pause(11.0)
    assert playout.due(11.5).commands == ()
    assert playout.on_cleared(11.02) == pytest.approx(0.02)
    assert playout.due(11.5).commands == ()
    playout.resume()
    sent = 0
    for n in range(150):
        sent += frames(playout, 12.0 + n * 0.02)
    assert sent * 0.02 == pytest.approx(1.0, abs=0.03)


def test_discard_tells_what_was_heard_cut_at_whole_words() -> None:
    playout = playing(("one two three four five six", 2.0), ("never heard", 1.0))
    for n in range(51):
        playout.due(10.0 + n * 0.02)
    playout.pause(11.0)
    (heard,) = playout.discard(11.4)
    assert heard.text == "one two three"
    assert not heard.is_whole


def test_clear_is_not_waited_for_longer_than_its_bound() -> None:
    playout = playing(("one two", 2.0))
    playout.due(10.0)
    playout.pause(10.1)
    playout.resume()
    assert not playout.give_up_clear(10.5)
    assert playout.due(10.5).commands == ()
    assert playout.give_up_clear(10.1 + CLEAR_TIMEOUT_S)
    assert playout.due(11.2).commands != ()


def test_nothing_to_clear_when_nothing_is_audible() -> None:
    playout = playing(("one", 0.1))
    playout.due(10.0)
    assert not playout.pause(11.0)


def test_level_is_known_only_while_the_agent_is_audible() -> None:
    playout = playing(("one", 0.2))
    assert playout.level_dbfs(10.0) is None
    playout.due(10.0)
    assert playout.level_dbfs(10.1) == -20.0
    assert playout.level_dbfs(10.3) is None


@given(
    st.floats(0.02, 3.0),
    st.floats(0.05, 0.5),
    st.floats(0.0, 0.4),
    st.lists(st.floats(0.001, 0.3), max_size=40),
)
def test_every_byte_is_sent_once_in_order_whatever_the_clock_does(
    seconds: float, lead_s: float, burst_s: float, steps: list[float]
) -> None:
    audio = bytes(range(1, 251)) * (int(seconds * SECOND) // 250 + 1)
    playout = Playout(lead_s=lead_s, burst_s=burst_s)
    playout.open(None)
    playout.add_sentence("s", 1, "x")
    playout.add_audio("s", audio, level_dbfs=-20.0, is_last=True)
    now_s, sent = 5.0, b""
    for step in [*steps, *[0.02] * 180]:
        now_s += step
        for command in playout.due(now_s).commands:
            if isinstance(command, PlayAudio):
                sent += command.payload
    assert sent.startswith(audio)
    assert len(sent) - len(audio) < 160


def test_a_sentence_heard_whole_is_not_begun_again_because_its_checkpoint_is_missing() -> None:
    playout = playing(("one two", 0.5), ("three four five six", 2.0))
    for n in range(51):
        playout.due(10.0 + n * 0.02)
    playout.pause(11.0)
    playout.on_cleared(11.0)
    playout.resume()
    sent = 0
    for n in range(150):
        sent += frames(playout, 12.0 + n * 0.02)
    assert sent * 0.02 == pytest.approx(1.5, abs=0.03)


def test_a_filler_goes_before_what_waits() -> None:
    playout = playing(("answer", 0.5))
    playout.add_first("f", 1, "moment")
    playout.add_audio("f", b"\x09" * 800, level_dbfs=-20.0, is_last=True)
    command = playout.due(10.0).commands[0]
    assert isinstance(command, PlayAudio)
    assert command.payload[0] == 9
    assert playout.newest_sent == "s1"


def test_what_is_held_goes_out_when_it_is_released() -> None:
    playout = playing(("answer", 0.5))
    playout.hold()
    assert playout.due(10.0).commands == ()
    playout.release()
    assert playout.due(10.1).commands != ()


def test_what_remains_is_known_only_when_all_is_made() -> None:
    playout = playing(("one", 1.0))
    assert playout.remaining_s(10.0) == pytest.approx(1.0)
    playout.due(10.0)
    assert playout.remaining_s(10.2) == pytest.approx(0.8, abs=0.02)
    assert playout.heard_of_last(10.2) == pytest.approx(0.2, abs=0.02)
    sentence = playout.in_hand(10.2)
    assert sentence is not None
    assert sentence.name == "s1"
    playout.add_sentence("s2", 1, "two")
    assert playout.remaining_s(10.2) is None
    assert playout.is_making("s2")
    playout.remove("s2")
    playout.remove("s2")
    assert not playout.is_making("s2")
    for n in range(60):
        playout.due(10.2 + n * 0.02)
    assert playout.remaining_s(20.0) == 0
    assert playout.in_hand(20.0) is None


def test_nothing_is_heard_of_nothing() -> None:
    assert Playout().heard_of_last(1.0) == 1.0


def test_what_was_not_made_is_dropped_and_what_broke_off_ends_there() -> None:
    playout = playing()
    playout.add_sentence("a", 1, "one two three four five six")
    playout.add_audio("a", b"\x01" * 7200, level_dbfs=-20.0, is_last=False)
    playout.add_sentence("b", 1, "never")
    frames(playout, 10.0)
    playout.drop_unmade()
    for n in range(100):
        playout.due(10.0 + n * 0.02)
    assert [h.text for h in playout.take_heard(20.0)] == ["one two three"]
    assert not playout.has_unplayed


def test_words_that_come_after_their_audio_are_added() -> None:
    playout = playing()
    playout.add_sentence("a", 1, "")
    playout.add_audio("a", b"\x01" * 1600, level_dbfs=-20.0, is_last=True)
    playout.add_text("a", "hello")
    playout.add_text("unknown", "hello")
    playout.due(10.0)
    (heard,) = playout.discard(12.0)
    assert heard.text == "hello"
    assert heard.heard_s == pytest.approx(0.2)
    assert not playout.add_audio("a", b"\x01", level_dbfs=0.0, is_last=True)


def test_nothing_goes_out_while_the_stream_is_left() -> None:
    playout = playing(("one", 1.0))
    playout.leave()
    assert playout.due(10.0).commands == ()
    playout.open(None)
    assert playout.due(10.0).commands != ()


def moved() -> Playout:
    """Three sentences that another worker had."""
    playout = Playout()
    for name, formerly in (("s1", "1.1"), ("s2", "1.2"), ("s3", "1.3")):
        playout.add_sentence(name, 2, f"text {name}", formerly=formerly)
    playout.open(None)
    return playout


def test_a_checkpoint_of_another_worker_means_heard_with_all_before_it() -> None:
    playout = moved()
    playout.on_played("1.2#2")
    assert [one.name for one in playout.take_heard(10.0)] == ["s1", "s2"]
    assert not playout.add_audio("s1", b"\x01" * 800, level_dbfs=-20.0, is_last=True)
    assert [one.name for one in playout.sentences] == ["s3"]


def test_a_checkpoint_of_another_worker_counts_though_the_sentence_is_made_again_already() -> None:
    playout = moved()
    playout.add_audio("s1", b"\x01" * SECOND, level_dbfs=-20.0, is_last=True)
    playout.on_played("1.1#1")
    assert playout.due(10.0).commands == ()
    assert [one.name for one in playout.take_heard(10.0)] == ["s1"]


def test_a_checkpoint_of_another_worker_is_too_late_once_the_sentence_goes_out_again() -> None:
    playout = moved()
    playout.add_audio("s1", b"\x01" * SECOND, level_dbfs=-20.0, is_last=True)
    playout.due(10.0)
    playout.on_played("1.1#1")
    assert playout.take_heard(10.1) == []
    playout.on_played("nobody's")
    assert len(playout.sentences) == 3


def test_more_goes_out_before_its_time_where_it_is_asked_for() -> None:
    playout = playing(("a", 2.0))
    assert frames(playout, 10.0) == 15
    ahead = playout.due(10.0, more_s=0.4)
    assert len(ahead.commands) == 20
    assert not ahead.has_underrun
    assert frames(playout, 10.38) == 0
    assert frames(playout, 10.42) == 1


def test_a_sentence_that_was_heard_meanwhile_is_taken_out_behind_what_is_being_said() -> None:
    """The filler before it was taken for it: that was cut short, and the sentence said twice."""
    playout = Playout()
    playout.open(None)
    playout.on_played("1.1#1")
    playout.add_first("filler", 2, "one moment")
    playout.add_audio("filler", b"\x01" * SECOND, level_dbfs=-20.0, is_last=False)
    assert frames(playout, 10.0) == 15
    playout.add_sentence("s1", 2, "heard before", formerly="1.1")
    playout.add_sentence("s2", 2, "new", formerly="1.2")
    filler, heard, new = playout.sentences
    assert [one.is_played for one in (filler, heard, new)] == [False, True, False]
    assert playout.add_audio("filler", b"\x01" * 800, level_dbfs=-20.0, is_last=True)


def test_nothing_goes_out_before_another_workers_audio_is_heard() -> None:
    playout = playing(("a", 1.0))
    assert [type(command) for command in playout.drain("mark", 10.0)] == [PlayAudio, Checkpoint]
    assert frames(playout, 10.1) == 0
    playout.on_played("another#1")
    assert frames(playout, 10.2) == 0
    playout.on_played("mark")
    assert frames(playout, 10.2) == 15


def test_another_workers_audio_that_does_not_end_is_cleared() -> None:
    playout = playing(("a", 1.0))
    playout.drain("mark", 10.0)
    assert not playout.give_up_drain(10.7)
    assert playout.give_up_drain(10.8)
    assert not playout.give_up_drain(10.9)
    assert frames(playout, 10.9) == 0
    assert playout.on_cleared(11.0) == pytest.approx(0.2)
    assert frames(playout, 11.0) == 15


def test_a_longer_lead_is_waited_for_longer() -> None:
    """With AGENT_LEAD_S over 0.45 what was queued was cut short at every move."""
    playout = playing(("a", 1.0), lead_s=1.0)
    playout.drain("mark", 10.0)
    assert not playout.give_up_drain(11.4)
    assert playout.give_up_drain(11.5)


def test_a_caller_who_speaks_into_another_workers_audio_has_it_cleared() -> None:
    playout = playing(("a", 1.0))
    playout.drain("mark", 10.0)
    assert playout.pause(10.1)
    playout.on_cleared(10.12)
    playout.resume()
    assert frames(playout, 10.2) == 15


SILENT = b"\xff"


def ending_in_silence() -> Playout:
    """A second of sound and half a second of silence."""
    playout = Playout()
    playout.add_sentence("a", 1, "hello")
    playout.add_audio("a", b"\x01" * SECOND + SILENT * 4000, level_dbfs=-20.0, is_last=True)
    playout.open(None)
    return playout


def kinds(playout: Playout, until_s: float) -> list[type]:
    out: list[type] = []
    for tick in range(round((until_s - 10.0) / 0.02)):
        out += [type(command) for command in playout.due(10.0 + tick * 0.02).commands]
    return out


def test_the_checkpoint_comes_before_the_silence_that_ends_a_sentence() -> None:
    playout = ending_in_silence()
    assert kinds(playout, 12.0) == [PlayAudio] * 50 + [Checkpoint] + [PlayAudio] * 25
    playout.on_played("a#1")
    assert [one.is_whole for one in playout.take_heard(11.1)] == [True]


def test_the_silence_is_sent_though_the_sentence_was_heard() -> None:
    playout = ending_in_silence()
    kinds(playout, 11.0)
    playout.on_played("a#1")
    assert playout.take_heard(11.0) == []
    assert kinds(playout, 12.0)[-1] is PlayAudio
    assert len(playout.take_heard(12.0)) == 1


def test_an_interruption_in_the_silence_is_after_the_sentence() -> None:
    playout = ending_in_silence()
    kinds(playout, 11.1)
    playout.pause(11.1)
    playout.on_cleared(11.11)
    playout.resume()
    assert playout.due(11.12).commands == ()
    assert len(playout.take_heard(11.12)) == 1


def test_a_sentence_whose_end_is_known_late_has_its_checkpoint_too() -> None:
    playout = Playout()
    playout.add_sentence("a", 1, "hello")
    playout.add_audio("a", b"\x01" * 800, level_dbfs=-20.0, is_last=False)
    playout.open(None)
    assert kinds(playout, 10.1) == [PlayAudio] * 5
    playout.add_audio("a", b"", level_dbfs=-20.0, is_last=True)
    assert [type(one) for one in playout.due(10.1).commands] == [Checkpoint]
