"""Sounds over the agent's speech: what is an interruption stops it, what is none does not."""

from __future__ import annotations

import pytest

from deploy.bench.interruptions.judge import (
    COMMITTED_RATIO,
    GOES_ON_RATIO,
    SILENCE_P50_MS,
    SILENCE_P95_MS,
    Verdict,
)
from deploy.bench.interruptions.play import play_set


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    return play_set()


def test_the_set_has_all_kinds_and_at_least_two_hundred_cases(
    verdicts: dict[str, Verdict],
) -> None:
    kinds = {"speech", "digit", "cough", "backchannel", "click", "noise", "keypad", "echo"}
    assert kinds < set(verdicts)
    assert verdicts["all"].cases >= 200
    assert verdicts["interruptions"].cases + verdicts["other sounds"].cases == verdicts["all"].cases


def test_a_caller_who_speaks_is_let_in_and_hears_silence_soon(
    verdicts: dict[str, Verdict],
) -> None:
    spoken = verdicts["interruptions"]
    assert spoken.right >= COMMITTED_RATIO * spoken.cases
    # Who begins in a pause of the agent's, which is a little elsewhere each time, silences nobody.
    assert spoken.silence_ms["count"] >= 0.95 * verdicts["speech"].right
    assert spoken.silence_ms["p50"] <= SILENCE_P50_MS
    assert spoken.silence_ms["p95"] <= SILENCE_P95_MS


def test_the_agent_goes_on_after_what_is_no_interruption(verdicts: dict[str, Verdict]) -> None:
    others = verdicts["other sounds"]
    assert others.right >= GOES_ON_RATIO * others.cases, {
        kind: (one.right, one.cases) for kind, one in verdicts.items()
    }


def test_its_own_echo_does_not_stop_the_agent(verdicts: dict[str, Verdict]) -> None:
    assert verdicts["echo"].stopped == 0
    assert verdicts["noise"].stopped == 0


def test_the_history_holds_what_was_heard_in_every_case(verdicts: dict[str, Verdict]) -> None:
    assert verdicts["all"].history_wrong == ()
