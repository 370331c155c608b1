from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.bus.choice import better_of_two, choose, weight
from shared.bus.messages import WorkerLease, is_open_for_calls
from shared.protocol.call import WorkerId

draws = st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2)


def lease(name: str, *, capacity: int = 4, **more: Any) -> WorkerLease:
    return WorkerLease(WorkerId(name), f"{name}:1", capacity, **more)


def test_lag_weighs_like_load() -> None:
    assert weight(lease("w", active=2)) == 0.5
    assert weight(lease("w", lag_ms=50.0)) == 0.5
    assert weight(lease("w", capacity=0)) == 1.0


def test_nobody_and_one_need_no_chance() -> None:
    assert better_of_two([], (0.0, 0.0)) is None
    assert better_of_two([lease("w")], (0.9, 0.9)) == lease("w")


@given(draws)
def test_the_heaviest_of_many_is_never_taken(drawn: tuple[float, float]) -> None:
    light = [lease(f"w{n}", active=n) for n in range(3)]
    taken = better_of_two([*light, lease("w9", active=4)], drawn)
    assert taken in light


def test_each_pair_can_be_drawn_and_equals_go_by_id() -> None:
    leases = [lease(f"w{n}") for n in range(3)]
    pairs = [(n / 3, m / 2) for n in range(3) for m in range(2)]
    taken = [better_of_two(leases, pair) for pair in pairs]
    assert [worker.worker_id for worker in taken if worker] == ["w0", "w0", "w0", "w1", "w0", "w1"]


@given(
    st.lists(
        st.builds(
            lambda n, active, zone, draining: lease(
                f"w{n}", active=active, zone=zone, draining=draining
            ),
            st.integers(0, 9),
            st.integers(0, 5),
            st.sampled_from(["a", "b"]),
            st.booleans(),
        ),
        unique_by=lambda worker: worker.worker_id,
    ),
    draws,
)
def test_only_an_open_worker_is_taken_and_a_near_one_first(
    leases: list[WorkerLease], drawn: tuple[float, float]
) -> None:
    open_ones = [w for w in leases if is_open_for_calls(w) and w.worker_id != "w0"]
    taken = choose(leases, drawn, zone="a", exclude=[WorkerId("w0")])
    assert (taken in open_ones) if open_ones else (taken is None)
    if taken is not None and any(w.zone == "a" for w in open_ones):
        assert taken.zone == "a"
