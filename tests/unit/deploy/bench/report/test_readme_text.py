from __future__ import annotations

from pathlib import Path

import pytest

from deploy.bench.readme import README, RESULTS, SCALE, current, with_section
from deploy.bench.report.readme_text import BEGIN, END, section
from tests.unit.deploy.bench.made_up import document


def test_every_figure_of_the_table_is_the_documents() -> None:
    text = section(document())
    assert "| calls at once | 1 | 50 | 100 | 200, 2 workers |" in text
    assert "| **gateway and worker** | **3.10** | **0.35** | **0.30** | **0.31** |" in text
    assert "| two servers of the usual design |  | 1.50 | more than it can do |  |" in text
    assert "| a multiple of those in C |  | 3.5 | 3.0 |  |" in text
    assert "costs 0.060 in C and 0.15 on `websockets`' server" in text
    assert "our whole path: 5.0 times the former" in text
    assert "with 100 calls that is 0.05 of it" in text
    assert "The usual design costs 5.0 times ours (50 calls)." in text
    assert "0.20 ms on its way through the gateway" in text
    assert "0.280 for each call, 0.40 more for each of the first 20" in text
    assert "one worker leaves it at 150 calls: its core is full (92%)" in text
    assert "120 calls, agents speaking half the time, for 10 minutes: 4.0 ms late" in text
    assert "Of 148 interruptions 148 took the turn" in text
    assert "medians of 5 runs" in text


def test_what_was_not_measured_is_not_spoken_of() -> None:
    text = section({"machine": document()["machine"]})
    assert "gateway" not in text
    assert "soak" not in text
    assert "\n\n\n" not in text
    assert "make bench" in text


def test_the_section_goes_between_its_markers_and_nothing_else_changes() -> None:
    readme = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    fresh = with_section(readme, "\nnew\n\n")
    assert fresh == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert with_section(fresh, "\nnew\n\n") == fresh


@pytest.mark.parametrize("readme", ["none", f"{BEGIN} alone", f"{END} before {BEGIN}"])
def test_a_readme_without_both_markers_is_not_written(readme: str) -> None:
    with pytest.raises(ValueError, match="README has no"):
        with_section(readme, "new")


@pytest.mark.parametrize("path", [README, SCALE], ids=["README", "scale"])
def test_readmes_say_what_the_results_say(path: Path) -> None:
    """Figures once stood in README that nobody had measured on the version it described."""
    if not (RESULTS / "bench.json").exists():
        assert BEGIN not in path.read_text()
        return
    assert dict(current())[path] == path.read_text()
