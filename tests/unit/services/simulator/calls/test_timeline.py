from __future__ import annotations

from services.simulator.calls.timeline import Moment, Timeline


def test_a_flood_of_one_kind_leaves_room_for_the_others() -> None:
    timeline = Timeline(max_of_a_kind=3)
    for index in range(10):
        timeline.add(Moment.COMMAND_IGNORED, float(index), why="nonsense")
    timeline.add(Moment.ENDED, 11.0, code=4000)
    assert len(timeline.of(Moment.COMMAND_IGNORED)) == 3
    assert timeline.dropped == 7
    assert timeline.first(Moment.ENDED) == 11.0
    assert timeline.first(Moment.STOP) is None


def test_events_are_told_in_the_order_in_which_they_happened() -> None:
    timeline = Timeline()
    timeline.add(Moment.STOP, 2.0)
    timeline.add(Moment.DTMF, 1.0, digits="5")
    assert timeline.to_json() == [
        {"at_ms": 1000.0, "event": "dtmf", "digits": "5"},
        {"at_ms": 2000.0, "event": "stop"},
    ]
