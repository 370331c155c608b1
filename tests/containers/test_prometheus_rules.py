"""Prometheus' own tool tries the rules: what makes each alert fire, and what must not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.engine import PROMETHEUS_IMAGE, docker, why_no_engine

pytestmark = pytest.mark.containers
FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in the rules' folder: this machine's own, or the image's."""
    if (local := shutil.which("promtool")) is not None:
        return subprocess.run(
            [local, *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
        )
    reason = why_no_engine(PROMETHEUS_IMAGE)
    if reason is not None:
        pytest.skip(reason)
    place = ("--entrypoint", "promtool", "-v", f"{FOLDER}:/rules:ro", "-w", "/rules")
    return docker("run", "--rm", "--network", "none", *place, PROMETHEUS_IMAGE, *arguments)


def test_every_alert_fires_when_it_should_and_not_when_it_should_not() -> None:
    tried = promtool("test", "rules", "tests/alerts.yml")
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert "SUCCESS" in tried.stdout


def test_the_rule_files_are_valid() -> None:
    checked = promtool("check", "rules", "rules.yml", "alerts.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("SUCCESS") == 2
