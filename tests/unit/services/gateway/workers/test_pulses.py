"""services.gateway.workers.pulses: who could take a silent worker's calls."""

from __future__ import annotations

from collections.abc import Callable

from structlog.testing import capture_logs

from services.gateway.workers.pulses import Pulses
from shared.bus.messages import WorkerLease
from shared.protocol.call import WorkerId

SILENT = WorkerLease(WorkerId("w-1"), "10.0.0.1:9000", capacity=10)
OTHER = WorkerLease(WorkerId("w-2"), "10.0.0.2:9000", capacity=10)
PING_S = 0.25


class Pool:
    """Workers that all have room."""

    def __init__(self, *leases: WorkerLease) -> None:
        self.leases = leases

    def take_place(self, may_be_at: Callable[[str], bool]) -> bool:
        return any(may_be_at(lease.address) for lease in self.leases)


class Now:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_worker_is_not_the_one_that_takes_its_own_calls() -> None:
    now = Now()
    for leases, is_there in (((SILENT,), False), ((SILENT, OTHER), True)):
        pulses = Pulses(Pool(*leases), PING_S, now)
        assert pulses.has_place_elsewhere(SILENT, pulses.of(SILENT)) is is_there


def test_who_has_refused_a_call_is_nobody_to_take_it() -> None:
    pulses = Pulses(Pool(SILENT, OTHER), PING_S, Now())
    pulse = pulses.of(SILENT)
    assert not pulses.has_place_elsewhere(SILENT, pulse, [OTHER.address])
    assert pulses.has_place_elsewhere(SILENT, pulse, ["10.0.0.3:9000"])


def test_two_workers_that_are_silent_together_do_not_take_each_others_calls() -> None:
    """On a machine that stood still each was given what was taken from the other."""
    now = Now()
    pulses = Pulses(Pool(SILENT, OTHER), PING_S, now)
    silent, other = pulses.of(SILENT), pulses.of(OTHER)
    silent.asked_s = other.asked_s = 0.25
    now.now_s = 0.9
    assert not pulses.has_place_elsewhere(SILENT, silent)
    other.heard_s = 0.8
    assert pulses.has_place_elsewhere(SILENT, silent)


def test_it_is_told_once_that_a_worker_is_waited_for() -> None:
    now = Now()
    pulses = Pulses(Pool(SILENT), PING_S, now)
    pulse = pulses.of(SILENT)
    with capture_logs() as lines:
        for pulse.heard_s in (0.0, 2.0):
            for later_s in (0.9, 1.0, 1.1):
                now.now_s = pulse.heard_s + later_s
                assert not pulses.has_place_elsewhere(SILENT, pulse)
    told = [(line["event"], line["worker_id"], line["quiet_s"]) for line in lines]
    assert told == [("worker_waited_for", "w-1", 0.9)] * 2


def test_without_a_pool_somebody_is_taken_to_be_there() -> None:
    pulses = Pulses(None, PING_S, Now())
    assert pulses.has_place_elsewhere(SILENT, pulses.of(SILENT))


def test_links_to_one_worker_share_its_pulse() -> None:
    pulses = Pulses(None, PING_S, Now())
    assert pulses.of(SILENT) is (first := pulses.of(SILENT))
    assert pulses.of(OTHER) is not first
