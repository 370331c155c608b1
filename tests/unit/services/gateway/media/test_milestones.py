from __future__ import annotations

from services.gateway.media.milestones import Milestones
from shared.protocol.call import WorkerId


def test_moments_are_told_since_the_answer_and_those_that_never_came_are_left_out() -> None:
    milestones = Milestones(100.0)
    milestones.answered_s = 100.0105
    milestones.on_socket(100.25)
    milestones.on_socket(103.0)
    assert milestones.line(105.0) == {
        "answered_ms": 10.5,
        "socket_ms": 250.0,
        "ended_ms": 5000.0,
        "sockets": 2,
        "worker_id": None,
        "reattachments": 0,
        "dropped_frames": 0,
    }


def test_workers_losses_and_reasons_are_told_where_there_were_any() -> None:
    milestones = Milestones(0.0)
    for worker in ("a", "a", "b"):
        milestones.on_worker(WorkerId(worker))
    milestones.dropped["flood"] += 2
    milestones.dropped["no_caller"] += 1
    milestones.failure, milestones.cause = "second_loss", "4000"
    line = milestones.line(1.0)
    assert (line["worker_id"], line["workers"]) == ("b", ["a", "b"])
    assert (line["dropped_frames"], line["dropped"]) == (3, {"flood": 2, "no_caller": 1})
    assert (line["failure"], line["cause"]) == ("second_loss", "4000")
