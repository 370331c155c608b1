"""`python -m tests`: all tests, lane beside lane (support/lanes.py), told as one run.

A few tests that fail are run once more when all lanes are over, with the machine to themselves:
what fails then has failed. What passes then is named: it bears no company, or fails now and then.

What is given on the command line goes to pytest in each lane. For a single file, or a debugger,
`python -m pytest` itself is simpler.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.lanes import LANES, Lane

_FAILED = 1
_NOTHING_COLLECTED = 5
_AGAIN_MOST = 5
"""Tests that are given a second try; where more fail, it is not for want of time."""
_COUNT = re.compile(r"(\d+) (passed|failed|error|skipped|deselected|xfailed|xpassed|warning)s?\b")
_RULED = "==="
_TOLD_FIRST = ("failed", "error", "passed", "skipped", "deselected")


class LaneRun:
    """One lane's pytest: its progress is shown line by line, its summary in one piece."""

    def __init__(
        self, lane: Lane, arguments: Iterable[str], folder: Path, printing: threading.Lock
    ) -> None:
        self._lane = lane
        self._cache = folder / lane.name
        self._printing = printing
        self.last_line = ""
        """Of what was printed, but for empty ones: pytest's count of what came of all."""
        self.has_unexcused_skip = False
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", f"--lane={lane.name}", f"--machine={folder}"),
                *("-o", f"cache_dir={self._cache}", *arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        os.setpriority(os.PRIO_PROCESS, self._process.pid, lane.nice)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait(self) -> int:
        """Return pytest's exit status, when all of its output is shown."""
        self._reader.join()
        return self._process.wait()

    def failed(self) -> list[str]:
        """Return the tests that have failed, by pytest's names."""
        file = self._cache / "v" / "cache" / "lastfailed"
        return sorted(json.loads(file.read_text())) if file.exists() else []

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        summary: list[str] = []
        for line in stdout:
            self.last_line = line.strip() or self.last_line
            self.has_unexcused_skip |= line.startswith("--strict-skips: ")
            is_summary = line.startswith(_RULED) and "test session starts" not in line
            if summary or is_summary:
                summary.append(line)
                continue
            if line.strip():
                self._show(f"{self._lane.name:6} | {line}")
        self._show(f"\n{self._lane.name}:\n{''.join(summary)}")

    def _show(self, text: str) -> None:
        with self._printing:
            sys.stdout.write(text)
            sys.stdout.flush()


def merged_status(statuses: Iterable[int]) -> int:
    """Return one exit status for all lanes: a lane for which nothing was chosen is no failure."""
    told = [status for status in statuses if status != _NOTHING_COLLECTED]
    return max(map(abs, told)) if told else _NOTHING_COLLECTED


def merged_summary(lines: Iterable[str], took_s: float, *, passed_alone: int = 0) -> str:
    """Return the last lines of several runs as the one of all, in pytest's words.

    Where so many `passed_alone`, they are all that had failed.
    """
    counts = Counter[str]()
    for line in lines:
        for count, what in _COUNT.findall(line):
            counts[what] += int(count)
    if passed_alone:
        counts["failed"] = counts["error"] = 0
        counts["passed"] += passed_alone
    order = [*_TOLD_FIRST, *sorted(counts.keys() - set(_TOLD_FIRST))]
    told = ", ".join(f"{counts[what]} {what}" for what in order if counts[what])
    return f" {told or 'no tests ran'} in {took_s:.2f}s ".center(80, "=")


def has_passed_alone(failed: Sequence[str], options: Sequence[str]) -> bool:
    """Run again what has failed beside others, and say so."""
    sys.stdout.write("\nfailed beside others; again, alone:\n")
    sys.stdout.flush()
    again = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, *failed]
    if subprocess.run(again, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        return False
    sys.stdout.writelines(f"passed only alone: {name}\n" for name in failed)
    return True


def main() -> int:
    """Run all lanes and wait for them; an interrupt reaches each of them by itself."""
    began_s = time.monotonic()
    arguments = sys.argv[1:]
    if sys.stdout.isatty():
        arguments.insert(0, "--color=yes")
    printing = threading.Lock()
    statuses: list[int] = []
    with TemporaryDirectory(prefix="parley-tests-") as folder:
        runs = [LaneRun(lane, arguments, Path(folder), printing) for lane in LANES]
        while len(statuses) < len(runs):
            try:
                statuses.append(runs[len(statuses)].wait())
            except KeyboardInterrupt:
                continue
        failed = [name for run in runs for name in run.failed()]
    status, passed_alone = merged_status(statuses), 0
    options = [argument for argument in arguments if argument.startswith("--strict-skips")]
    is_by_failures = status == _FAILED and not any(run.has_unexcused_skip for run in runs)
    if is_by_failures and 0 < len(failed) <= _AGAIN_MOST and has_passed_alone(failed, options):
        status, passed_alone = 0, len(failed)
    lines, took_s = (run.last_line for run in runs), time.monotonic() - began_s
    told = merged_summary(lines, took_s, passed_alone=passed_alone)
    sys.stdout.write(f"{told}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
