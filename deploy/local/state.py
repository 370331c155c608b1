"""What was started, written down in .parley/ so that a later command can stop it.

A process is ours only while its id and the moment it began both match: ids are used again.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Running:
    """One started process; `began` is the system's own note of when, compared as text."""

    name: str
    pid: int
    began: str
    log: str

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs. A zombie does not."""
        return began(self.pid) == self.began


@dataclass(frozen=True, slots=True)
class State:
    """The last `up`: by which mode, which processes, and the addresses it printed."""

    mode: str
    processes: tuple[Running, ...] = ()
    addresses: tuple[tuple[str, str], ...] = ()


def began(pid: int) -> str | None:
    """When a process started, or None when there is none by that id."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # Fields after the name, which stands in brackets and may hold anything.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    result = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    status, _, started = result.stdout.strip().partition(" ")
    return started.strip() if status and not status.startswith("Z") else None


class StateFile:
    """`state.json` in the directory of the local run."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "state.json"

    def read(self) -> State | None:
        """What was last written, or None when nothing is up or the file is damaged."""
        try:
            data = json.loads(self._path.read_text())
            return State(
                data["mode"],
                tuple(Running(**entry) for entry in data["processes"]),
                tuple((what, url) for what, url in data["addresses"]),
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, state: State) -> None:
        """Replace the file in one step."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(state), indent=1))
        os.replace(draft, self._path)

    def forget(self) -> None:
        """Nothing is up any more."""
        self._path.unlink(missing_ok=True)
