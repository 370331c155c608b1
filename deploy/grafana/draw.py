"""Makes Grafana's JSON of a board, with Grafana's own SDK."""

from __future__ import annotations

import json

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as boards
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard

from deploy.grafana.board import Board, Panel, Query, Variable

_SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
_GREEN, _AMBER, _RED = "green", "orange", "red"
_HEIGHT, _STAT_HEIGHT = 8, 4


def draw(board: Board) -> str:
    """Return the JSON of a dashboard, the same for the same board."""
    made = (
        boards.Dashboard(board.title)
        .uid(f"parley-{board.name}")
        .description(board.description)
        .tags(["parley"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            boards.DashboardLink("Parley")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags(["parley"])
            .keep_time(True)
        )
        .with_variable(boards.DatasourceVariable("datasource").label("Source").type("prometheus"))
    )
    for variable in board.variables:
        made = made.with_variable(_variable(variable))
    for panel in board.panels:
        made = made.with_panel(_stat(panel) if panel.is_stat else _series(panel))
    text = json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True)
    return text + "\n"


def _variable(variable: Variable) -> boards.QueryVariable:
    return (
        boards.QueryVariable(variable.label)
        .label(variable.label.capitalize())
        .datasource(_SOURCE)
        .query(f"label_values({variable.metric}, {variable.label})")
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .include_all(True)
        .all_value(".*")
        .multi(True)
    )


def _targets(panel: Panel) -> list[prometheus.Dataquery]:
    return [_target(number, query) for number, query in enumerate(panel.queries)]


def _target(number: int, query: Query) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(chr(ord("A") + number)).expr(query.expression)
    if _is_of_the_whole_range(query):
        target = target.instant()
    return target.legend_format(query.legend or "__auto").exemplar(
        "histogram_quantile" in query.expression
    )


def _is_of_the_whole_range(query: Query) -> bool:
    return "$__range" in query.expression


def _limits(panel: Panel) -> boards.ThresholdsConfig:
    order = (_RED, _AMBER, _GREEN) if panel.is_low_bad else (_GREEN, _AMBER, _RED)
    marks = (panel.bad, panel.warn) if panel.is_low_bad else (panel.warn, panel.bad)
    steps = [dashboard.Threshold(None, order[0] if any(m is not None for m in marks) else _GREEN)]
    steps += [
        dashboard.Threshold(mark, colour)
        for mark, colour in zip(marks, order[1:], strict=True)
        if mark is not None
    ]
    return boards.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _stat(panel: Panel) -> stat.Panel:
    is_one_number = any(map(_is_of_the_whole_range, panel.queries))
    graph = common.BigValueGraphMode.NONE if is_one_number else common.BigValueGraphMode.AREA
    made = (
        stat.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(_STAT_HEIGHT)
        .graph_mode(graph)
        .thresholds(_limits(panel))
    )
    for target in _targets(panel):
        made = made.with_target(target)
    return made


def _series(panel: Panel) -> timeseries.Panel:
    has_limits = panel.warn is not None or panel.bad is not None
    style = common.GraphTresholdsStyleMode.DASHED if has_limits else None
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .min(0)
        .span(panel.width)
        .height(_HEIGHT)
        .line_width(2)
        .fill_opacity(30 if panel.is_stacked else 5)
        .show_points(common.VisibilityMode.NEVER)
        .thresholds(_limits(panel))
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(True)
            .placement(common.LegendPlacement.BOTTOM)
            .display_mode(common.LegendDisplayMode.TABLE)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
    )
    if style is not None:
        made = made.thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(style))
    if panel.is_stacked:
        made = made.stacking(
            common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
        )
    for target in _targets(panel):
        made = made.with_target(target)
    return made
