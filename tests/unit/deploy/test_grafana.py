"""The dashboards are what the code says, and ask for metrics that there are."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from deploy.grafana.__main__ import FOLDER, files
from deploy.grafana.board import Board, Panel, Query, Unit, per_minute, plain, quantiles
from deploy.grafana.boards import BOARDS
from deploy.grafana.draw import draw
from tests.support.deployments import DEPLOY
from tests.unit.deploy.test_alerts import labels_of_metrics, rules

EXPRESSIONS = [
    pytest.param(expression, id=f"{board.name}: {title}")
    for board in BOARDS
    for title, expression in board.expressions()
]
# Of prometheus_client and of Prometheus itself.
OTHERS = {
    *("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"),
    *("process_max_fds", "python_gc_collections_total", "ALERTS"),
}


def test_the_files_are_what_the_boards_say() -> None:
    written = {path: path.read_text() for path in FOLDER.glob("*.json")}
    assert written == files(), "run python -m deploy.grafana"


def test_the_questions_of_the_platform_each_have_their_board() -> None:
    assert [board.name for board in BOARDS] == [
        *("service-level", "calls", "turns", "pool", "dialer", "host")
    ]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_query_asks_for_what_there_is(expression: str) -> None:
    known, recorded = labels_of_metrics(), {rule["record"] for rule in rules("rules.yml")}
    for metric, chosen in re.findall(r"\b(voice_\w+)(?:\{([^}]*)\})?", expression):
        assert metric in known
        assert set(re.findall(r"(\w+)!?=", chosen)) <= known[metric] | {"job", "instance"}
    assert set(re.findall(r"\bparley:[\w:]+", expression)) <= recorded
    rest = set(re.findall(r"\b(?:process|python)_\w+|\bALERTS\b", expression))
    assert rest <= OTHERS


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_nothing_of_grafanas_is_left_in_a_plain_query(expression: str) -> None:
    assert "$" not in plain(expression)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_panel_explains_itself_and_rows_are_full(board: Board) -> None:
    for panel in board.panels:
        assert panel.description.endswith("."), panel.title
        assert panel.queries
        # A limit that is passed upwards is lower where it only warns.
        if panel.warn is not None and panel.bad is not None:
            assert (panel.warn > panel.bad) is panel.is_low_bad
    stats = sum(panel.width for panel in board.panels if panel.is_stat)
    assert stats % 24 == 0
    titles = [panel.title for panel in board.panels]
    assert len(titles) == len(set(titles))


def drawn(*panels: Panel) -> list[dict[str, Any]]:
    board = Board("b", "B", "Of a test.", panels)
    return list(json.loads(draw(board))["panels"])


def test_limits_are_red_on_the_side_that_is_bad() -> None:
    query = (Query("up"),)
    high = Panel("h", "H.", query, warn=1, bad=2)
    low = Panel("l", "L.", query, warn=2, bad=1, is_low_bad=True, is_stat=True)
    colours = [
        [
            (step["value"], step["color"])
            for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        ]
        for panel in drawn(high, low)
    ]
    assert colours == [
        [(None, "green"), (1, "orange"), (2, "red")],
        [(None, "red"), (1, "orange"), (2, "green")],
    ]


def test_a_panel_has_its_unit_its_legend_and_its_source() -> None:
    (panel,) = drawn(Panel("p", "P.", (per_minute("m_total", by="a, b"),), Unit.PER_MINUTE))
    (target,) = panel["targets"]
    assert target["legendFormat"] == "{{a}} {{b}}"
    assert target["expr"].startswith("sum by (a, b) (rate(m_total{}[$__rate_interval])) * 60")
    assert panel["fieldConfig"]["defaults"]["unit"] == "cpm"
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_quantiles_are_of_summed_rates_by_bucket() -> None:
    (query,) = quantiles("m_seconds", by="stage", where='job="x"', of=(0.95,))
    assert query.expression == (
        "histogram_quantile(0.95, sum by (le, stage)"
        ' (rate(m_seconds_bucket{job="x"}[$__rate_interval])))'
    )
    assert query.legend == "{{stage}} p95"


def test_grafana_is_told_where_the_files_are() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    providers = yaml.safe_load((provisioning / "dashboards" / "parley.yml").read_text())
    (provider,) = providers["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    assert provider["allowUiUpdates"] is False
