from __future__ import annotations

import pytest

from deploy.bench.report.regression import compare, why_no_instructions
from tests.unit.deploy.bench.made_up import document, path_row


def _counted(instructions: int | None) -> dict[str, object]:
    return {"frames": {"parse media": {"cpu_us": 5.0, "instructions": instructions}}}


def _worse(now: dict[str, object]) -> list[str]:
    return [one.name for one in compare(document(), now) if one.is_worse]


def test_the_same_figures_are_no_regression() -> None:
    assert _worse(document()) == []
    assert len(compare(document(), document())) == 6


def test_a_dearer_path_is_one() -> None:
    now = document(path=[path_row(50, 0.40), path_row(100, 0.2)])
    assert _worse(now) == ["whole path to floor, 50 calls", "whole path to usual design, 50 calls"]


@pytest.mark.parametrize(("instructions", "is_worse"), [(4190, False), (4210, True), (3000, False)])
def test_more_instructions_are_one(instructions: int, is_worse: bool) -> None:
    assert bool(_worse(document(**_counted(instructions)))) is is_worse


def test_seconds_are_not_compared() -> None:
    now = document(frames={"parse media": {"cpu_us": 99.0, "instructions": 4000}})
    assert _worse(now) == []


def test_instructions_of_other_versions_are_not_compared_and_it_is_said() -> None:
    now = document(**_counted(9000))
    now["machine"] = {**now["machine"], "python": "3.12.1"}
    assert _worse(now) == []
    assert "other versions" in why_no_instructions(document(), now)
    assert "not counted here" in why_no_instructions(document(), document(**_counted(None)))
    assert "none are kept" in why_no_instructions(document(**_counted(None)), document())
    assert why_no_instructions(document(), document()) == ""


def test_a_comparison_says_all_there_is_to_know() -> None:
    now = document(**_counted(6000))
    text = str(compare(document(), now)[-1])
    assert "instructions, parse media" in text
    assert "+50%" in text
    assert "WORSE" in text
