"""The stages of a turn add up, whatever overlapped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.turn.events import Stage
from services.agent.turn.stages import TurnClock

TIMES = st.floats(0.0, 5.0)


def stages(clock: TurnClock, now_s: float) -> dict[Stage, float]:
    return {measure.stage: measure.seconds for measure in clock.measures(now_s)}


def test_each_stage_counts_from_the_end_of_the_one_before() -> None:
    clock = TurnClock(1.0, 1.5, 1.6, 2.0, 2.1)
    assert stages(clock, 2.11) == pytest.approx(
        {
            Stage.ENDPOINTING: 0.5,
            Stage.TRANSCRIPTION: 0.1,
            Stage.BRAIN: 0.4,
            Stage.SYNTHESIS: 0.1,
            Stage.PLATFORM: 0.01,
            Stage.TOTAL: 1.11,
        }
    )


def test_what_was_done_in_advance_took_no_time() -> None:
    clock = TurnClock(1.0, 1.3, 1.4, 1.25, 1.35)
    assert stages(clock, 1.41) == pytest.approx(
        {
            Stage.ENDPOINTING: 0.3,
            Stage.TRANSCRIPTION: 0.1,
            Stage.BRAIN: 0.0,
            Stage.SYNTHESIS: 0.0,
            Stage.PLATFORM: 0.01,
            Stage.TOTAL: 0.41,
        }
    )


@given(TIMES, TIMES, TIMES, TIMES, TIMES)
def test_stages_always_add_up(
    end: float, final: float, piece: float, audio: float, rest: float
) -> None:
    clock = TurnClock(0.0, end, end + final, piece, audio)
    now_s = max(end + final, piece, audio) + rest
    measured = stages(clock, now_s)
    total = measured.pop(Stage.TOTAL)
    assert sum(measured.values()) == pytest.approx(total)
    assert min(measured.values()) >= 0


@pytest.mark.parametrize("missing", range(5))
def test_a_turn_that_did_not_pass_every_stage_is_not_measured(missing: int) -> None:
    times: list[float | None] = [1.0, 2.0, 3.0, 4.0, 5.0]
    times[missing] = None
    assert TurnClock(*times).measures(6.0) == []
