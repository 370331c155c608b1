"""Where a call's audio lies in time, against a line that knows."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.agent.recording.lanes import Lanes
from shared.recordings.timeline import Rendered, Timeline
from tests.support.phone_line import FIRST_MS, FRAME, SILENT, PhoneLine, block, sides, starts


def words(first: int, frames: int) -> list[bytes]:
    """Frames that are told apart by their codes."""
    return [bytes([first + n]) * FRAME for n in range(frames)]


def render(*lanes: Lanes) -> Rendered:
    timeline = Timeline()
    for epoch, one in enumerate(lanes, 1):
        timeline.add(block(0, one.take(), epoch=epoch, is_last=True))
    return timeline.render()


def assert_caller_is_whole(caller: bytes, line: PhoneLine) -> None:
    """All that has arrived: the last 20 ms may be under way still."""
    until = len(line.said) - FRAME
    assert caller[:until].ljust(until, b"\xff") == bytes(line.said)[:until]


def assert_agent_is_within(rendered: Rendered, line: PhoneLine, samples: int) -> None:
    _, agent = sides(rendered)
    recorded, true = starts(agent), starts(bytes(line.heard))
    for code in recorded.keys() & true.keys():
        assert abs(recorded[code] - true[code]) <= samples, f"frame {code}"
    # At each cut one frame may be there too many, or too few.
    assert len(recorded.keys() ^ true.keys()) <= 2


def test_the_caller_is_recorded_sample_by_sample() -> None:
    line = PhoneLine()
    line.run(400)
    caller, _ = sides(line.end())
    assert_caller_is_whole(caller, line)


def test_what_is_said_into_silence_is_heard_from_the_next_20_ms_on() -> None:
    line = PhoneLine()
    line.run(105)
    line.speak(*words(1, 3))
    line.run(400)
    _, agent = sides(line.end())
    assert agent[: len(line.heard)] == bytes(line.heard)[: len(agent)]
    assert starts(agent)[1] == 6 * FRAME


def test_what_is_said_while_something_plays_is_heard_behind_it() -> None:
    line = PhoneLine()
    line.run(105)
    line.speak(*words(1, 10))
    line.run(60)
    line.speak(*words(20, 3))
    line.run(400)
    assert starts(sides(line.end())[1])[20] == 16 * FRAME


def test_the_greeting_before_the_first_audio_of_the_caller_is_in_its_place() -> None:
    line = PhoneLine()
    line.run(3)
    line.speak(*words(1, 3))
    line.run(200)
    _, agent = sides(line.end())
    assert starts(agent) == starts(bytes(line.heard))


def test_an_interruption_cuts_what_was_not_heard() -> None:
    line = PhoneLine()
    line.run(105)
    line.speak(*words(1, 15))
    line.run(105)
    line.clear()
    line.run(200)
    _, agent = sides(line.end())
    assert starts(agent) == starts(bytes(line.heard))
    assert len(starts(agent)) == 5


def test_a_slow_link_moves_nothing_that_a_checkpoint_tells_of() -> None:
    line = PhoneLine(in_ms=47.0, out_ms=63.0)
    line.run(205)
    line.speak(*words(1, 10))
    line.mark("one")
    line.run(600)
    line.speak(*words(20, 15))  # no checkpoint: as long under way as the one before
    line.run(230)
    line.clear()
    line.run(400)
    assert_agent_is_within(line.end(), line, FRAME)


@pytest.mark.parametrize("ack_ms", [1.0, 12.0, 20.0])
def test_what_a_slow_link_clears_ends_where_the_network_says(ack_ms: float) -> None:
    line = PhoneLine(in_ms=70.0, out_ms=80.0, ack_ms=ack_ms)
    line.run(205)
    line.speak(*words(1, 40))
    line.run(333)
    line.clear()
    line.run(400)
    _, agent = sides(line.end())
    end = max(at for at, code in enumerate(agent) if code != 0xFF)
    true = max(at for at, code in enumerate(line.heard) if code != 0xFF)
    assert abs(end - true) <= FRAME


def test_a_clear_that_is_never_answered_cuts_where_it_was_asked_for() -> None:
    line = PhoneLine(ack_ms=10_000.0)
    line.run(105)
    line.speak(*words(1, 15))
    line.run(105)
    line.clear()
    line.run(200)
    _, agent = sides(line.end())
    assert starts(agent) == starts(bytes(line.heard))
    line.lanes.on_cleared()  # of nothing that is known any more


def test_a_new_stream_whose_audio_comes_late_goes_on_by_the_walls_time() -> None:
    lanes = Lanes()
    lanes.begin("a", 0.0)
    for n in range(5):
        lanes.hear(b"\x01" * FRAME, FIRST_MS + 20 * n, 0.02 * (n + 1))
    lanes.begin("b", 1.35)
    for n in range(10):  # in one burst, the first of them 200 ms late
        lanes.hear(b"\x02" * FRAME, FIRST_MS + 1105 + 20 * n, 1.355)
    caller, _ = sides(render(lanes))
    assert caller.index(b"\x02") == 55 * FRAME


def test_what_was_cut_before_any_checkpoint_is_moved_once_one_tells() -> None:
    line = PhoneLine(in_ms=47.0, out_ms=63.0)
    line.run(205)
    line.speak(*words(1, 15))
    line.run(330)
    line.clear()
    line.run(400)
    line.flush()
    line.speak(*words(20, 10))
    line.mark("one")
    line.run(700)
    assert_agent_is_within(line.end(), line, FRAME)


def test_without_a_checkpoint_what_is_said_is_early_by_as_long_as_it_is_under_way() -> None:
    line = PhoneLine(in_ms=47.0, out_ms=63.0)
    line.run(205)
    line.speak(*words(1, 10))
    line.run(600)
    _, agent = sides(line.end())
    early = starts(bytes(line.heard))[1] - starts(agent)[1]
    assert 0 < early <= 6 * FRAME


def test_a_checkpoint_of_something_else_moves_nothing() -> None:
    line = PhoneLine()
    line.run(105)
    line.speak(*words(1, 5))
    line.mark("one")
    line.lanes.on_played("another")
    line.run(50)
    line.lanes.on_played("one")  # far too early: it can't be
    line.run(400)
    _, agent = sides(line.end())
    assert starts(agent) == starts(bytes(line.heard))


def test_a_checkpoint_behind_what_was_heard_long_ago_tells_nothing() -> None:
    line = PhoneLine()
    line.run(105)
    line.speak(*words(1, 5))
    line.run(400)
    line.mark("late")
    line.run(200)
    _, agent = sides(line.end())
    assert starts(agent) == starts(bytes(line.heard))


def test_lost_audio_of_the_caller_leaves_its_time_silent() -> None:
    line = PhoneLine(lost=frozenset({4, 5, 6, 9}))
    line.run(600)
    caller, _ = sides(line.end())
    assert_caller_is_whole(caller, line)


def test_while_the_caller_sends_nothing_our_clock_goes_on() -> None:
    line = PhoneLine(lost=frozenset(range(10, 40)))
    line.run(505)
    line.speak(*words(1, 3))
    line.run(700)
    assert_agent_is_within(line.end(), line, FRAME)


def test_audio_without_times_follows_what_was_before() -> None:
    lanes = Lanes()
    lanes.begin(None, 0.0)
    for n in range(5):
        lanes.hear(bytes([n + 1]) * FRAME, None, 0.02 * (n + 1))
    caller, _ = sides(render(lanes))
    assert [caller[n * FRAME] for n in range(5)] == [1, 2, 3, 4, 5]


def test_pieces_of_any_length_follow_each_other() -> None:
    lanes = Lanes()
    lanes.begin(None, 0.0)
    lanes.hear(b"\x01" * 80, FIRST_MS, 0.01)
    lanes.hear(b"\x02" * 320, FIRST_MS + 10, 0.05)
    lanes.hear(b"\x03" * 160, FIRST_MS + 50, 0.07)
    caller, _ = sides(render(lanes))
    assert caller == b"\x01" * 80 + b"\x02" * 320 + b"\x03" * 160


@pytest.mark.parametrize("jump_ms", [-3_600_000, 3_600_000, 86_400_000])
def test_times_that_can_not_be_are_passed_over(jump_ms: int) -> None:
    lanes = Lanes()
    lanes.begin("s", 0.0)
    lanes.hear(b"\x01" * FRAME, FIRST_MS, 0.02)
    lanes.hear(b"\x02" * FRAME, FIRST_MS + jump_ms, 0.04)
    lanes.hear(b"\x03" * FRAME, FIRST_MS + jump_ms + 20, 0.06)
    caller, _ = sides(render(lanes))
    assert caller == b"\x01" * FRAME + b"\x02" * FRAME + b"\x03" * FRAME


def test_a_new_stream_goes_on_where_its_audio_came() -> None:
    lanes = Lanes()
    lanes.begin("a", 0.0)
    for n in range(5):
        lanes.hear(b"\x01" * FRAME, FIRST_MS + 20 * n, 0.02 * (n + 1))
    lanes.speak(b"\x09" * FRAME * 20, 0.1)
    lanes.begin("b", 1.105)
    lanes.hear(b"\x02" * FRAME, 7, 1.12)
    caller, agent = sides(render(lanes))
    assert caller.index(b"\x02") == 55 * FRAME
    assert agent.count(b"\x09") == 0, "what was queued on a stream is lost with it"


def test_the_same_stream_by_another_link_goes_on() -> None:
    line = PhoneLine()
    line.run(105)
    line.speak(*words(1, 10))
    line.lanes.begin("stream-1", line.now_ms / 1000)
    line.run(400)
    _, agent = sides(line.end())
    assert starts(agent) == starts(bytes(line.heard))


def test_another_worker_goes_on_at_the_same_places() -> None:
    first = Lanes()
    first.begin("s", 10.0)
    for n in range(50):
        first.hear(bytes([n + 1]) * FRAME, FIRST_MS + 20 * n, 10 + 0.02 * (n + 1))
    kept = first.kept()
    second = Lanes(kept, zero_s=510.0)
    second.begin("s", 511.6)
    for n in range(30, 90):  # the last seconds again, and what came since
        second.hear(bytes([n + 1]) * FRAME, FIRST_MS + 20 * n, 510 + 0.02 * (n + 1))
    caller, _ = sides(render(first, second))
    assert [caller[n * FRAME] for n in range(90)] == list(range(1, 91))


def test_another_worker_on_another_stream_goes_by_the_clock() -> None:
    first = Lanes()
    first.begin("s", 10.0)
    for n in range(50):
        first.hear(b"\x01" * FRAME, FIRST_MS + 20 * n, 10 + 0.02 * (n + 1))
    second = Lanes(first.kept(), zero_s=510.0)
    second.begin("t", 512.01)
    second.hear(b"\x02" * FRAME, 5, 512.02)
    caller, _ = sides(render(first, second))
    assert caller.index(b"\x02") == 100 * FRAME


def test_what_the_next_worker_clears_was_not_heard() -> None:
    first, second = Lanes(), Lanes()
    first.begin("s", 0.0)
    first.hear(b"\x01" * FRAME, FIRST_MS, 0.02)
    first.speak(b"\x09" * FRAME * 30, 0.02)
    for n in range(1, 10):
        first.hear(b"\x01" * FRAME, FIRST_MS + 20 * n, 0.02 * (n + 1))
    second = Lanes(first.kept(), zero_s=0.0)
    second.begin("s", 0.21)
    second.hear(b"\x01" * FRAME, FIRST_MS + 200, 0.22)
    second.clear(0.22)
    for n in range(11, 60):
        second.hear(b"\x01" * FRAME, FIRST_MS + 20 * n, 0.02 * (n + 1))
    _, agent = sides(render(first, second))
    assert agent.count(b"\x09") == 10 * FRAME


def test_marks_that_never_come_back_are_forgotten() -> None:
    line = PhoneLine()
    for n in range(100):
        line.lanes.speak(SILENT, 0.0)
        line.lanes.mark(f"m{n}", 0.0)
    assert len(line.lanes._marks) == 64


def test_a_caller_who_was_gone_long_before_hears_no_end() -> None:
    lanes = Lanes()
    lanes.begin("s", 0.0)
    lanes.hear(b"\x01" * FRAME, FIRST_MS, 0.02)
    lanes.speak(b"\x09" * FRAME * 20, 0.02)
    lanes.finish(5.0)
    caller, agent = sides(render(lanes))
    assert len(caller) == 2 * FRAME
    assert agent.count(b"\x09") == 0


acts = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(1, 400)),
        st.tuples(st.just("speak"), st.integers(1, 15)),
        st.tuples(st.just("clear"), st.just(0)),
        st.tuples(st.just("flush"), st.just(0)),
    ),
    max_size=25,
)


@given(
    acts=acts,
    in_ms=st.floats(0.5, 8),
    out_ms=st.floats(0.5, 8),
    ack_ms=st.floats(1, 20),
    lost=st.frozensets(st.integers(1, 100), max_size=20),
)
@example(
    acts=[("wait", 375.0), ("speak", 12)], in_ms=1, out_ms=1, ack_ms=1, lost=frozenset({18, 30, 31})
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_said_and_cleared_lies_within_a_frame_of_where_it_was_heard(
    acts: list[tuple[str, float]],
    in_ms: float,
    out_ms: float,
    ack_ms: float,
    lost: frozenset[int],
) -> None:
    line = PhoneLine(in_ms=in_ms, out_ms=out_ms, ack_ms=ack_ms, lost=lost)
    code = 1
    clears = 0
    line.run(25)
    for number, (act, amount) in enumerate(acts):
        match act:
            case "wait":
                line.run(amount)
            case "speak" if code + amount < 250:
                line.speak(*words(code, int(amount)))
                line.mark(f"m{number}")
                code += int(amount)
            case "clear":
                line.clear()
                line.run(in_ms + out_ms + ack_ms)  # nothing is said before it is answered
                clears += 1
            case "flush":
                line.flush()
    line.run(700)
    rendered = line.end()
    caller, agent = sides(rendered)
    assert_caller_is_whole(caller, line)
    recorded, true = starts(agent), starts(bytes(line.heard))
    # Two frames lost in a row may as well be late: what is told just then is placed so much sooner.
    most = FRAME * (2 if any(slot + 1 in lost for slot in lost) else 1)
    for one in recorded.keys() & true.keys():
        assert abs(recorded[one] - true[one]) <= most
    # At each clear one frame may be there too many or too few, and at the end.
    assert len(recorded.keys() ^ true.keys()) <= clears + 1
