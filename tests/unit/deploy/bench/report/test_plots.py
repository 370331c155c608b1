from __future__ import annotations

from pathlib import Path

from deploy.bench.report.plots import draw_all
from tests.unit.deploy.bench.made_up import document


def test_every_picture_is_drawn_the_same_each_time_with_its_machine(tmp_path: Path) -> None:
    first, again = (draw_all(document(), tmp_path / name) for name in ("first", "again"))
    assert [path.name for path in first] == ["costs.svg", "scaling.svg", "relays.svg", "memory.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_parts_that_were_not_measured_have_no_picture(tmp_path: Path) -> None:
    assert draw_all({"machine": document()["machine"]}, tmp_path) == []
