"""Where the logs of the services are: files, standard input, a local run, Docker Compose."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from deploy.local import install
from deploy.local.state import StateFile
from deploy.logs.lines import Line, read_lines

_COMPOSE_S = 60.0


class NoLogs(Exception):
    """There is nothing to look into; the text says where was looked."""


def read_given(names: Sequence[str]) -> list[Line]:
    """Read files, `-` being standard input.

    Raises:
        NoLogs: one of them can't be read.
    """
    lines: list[Line] = []
    for name in names:
        if name == "-":
            lines += read_lines(sys.stdin, "")
            continue
        try:
            with Path(name).open(encoding="utf-8", errors="replace") as file:
                lines += read_lines(file, Path(name).stem)
        except OSError as exc:
            raise NoLogs(f"{name} can't be read: {exc.strerror}") from exc
    return lines


def read_found(directory: Path) -> list[Line]:
    """Read the logs of the run on this machine: of local processes, of Compose, or of both.

    Raises:
        NoLogs: there are none.
    """
    files = sorted((directory / "logs").glob("*.log"))
    lines = read_given([str(file) for file in files])
    state = StateFile(directory).read()
    is_local = state is not None and any(process.is_alive for process in state.processes)
    written = None if is_local else _compose_logs()
    if written is not None:
        lines += read_lines(written.splitlines(), "")
    if not files and written is None:
        raise NoLogs(
            f"there are no logs in {directory / 'logs'} and no containers of this project;"
            " give files, or - for what is piped in"
        )
    return lines


def _compose_logs() -> str | None:
    """What the project's containers have written; None where there are none, or no engine."""
    if which("docker") is None:
        return None
    command = ["docker", "compose", "--profile", "*", "logs", "--no-color"]
    try:
        done = subprocess.run(
            command,
            cwd=install.ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMPOSE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = done.stdout.decode("utf-8", "replace")
    return text if done.returncode == 0 and text else None
