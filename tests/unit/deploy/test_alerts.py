"""Rules and alerts: of metrics that exist, explained in the runbook, each tried both ways."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from shared.metrics import catalogue
from tests.support.deployments import DEPLOY

RUNBOOK = (DEPLOY / "runbook.md").read_text()
RULE_FILES = ("rules.yml", "alerts.yml")


def read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "prometheus" / name).read_text()))


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in read(name)["groups"] for rule in group["rules"]]


ALERTS = rules("alerts.yml")
NAMES = [alert["alert"] for alert in ALERTS]
TRIED = read("tests/alerts.yml")["tests"]


def labels_of_metrics() -> dict[str, set[str]]:
    """Every sample's name with its labels."""
    found: dict[str, set[str]] = {}
    for name, kind in vars(catalogue).items():
        if not (name.endswith("Metrics") and isinstance(kind, type)):
            continue
        for metric in vars(kind(CollectorRegistry())).values():
            labels = set(metric._labelnames)
            for suffix in ("", "_total", "_sum", "_count"):
                found[metric._name + suffix] = labels
            found[metric._name + "_bucket"] = labels | {"le"}
    return found


@pytest.mark.parametrize("rule", rules("rules.yml") + ALERTS, ids=lambda rule: str(rule)[:60])
def test_a_rule_asks_for_what_there_is(rule: dict[str, Any]) -> None:
    known, recorded = labels_of_metrics(), {rule["record"] for rule in rules("rules.yml")}
    for metric, chosen in re.findall(r"\b(voice_\w+)(?:\{([^}]*)\})?", rule["expr"]):
        assert metric in known
        assert set(re.findall(r"(\w+)=", chosen)) <= known[metric] | {"job", "instance"}
    assert set(re.findall(r"\bparley:[\w:]+", rule["expr"])) <= recorded


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alert_says_how_bad_what_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"warning", "critical"}
    told = alert["annotations"]
    assert told.keys() == {"summary", "description", "runbook_url"}
    assert told["runbook_url"] == f"deploy/runbook.md#{alert['alert'].lower()}"
    assert told["description"].endswith(".")


def test_each_alert_has_its_entry_and_each_entry_its_alert() -> None:
    assert re.findall(r"^### (Parley\w+)$", RUNBOOK, re.MULTILINE) == NAMES
    assert max(Counter(NAMES).values()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_says_the_cause_and_what_to_do(name: str) -> None:
    _, entry = RUNBOOK.split(f"### {name}\n", 1)
    entry = entry.partition("\n#")[0]
    assert entry.startswith("Cause: ")
    assert "Do:" in entry


def test_what_an_entry_names_exists() -> None:
    _, section = RUNBOOK.split("## What each alert means", 1)
    section = section.partition("\n## ")[0]
    known, recorded = labels_of_metrics(), {rule["record"] for rule in rules("rules.yml")}
    assert {m for m in re.findall(r"voice_\w+", section) if m not in known} == set()
    assert set(re.findall(r"parley:[\w:]+", section)) <= recorded
    assert set(re.findall(r"\bParley[A-Z]\w+", section)) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_is_tried_where_it_fires_and_where_it_must_not(name: str) -> None:
    tried = [
        bool(one["exp_alerts"])
        for test in TRIED
        for one in test["alert_rule_test"]
        if one["alertname"] == name
    ]
    assert sorted(tried) == [False, True]


@pytest.mark.parametrize("folder", ["prometheus", "swarm"])
def test_prometheus_loads_both_files(folder: str) -> None:
    loaded = yaml.safe_load((DEPLOY / folder / "prometheus.yml").read_text())["rule_files"]
    assert loaded == list(RULE_FILES)


def test_a_swarm_brings_both_files_to_where_they_are_looked_for() -> None:
    stack = yaml.safe_load((DEPLOY / "swarm" / "stack.yml").read_text())
    files = {
        Path(config["target"]).name: Path(stack["configs"][config["source"]]["file"]).name
        for config in stack["services"]["prometheus"]["configs"]
    }
    assert files == {name: name for name in ("prometheus.yml", *RULE_FILES)}
