"""Every metric is read back by value in a test that makes happen what it counts.

A test is found by the sample's name in quotes. Where tests name a metric in short, by way of a
function that adds the service, the table below says which file does so and how.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from shared.metrics import catalogue

TESTS = Path(__file__).resolve().parents[1]
FOLDERS = ("unit", "system", "contract", "containers")
# They read figures for what they show of a whole stack; no metric is exercised by them alone.
NOT_COUNTED = {"test_metrics_exercised.py", "test_alerts.py", "test_grafana.py"}
_READERS = re.compile(
    r"get_sample_value\(|\.metric\(|\.value\(|\.metrics\(\)|_value\(|\.total\(|\.of\("
)

ACCOUNT = "unit/services/agent/call/test_account.py"
RECORDING = "unit/services/agent/recording/test_writer.py"
IN_SHORT = {
    "voice_agent_clear_timeouts_total": (ACCOUNT, '"clear_timeouts_total"'),
    "voice_agent_fillers_total": (ACCOUNT, '"fillers_total"'),
    "voice_agent_speculations_total": (ACCOUNT, '"speculations_total"'),
    "voice_agent_tool_calls_total": (ACCOUNT, '"tool_calls_total"'),
    "voice_agent_recording_block_seconds_count": (
        RECORDING,
        '"recording_block_seconds_count"',
    ),
    "voice_agent_recording_queue_blocks": (RECORDING, '"recording_queue_blocks"'),
    "voice_agent_recording_written_bytes_total": (RECORDING, '"recording_written_bytes_total"'),
}

SOURCES = {
    path: path.read_text()
    for folder in FOLDERS
    for path in sorted((TESTS / folder).rglob("test_*.py"))
    if path.name not in NOT_COUNTED
}


def metrics() -> list[MetricWrapperBase]:
    kinds = [
        kind
        for name, kind in vars(catalogue).items()
        if name.endswith("Metrics") and isinstance(kind, type)
    ]
    registry = CollectorRegistry()
    return [metric for kind in kinds for metric in vars(kind(registry)).values()]


def sample_names(metric: MetricWrapperBase) -> list[str]:
    name = metric._name
    match metric._type:
        case "counter":
            return [f"{name}_total"]
        case "histogram":
            return [f"{name}_count", f"{name}_sum", f"{name}_bucket"]
        case _:
            return [name]


def readers_of(names: list[str]) -> list[str]:
    """Files whose tests read one of these samples."""
    quoted = re.compile("|".join(rf"[\"']{name}[\"'{{]" for name in names))
    return [p.name for p, text in SOURCES.items() if quoted.search(text) and _READERS.search(text)]


@pytest.mark.parametrize("metric", metrics(), ids=lambda metric: metric._name)
def test_a_metric_is_read_back_by_a_test(metric: MetricWrapperBase) -> None:
    names = sample_names(metric)
    if (short := IN_SHORT.get(names[0])) is not None:
        file, text = short
        assert text in (TESTS / file).read_text()
        assert readers_of(names) == [], "the table's line is not needed any more"
        return
    assert readers_of(names), f"no test reads {' or '.join(names)}"


def test_a_metric_that_no_test_reads_would_be_noticed() -> None:
    assert readers_of(["voice_agent_imagined_" + "total"]) == []


def test_the_table_has_no_line_of_a_metric_that_is_gone() -> None:
    assert set(IN_SHORT) <= {name for metric in metrics() for name in sample_names(metric)}
