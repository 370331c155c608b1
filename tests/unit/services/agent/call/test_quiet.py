"""Silence that a caller waits in."""

from __future__ import annotations

import pytest

from services.agent.call.quiet import DEAD_AIR_S, Quiet
from services.agent.turn.states import State


def looks(quiet: Quiet, state: State, *, from_s: float, to_s: float, audible: bool = False) -> int:
    """How often dead air is told while it is looked at once a second."""
    count, now_s = 0, from_s
    while now_s <= to_s:
        count += quiet.look(state, now_s, is_audible=audible)
        now_s += 1.0
    return count


@pytest.mark.parametrize("state", [State.THINKING, State.SPEAKING, State.CLOSING])
def test_dead_air_is_told_once_when_it_has_lasted(state: State) -> None:
    quiet = Quiet()
    assert looks(quiet, state, from_s=10, to_s=10 + DEAD_AIR_S - 1) == 0
    assert looks(quiet, state, from_s=10 + DEAD_AIR_S, to_s=60) == 1


@pytest.mark.parametrize(
    "state", [State.WAITING, State.LISTENING, State.HEARING, State.PAUSED, State.AWAY]
)
def test_silence_that_is_not_the_agents_is_no_dead_air(state: State) -> None:
    assert looks(Quiet(), state, from_s=0, to_s=60) == 0


def test_a_word_in_between_ends_a_stretch_and_the_next_one_counts_anew() -> None:
    quiet = Quiet()
    assert looks(quiet, State.THINKING, from_s=0, to_s=3) == 0
    assert looks(quiet, State.SPEAKING, from_s=4, to_s=4, audible=True) == 0
    assert looks(quiet, State.THINKING, from_s=5, to_s=8) == 0
    assert looks(quiet, State.THINKING, from_s=9, to_s=30) == 1
    assert looks(quiet, State.SPEAKING, from_s=31, to_s=31, audible=True) == 0
    assert looks(quiet, State.THINKING, from_s=32, to_s=60) == 1


def test_a_resumed_call_is_silent_until_audio_goes_out() -> None:
    quiet = Quiet()
    assert not quiet.is_resuming
    quiet.resume(5.0)
    quiet.on_state(State.THINKING)
    assert quiet.is_resuming
    assert quiet.on_audio(5.75) == 0.75
    assert not quiet.is_resuming


def test_nobody_waits_for_a_resumed_call_once_the_caller_has_the_floor() -> None:
    quiet = Quiet()
    quiet.resume(5.0)
    quiet.on_state(State.LISTENING)
    assert not quiet.is_resuming
