from __future__ import annotations

from typing import Any

import pytest

from deploy.bench.report.bends import shares, why_it_bends
from tests.unit.deploy.bench.made_up import document, load_report, path_row, spread


def _why(row: dict[str, Any], *, bends_at: int | None = 150) -> str:
    law = {**document()["scaling"]["law"], "bends_at": bends_at}
    return why_it_bends(document(scaling={"law": law, "points": [row]}))


def test_shares_are_of_one_core_with_the_load_client_among_them() -> None:
    found = shares(path_row(120, 0.3))
    assert found == pytest.approx(
        {"worker": 0.6, "gateway": 0.2, "redis": 0.02, "load client": 0.1}
    )


def test_a_worker_bends_where_its_core_is_full() -> None:
    late = {**path_row(150, 0.38), "handset": load_report(pacing_ms=spread(31.0))}
    assert _why(late) == (
        "one worker leaves it at 150 calls: its core is full (95%), and frames come 31 ms late"
    )
    assert "a call costs more again" in _why(path_row(150, 0.38))


def test_or_where_the_whole_machine_is() -> None:
    busy = {**path_row(150, 0.3), "gateway": 0.4, "handset": load_report(cpu_share=0.2)}
    assert "the machine's 2 cores are full (worker 75%, gateway 100%, redis 2%" in _why(busy)


def test_a_bend_that_no_core_explains_is_not_explained() -> None:
    assert _why(path_row(150, 0.2)).endswith("a call costs more again, with 50% of its core taken")


def test_without_a_bend_it_is_said_how_far_was_tried() -> None:
    assert "up to 150 calls" in _why(path_row(150, 0.2), bends_at=None)
    law = {**document()["scaling"]["law"], "bends_at": None}
    scaling = {"law": law, "points": [path_row(100, 0.2)], "not_taken": [200, 150]}
    assert why_it_bends(document(scaling=scaling)).endswith(
        "up to 100 calls; 150 were not all let in"
    )
    assert why_it_bends({}) == ""
