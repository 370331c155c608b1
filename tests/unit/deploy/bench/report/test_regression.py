from __future__ import annotations

import pytest

from deploy.bench.report.regression import compare, not_compared
from tests.unit.deploy.bench.made_up import counted, document, path_row


def _worse(now: dict[str, object], kept: dict[str, object] | None = None) -> list[str]:
    return [one.name for one in compare(kept or document(), now) if one.is_worse]


def test_the_same_figures_are_no_regression() -> None:
    assert _worse(document()) == []
    assert len(compare(document(), document())) == 7
    assert not_compared(document(), document()) == []


def test_a_dearer_path_is_one() -> None:
    now = document(path=[path_row(50, 0.40), path_row(100, 0.2)])
    assert _worse(now) == ["whole path to floor, 50 calls", "whole path to usual design, 50 calls"]


@pytest.mark.parametrize(("instructions", "is_worse"), [(4190, False), (4210, True), (3000, False)])
def test_more_instructions_are_one(instructions: int, is_worse: bool) -> None:
    assert bool(_worse(document(instructions=counted(instructions)))) is is_worse


def test_seconds_are_not_compared() -> None:
    assert _worse(document(frames={"parse media": {"cpu_us": 99.0}})) == []


def test_instructions_are_compared_with_those_of_the_same_python_among_others() -> None:
    other = "Python 3.11.7, GCC 12.2.0, x86_64"
    kept = document(instructions={**counted(4000), **counted(9000, other)})
    assert _worse(document(instructions=counted(9100, other)), kept) == []
    assert _worse(document(instructions=counted(9100)), kept) == ["instructions, parse media"]


@pytest.mark.parametrize(
    ("kept", "now", "why"),
    [
        (counted(4000), counted(9000, "Python 3.12.1"), "none are kept of Python 3.12.1, only of"),
        (counted(4000), counted(9000, numpy="2.4"), "numpy 2.3 is now 2.4; count anew"),
        (counted(4000), {}, "not counted here"),
        ({}, counted(9000), "none are kept"),
    ],
)
def test_instructions_of_other_versions_are_not_compared_and_it_is_said(
    kept: dict[str, object], now: dict[str, object], why: str
) -> None:
    before, after = document(instructions=kept), document(instructions=now)
    assert not [one for one in compare(before, after) if "instructions" in one.name]
    (line,) = not_compared(before, after)
    assert line.startswith("instructions are not compared: ")
    assert why in line


def test_ratios_of_two_pythons_are_compared_and_it_is_said() -> None:
    now = document()
    now["machine"] = {**now["machine"], "python": "3.12.1"}
    assert not_compared(document(), now) == [
        "ratios are of Python 3.13.1 and 3.12.1: some of a difference may be that"
    ]


def test_a_comparison_says_all_there_is_to_know() -> None:
    text = str(compare(document(), document(instructions=counted(6000)))[-1])
    assert "instructions, parse media" in text
    assert "+50%" in text
    assert "WORSE" in text
