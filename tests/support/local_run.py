"""The platform as local processes, on ports and in a directory of a test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deploy.local.install import ROOT
from deploy.local.state import StateFile
from tests.support.ports import free_ports

_SETTINGS = ("HTTP_PORT", "AGENT_WS_PORT", "AGENT_METRICS_PORT", "DIALER_PORT", "SIMULATOR_PORT")


class LocalRun:
    """Commands of one local platform, in a state directory and on ports of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        numbers = free_ports(len(_SETTINGS) + 1)
        self.ports = dict(zip(_SETTINGS, numbers, strict=False))
        self.environment = {
            **os.environ,
            **{name: str(port) for name, port in self.ports.items()},
            "PROMETHEUS_PUBLISHED_PORT": str(numbers[-1]),
            "PARLEY_MODE": "processes",
            "PARLEY_STATE_DIR": str(directory),
            "AGENT_DRAIN_S": "5",
            "AGENT_LATENESS_BUDGET_S": "1",  # a machine that runs tests is late now and then
            "GATEWAY_DRAIN_S": "5",
        }

    def start(self, command: str, **settings: str) -> subprocess.Popen[str]:
        """Begin a command of `python -m deploy.local`, both outputs in one pipe."""
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.local", command],
            cwd=ROOT,
            env={**self.environment, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, command: str, **settings: str) -> tuple[int, str]:
        """Run a command to its end: exit status and what it said."""
        child = self.start(command, **settings)
        said, _ = child.communicate(timeout=150)
        return child.returncode, said

    def pids(self) -> dict[str, int]:
        """The running processes by name."""
        state = StateFile(self.directory).read()
        return {process.name: process.pid for process in state.processes} if state else {}
