from __future__ import annotations

import pytest

from services.simulator.rest.faults import MAX_FAULTS, Fault, FaultAnswer, Faults


def statuses(faults: Faults, *operations: str, now_s: float = 1.0) -> list[int | None]:
    taken = [faults.take(operation, now_s) for operation in operations]
    return [None if fault is None else fault.status for fault in taken]


def test_faults_are_used_up_by_the_requests_they_are_for() -> None:
    faults = Faults()
    faults.inject(Fault(503, "POST"), 2)
    faults.inject(Fault(401), 1)
    assert statuses(faults, "GET /x", "POST /x", "POST /x", "POST /x") == [401, 503, 503, None]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_a_share_of_the_requests_meets_a_fault(share: float) -> None:
    faults = Faults()
    faults.inject_share(Fault(500), share)
    met = [faults.take("POST /x", 1.0) is not None for _ in range(2000)]
    assert sum(met) / len(met) == pytest.approx(share, abs=0.02)


def test_a_seed_decides_which_requests_a_share_means() -> None:
    def met(seed: int) -> list[bool]:
        faults = Faults()
        faults.inject_share(Fault(500), 0.3, seed=seed)
        return [faults.take("POST /x", 1.0) is not None for _ in range(50)]

    assert met(1) == met(1)
    assert met(1) != met(2)


def test_faults_end_with_their_time() -> None:
    faults = Faults()
    faults.inject_share(Fault(429), 1.0, until_s=5.0)
    faults.inject(Fault(500), 9, until_s=6.0)
    assert statuses(faults, "POST /x", now_s=4.9) == [429]
    assert statuses(faults, "POST /x", now_s=5.0) == [500]
    assert statuses(faults, "POST /x", now_s=6.0) == [None]


def test_what_is_still_to_come_can_be_listed_and_forgotten() -> None:
    faults = Faults()
    faults.inject(Fault(operation="POST", answer=FaultAnswer.NONE, dials=True), 3)
    faults.take("POST /x", 1.0)
    (listed,) = faults.to_json()
    assert (listed["left"], listed["met"], listed["answer"], listed["status"]) == (
        2,
        1,
        "none",
        None,
    )
    faults.forget()
    assert faults.to_json() == []
    assert faults.take("POST /x", 1.0) is None


def test_no_more_faults_are_kept_than_can_be_meant() -> None:
    faults = Faults()
    for status in range(400, 400 + MAX_FAULTS + 1):
        faults.inject(Fault(status))
    assert len(faults.to_json()) == MAX_FAULTS
    assert statuses(faults, "GET /") == [401]
