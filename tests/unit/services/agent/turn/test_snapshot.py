"""A conversation as text: what comes back is what was written, and nothing else is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.snapshot import (
    Answer,
    BadSnapshot,
    Snapshot,
    Unsaid,
    read_snapshot,
    write_snapshot,
)
from services.agent.turn.states import State
from shared.protocol.call import EndReason

_TEXTS = st.text(max_size=20)
_HEARD = st.one_of(
    st.none(),
    st.builds(base.Words, _TEXTS, st.booleans(), st.floats(0, 1)),
    st.builds(base.Digit, st.sampled_from("0123456789*#")),
    st.builds(base.Digits, st.text("0123456789", max_size=5)),
    st.builds(base.Silence, st.floats(0, 60), st.integers(1, 5)),
)
_DEEDS = st.one_of(
    st.builds(ev.SendKeys, _TEXTS),
    st.builds(ev.LeaveToTransfer, _TEXTS),
    st.builds(ev.LeaveToGather, st.builds(base.GatherDigits, _TEXTS, st.integers(1, 9))),
    st.builds(ev.End, st.sampled_from(EndReason), by_agent=st.booleans()),
)
_UNSAID = st.builds(Unsaid, _TEXTS, _TEXTS, st.booleans())
_ANSWERS = st.builds(
    Answer,
    answers=_HEARD,
    heard=st.lists(_TEXTS, max_size=3).map(tuple),
    heard_s=st.floats(0, 60),
    at_ms=st.none() | st.integers(0, 10_000),
    latency_ms=st.dictionaries(_TEXTS, st.floats(0, 9)),
    unsaid=st.lists(_UNSAID, max_size=3).map(tuple),
    steps=st.lists(st.tuples(st.none() | _TEXTS, _DEEDS), max_size=3).map(tuple),
    is_read=st.booleans(),
    is_own=st.booleans(),
    has_used_tools=st.booleans(),
)
_MESSAGES = st.builds(
    base.Message, st.sampled_from(("caller", "agent")), _TEXTS, st.booleans(), st.none()
)
_SNAPSHOTS = st.builds(
    Snapshot,
    state=st.sampled_from(State),
    generation=st.integers(0, 99),
    begun_wall_s=st.none() | st.floats(0, 2e9),
    history=st.lists(_MESSAGES, max_size=3).map(tuple),
    transcript=st.lists(st.fixed_dictionaries({"who": _TEXTS, "at_ms": st.integers()})).map(tuple),
    expectation=st.builds(
        base.Expectation, st.lists(_TEXTS, max_size=3).map(tuple), st.booleans(), st.none()
    ),
    silences=st.integers(0, 5),
    unanswered=_TEXTS,
    keys=st.text("0123456789*#", max_size=4),
    answer=st.none() | _ANSWERS,
    is_machine=st.booleans(),
    has_apologised=st.booleans(),
    is_gathering=st.booleans(),
)


@given(_SNAPSHOTS)
def test_what_is_written_is_read(snapshot: Snapshot) -> None:
    assert read_snapshot(json.loads(json.dumps(write_snapshot(snapshot)))) == snapshot


def test_what_the_version_before_wrote_is_read() -> None:
    """In a rolling update each call that moved was asked where it had been."""
    unsaid = (Unsaid("1.1", "One."), Unsaid("1.2", "Two.", is_interruptible=False))
    snapshot = Snapshot(State.SPEAKING, answer=Answer(None, latency_ms={}, unsaid=unsaid))
    data = write_snapshot(snapshot) | {"version": 1}
    data["answer"]["unsaid"] = [["1.1", "One.", True, "1.1#1"], ["1.2", "Two.", False, None]]
    assert read_snapshot(data) == snapshot


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 0},
        {"state": "asleep"},
        {"history": [["caller"]]},
        {"history": 7},
        {"answer": {}},
        {"expectation": {"phrases": [], "colour": "blue"}},
        {"generation": None},
    ],
)
def test_another_version_and_damage_are_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(BadSnapshot):
        read_snapshot(write_snapshot(Snapshot(State.LISTENING)) | damage)


@pytest.mark.parametrize("data", [None, [], "text", {}, 7])
def test_what_is_no_snapshot_is_refused(data: Any) -> None:
    with pytest.raises(BadSnapshot):
        read_snapshot(data)


def test_a_deed_that_is_unknown_is_refused() -> None:
    end = ev.End(EndReason.AGENT_HUNG_UP, by_agent=True)
    data = write_snapshot(Snapshot(State.CLOSING, answer=Answer(None, steps=((None, end),))))
    data["answer"]["steps"][0][1]["kind"] = "Sing"
    with pytest.raises(BadSnapshot):
        read_snapshot(data)
