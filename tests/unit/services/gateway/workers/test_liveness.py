"""services.gateway.workers.liveness: a link's silence on a clock of our own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.workers.liveness import Liveness, Sign, has_no_answer
from shared.bus.messages import LEASE_S

PING_S, PONG_S = 0.25, 0.65


def lost_at_s(hears: Callable[[float], float], *, until_s: float = 10.0) -> float | None:
    """When a link is given up whose other end answers each ping as `hears` says.

    It gives the time an answer to what was asked at a moment is heard, or infinity.
    """
    liveness = Liveness(PING_S, PONG_S, 0.0)
    answers: list[float] = []
    while liveness.due_s < until_s:
        now_s = liveness.due_s
        for answer_s in sorted(a for a in answers if a <= now_s):
            liveness.heard_s = max(liveness.heard_s, answer_s)
        sign = liveness.on_look(now_s)
        if sign is Sign.LOST:
            return now_s
        if sign is Sign.ASK:
            answers.append(hears(now_s))
    return None


def test_a_worker_that_answers_is_never_lost() -> None:
    assert lost_at_s(lambda now_s: now_s + 0.01) is None


@given(st.floats(0.0, 3.0))
def test_a_worker_that_stops_is_noticed_within_a_second(stops_s: float) -> None:
    noticed_s = lost_at_s(lambda now_s: now_s + 0.005 if now_s < stops_s else float("inf"))
    assert noticed_s is not None
    assert stops_s + 0.6 <= noticed_s <= stops_s + PING_S + PONG_S + 0.02


@given(st.floats(0.0, 3.0))
def test_a_loop_that_lags_half_a_second_is_no_alarm(lag_from_s: float) -> None:
    lag_to_s = lag_from_s + 0.5
    assert (
        lost_at_s(lambda now_s: (lag_to_s if lag_from_s <= now_s < lag_to_s else now_s) + 0.005)
        is None
    )


def test_frames_spare_the_pings() -> None:
    liveness = Liveness(PING_S, PONG_S, 0.0)
    for _ in range(20):
        liveness.heard_s = liveness.due_s - 0.01
        assert liveness.on_look(liveness.due_s) is Sign.ALIVE


def test_our_own_lateness_is_not_held_against_the_worker() -> None:
    liveness = Liveness(PING_S, PONG_S, 0.0)
    assert liveness.on_look(5.0) is Sign.ASK
    while liveness.on_look(liveness.due_s) is not Sign.LOST:
        pass
    assert liveness.due_s == pytest.approx(5.0 + PONG_S, abs=0.02)


def test_a_socket_we_do_not_read_says_nothing() -> None:
    liveness = Liveness(PING_S, PONG_S, 0.0)
    for _ in range(20):
        assert liveness.on_look(liveness.due_s, is_reading=False) is Sign.ALIVE


def test_looks_are_never_in_one_breath() -> None:
    liveness = Liveness(PING_S, PONG_S, 0.0)
    liveness.on_look(0.2499999)
    assert liveness.due_s >= 0.2499999 + 0.009


def lost_beside_s(heard_elsewhere: Callable[[float], float]) -> float:
    """When a link that says nothing at all is given up, its worker heard on others as told."""
    liveness = Liveness(PING_S, PONG_S, 0.0)
    while liveness.on_look(liveness.due_s, elsewhere_s=heard_elsewhere(liveness.due_s)) is not (
        Sign.LOST
    ):
        pass
    return liveness.due_s


def test_a_worker_that_is_heard_on_other_links_has_twice_the_time() -> None:
    """Workers behind with their work lost all their calls to others, which fell behind in turn."""
    by_others_s = 4 * PING_S
    assert lost_beside_s(lambda now_s: now_s - 0.1) == pytest.approx(
        by_others_s + 2 * (PING_S + PONG_S)
    )


def test_of_many_quiet_links_to_one_worker_each_is_asked_about_once_a_second() -> None:
    links = [Liveness(PING_S, PONG_S, 0.0) for _ in range(20)]
    pulse_s, asked_s, asked = 0.0, -1.0, 0
    for step in range(1, 10_000):
        now_s = step / 1000
        for link in links:
            if now_s < link.due_s:
                continue
            pulse_s = max(pulse_s, link.heard_s)
            sign = link.on_look(now_s, elsewhere_s=pulse_s, asked_s=asked_s)
            assert sign is not Sign.LOST
            if sign is Sign.ASK:
                asked, asked_s = asked + 1, now_s
                link.heard_s = now_s + 0.002
    assert 20 * 5 <= asked <= 20 * 10 + 10 * 4


@given(st.floats(0.0, 0.8))
def test_a_worker_that_falls_silent_on_all_links_is_lost_in_the_usual_time(stops_s: float) -> None:
    lost_s = lost_beside_s(lambda now_s: min(now_s, stops_s))
    assert lost_s == pytest.approx(stops_s + PING_S + PONG_S, abs=0.02)


@pytest.mark.parametrize("turn_s", [0.1, 0.15, 0.2, 0.24, 0.3])
def test_a_loop_that_is_always_late_leaves_a_worker_the_time_to_answer(turn_s: float) -> None:
    """A part of each late turn was held against the worker: one that answered in time was cut."""
    liveness = Liveness(PING_S, PONG_S, 0.0)
    answers: list[float] = []
    for turn in range(1, 200):
        now_s = turn * turn_s
        # What came while the last turn was under way is read before timers run.
        if any(answer_s <= now_s for answer_s in answers):
            answers, liveness.heard_s = [], now_s
        if now_s < liveness.due_s:
            continue
        sign = liveness.on_look(now_s)
        assert sign is not Sign.LOST
        if sign is Sign.ASK:
            answers.append(now_s + turn_s + 0.6)  # it leaves at the end of the turn


def alone_until_s(
    comes_s: float, *, heard_elsewhere: Callable[[float], float] = lambda _: 0.0
) -> float:
    """When a link that says nothing is given up, another worker being there from a moment on."""
    liveness = Liveness(PING_S, PONG_S, 0.0)
    while True:
        now_s = liveness.due_s
        sign = liveness.on_look(
            now_s,
            elsewhere_s=heard_elsewhere(now_s),
            has_place_elsewhere=lambda now_s=now_s: now_s >= comes_s,  # type: ignore[misc]
        )
        if sign is Sign.LOST:
            return now_s


def test_a_silent_worker_whose_calls_nobody_else_can_take_has_as_long_as_its_lease() -> None:
    """All calls of an only worker that was late were taken from it, to be given to it again."""
    assert alone_until_s(float("inf")) == pytest.approx(LEASE_S, abs=0.001)


def test_somebody_who_comes_gets_the_calls_of_a_silent_worker_at_the_next_look() -> None:
    assert alone_until_s(0.0) == pytest.approx(PING_S + PONG_S, abs=0.001)
    assert 1.7 <= alone_until_s(1.7) <= 1.7 + PING_S / 3 + 0.001


def test_a_link_that_is_silent_alone_of_its_worker_has_a_second_more_than_the_lease() -> None:
    assert alone_until_s(float("inf"), heard_elsewhere=lambda now_s: now_s - 0.1) == (
        pytest.approx(4 * PING_S + LEASE_S, abs=0.001)
    )


@given(st.floats(0.0, 3.0), st.floats(0.0, 2.6))
def test_an_only_worker_that_stands_still_keeps_its_calls(stops_s: float, for_s: float) -> None:
    liveness = Liveness(PING_S, PONG_S, 0.0)
    answers: list[float] = []
    while liveness.due_s < 10.0:
        now_s = liveness.due_s
        liveness.heard_s = max([liveness.heard_s, *(a for a in answers if a <= now_s)])
        sign = liveness.on_look(now_s, has_place_elsewhere=lambda: False)
        assert sign is not Sign.LOST
        if sign is Sign.ASK:
            answers.append(
                (stops_s + for_s if stops_s <= now_s < stops_s + for_s else now_s) + 0.01
            )


def test_who_is_waited_for_is_not_asked_over_and_over() -> None:
    liveness = Liveness(PING_S, PONG_S, 0.0)
    asked: list[float] = []
    while (now_s := liveness.due_s) < LEASE_S:
        if liveness.on_look(now_s, has_place_elsewhere=lambda: False) is Sign.ASK:
            asked.append(now_s)
    later = [now_s for now_s in asked if now_s > PING_S + PONG_S]
    assert 1 <= len(later) <= 2


def test_our_own_lateness_is_not_held_against_an_only_worker() -> None:
    liveness = Liveness(PING_S, PONG_S, 0.0)
    assert liveness.on_look(5.0, has_place_elsewhere=lambda: False) is Sign.ASK
    while liveness.on_look(liveness.due_s, has_place_elsewhere=lambda: False) is not Sign.LOST:
        pass
    assert liveness.due_s == pytest.approx(5.0 - PING_S + LEASE_S, abs=0.02)


@pytest.mark.parametrize(
    ("heard_s", "asked_s", "is_silent"),
    [
        (9.4, 9.6, True),
        (9.6, 9.9, False),  # it may still answer
        (9.4, 9.3, False),  # it was not asked: nothing of it was to be heard
    ],
)
def test_a_worker_that_was_asked_and_said_nothing_has_no_answer(
    heard_s: float, asked_s: float, *, is_silent: bool
) -> None:
    assert has_no_answer(10.0, heard_s=heard_s, asked_s=asked_s, ping_s=PING_S) is is_silent
