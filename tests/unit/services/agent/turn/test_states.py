"""The table of states is whole, and nothing moves outside it."""

from __future__ import annotations

import pytest

from services.agent.turn.ear import Ear
from services.agent.turn.floor import Floor
from services.agent.turn.playout import Playout
from services.agent.turn.rules import TurnTaking
from services.agent.turn.states import MOVES, IllegalMove, State
from services.agent.turn.vad import SpeechDetector


def test_every_state_is_in_the_table_can_be_reached_and_can_end() -> None:
    assert set(MOVES) == set(State)
    reached = {State.WAITING}
    for _ in State:
        reached |= {after for before in reached for after in MOVES[before]}
    assert reached == set(State)
    assert all(State.ENDED in after for before, after in MOVES.items() if before is not State.ENDED)
    assert MOVES[State.ENDED] == frozenset()


def test_a_move_outside_the_table_is_refused_by_both_names() -> None:
    rules = TurnTaking()
    floor = Floor(ear=Ear(SpeechDetector(), rules), playout=Playout(), rules=rules, now_s=0.0)
    with pytest.raises(IllegalMove, match="from waiting to paused"):
        floor.move(State.PAUSED)
    assert floor.state is State.WAITING
