from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.dialer.cli.event_stream import Event, EventReader


def read(text: str) -> list[Event]:
    reader = EventReader()
    events = (reader.on_line(line) for line in text.split("\n"))
    return [event for event in events if event is not None]


def test_an_event_has_kind_data_and_id() -> None:
    (event,) = read('id: 5-0\nevent: state\ndata: {"state":"ringing"}\n\n')
    assert event == Event("state", '{"state":"ringing"}', "5-0")
    assert event.fields() == {"state": "ringing"}
    assert not event.is_comment


def test_data_of_several_lines_is_joined_and_one_blank_is_left_out() -> None:
    (event,) = read("data:  a\ndata:b\n\n")
    assert event.data == " a\nb"


def test_the_last_id_holds_for_events_without_one() -> None:
    first, second = read("id: 7\ndata: a\n\ndata: b\n\n")
    assert (first.event_id, second.event_id) == ("7", "7")


def test_a_comment_says_that_the_stream_lives() -> None:
    (event,) = read(": still here\n\n")
    assert event.is_comment


def test_what_is_no_event_is_passed_over() -> None:
    assert read("retry: 1000\n\nevent: x\n\nid: a\0b\nunknown\n\n") == []
    (event,) = read("id: a\0b\nevent: x\n\ndata: 1\n\n")
    assert (event.kind, event.event_id) == ("", None)


def test_data_without_an_object_has_no_fields() -> None:
    assert Event("x", "not json").fields() == {}
    assert Event("x", "[1]").fields() == {}
    assert Event("x", "[" * 100_000).fields() == {}


def test_data_beyond_all_measure_is_left_out() -> None:
    (event,) = read(f"data: a\ndata: {'x' * 1_000_000}\ndata: b\n\n")
    assert event.data == "a\nb"


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    for event in read(text):
        event.fields()
