from __future__ import annotations

from services.gateway.access.seldom import Seldom


def test_the_first_is_told_at_once_and_those_after_it_together_later() -> None:
    seldom = Seldom(every_s=10.0)
    assert seldom.times("forged", 100.0) == 1
    assert [seldom.times("forged", 100.0 + second) for second in range(1, 10)] == [0] * 9
    assert seldom.times("forged", 110.0) == 10
    assert seldom.times("forged", 111.0) == 0


def test_kinds_do_not_silence_each_other() -> None:
    seldom = Seldom(every_s=10.0)
    assert seldom.times("forged", 0.0) == 1
    assert seldom.times("unsigned", 1.0) == 1
