"""Silences are timed and counted."""

from __future__ import annotations

import pytest

from services.agent.providers import base
from services.agent.turn.silence import SilenceWatch


def test_silences_are_counted_until_the_caller_does_something() -> None:
    watch = SilenceWatch(usual_s=5.0)
    watch.begin(10.0)
    assert watch.due(base.Expectation(), 14.9) is None
    assert watch.due(base.Expectation(), 15.0) == base.Silence(5.0, 1)
    watch.begin(20.0)
    assert watch.due(base.Expectation(), 26.0) == base.Silence(6.0, 2)
    watch.on_caller()
    watch.begin(30.0)
    assert watch.due(base.Expectation(), 35.0) == base.Silence(5.0, 1)


@pytest.mark.parametrize("wait_s", [0.0, 2.0])
def test_the_dialogue_may_wait_another_time(wait_s: float) -> None:
    watch = SilenceWatch(usual_s=5.0)
    watch.begin(10.0)
    assert watch.due(base.Expectation(silence_s=wait_s), 10.0 + wait_s) is not None
