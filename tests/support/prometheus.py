"""A real Prometheus with the rules that ship: this machine's own, or a container's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.support.deployments import DEPLOY
from tests.support.engine import PROMETHEUS_IMAGE, docker, why_no_engine
from tests.support.ports import free_ports

SCRAPE_S = 5
_READY_S = 30.0


def why_no_prometheus() -> str | None:
    """None when one can be started, else the reason to name beside the skipped test."""
    return None if shutil.which("prometheus") is not None else why_no_engine(PROMETHEUS_IMAGE)


def quickened(rules: str) -> str:
    """Rules that wait and look back less: at most 15 s, and a minute."""
    shorter = re.sub(r"for: (?:\d+m|[3-9]\ds)", "for: 15s", rules)
    return re.sub(r"\[(?:2|5|10|30)m\]", "[1m]", shorter)


class Prometheus:
    """Scrapes targets, by job, and evaluates rules.yml and alerts.yml.

    Args:
        directory: empty; its files are given to the container.
        targets: host:port, by job.
        is_quick: whether the rules are quickened, see there.
    """

    def __init__(
        self, directory: Path, targets: Mapping[str, Sequence[str]], *, is_quick: bool
    ) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._name = f"parley-test-prometheus-{os.getpid()}-{port}"
        self._directory = directory
        self._targets = sum(map(len, targets.values()))
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("rules.yml", "alerts.yml"):
            text = (DEPLOY / "prometheus" / name).read_text()
            self._write(name, quickened(text) if is_quick else text)
        configuration = {
            "global": {
                "scrape_interval": f"{SCRAPE_S}s",
                "scrape_timeout": "4s",
                "evaluation_interval": f"{SCRAPE_S}s",
            },
            "rule_files": ["rules.yml", "alerts.yml"],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(places)}]}
                for job, places in targets.items()
            ],
        }
        self._write("prometheus.yml", json.dumps(configuration))

    def _write(self, name: str, text: str) -> None:
        path = self._directory / name
        path.write_text(text)
        path.chmod(0o644)

    def start(self) -> None:
        """Start it and wait until it has looked at every target twice: a rise needs a before."""
        self._directory.chmod(0o755)
        if (own := shutil.which("prometheus")) is not None:
            self._start_process(own)
        else:
            self._start_container()
        deadline_s = time.monotonic() + _READY_S
        while not self._is_ready():
            assert time.monotonic() < deadline_s, "Prometheus does not answer"
            time.sleep(0.2)
        while not self._has_looked_twice():
            assert time.monotonic() < deadline_s, "Prometheus does not scrape"
            time.sleep(0.2)

    def _options(self, configuration: str, data: str) -> list[str]:
        return [
            f"--config.file={configuration}/prometheus.yml",
            f"--storage.tsdb.path={data}",
            "--query.lookback-delta=30s",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]

    def _start_process(self, program: str) -> None:
        options = self._options(str(self._directory), str(self._directory / "data"))
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen([program, *options], stdout=log, stderr=log)

    def _start_container(self) -> None:
        began = docker(
            *("run", "--detach", "--rm", "--name", self._name, "--network", "host"),
            *("--volume", f"{self._directory}:/etc/prometheus:ro", PROMETHEUS_IMAGE),
            *self._options("/etc/prometheus", "/prometheus"),
        )
        assert began.returncode == 0, began.stderr

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def _has_looked_twice(self) -> bool:
        looks = [float(one["value"][1]) for one in self.query("count_over_time(up[1m])")]
        return len(looks) == self._targets and min(looks) >= 2

    def stop(self) -> None:
        """Stop it; nothing of it is left."""
        if self._process is None:
            docker("rm", "--force", "--volumes", self._name)
            return
        self._process.terminate()
        self._process.wait(10)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression; what Prometheus can't evaluate is an error."""
        answer = httpx.post(
            f"{self.url}/api/v1/query", data={"query": expression}, timeout=10, trust_env=False
        ).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        series = self.query('ALERTS{alertstate="firing"}')
        return {one["metric"]["alertname"] for one in series}


def seconds_until(is_so: Callable[[], bool], within_s: float) -> float | None:
    """Return how long it took until something was so; None if it never was."""
    began_s = time.monotonic()
    while time.monotonic() < began_s + within_s:
        if is_so():
            return time.monotonic() - began_s
        time.sleep(0.5)
    return None
