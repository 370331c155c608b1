"""The store of recordings hangs, dies or fills up while thirty calls go on: no caller notices.

Long, so it is run by `make soak`. The full disk is a small file system that only root can mount.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.install import ROOT
from tests.support.processes import Crew, grown, reports_in
from tests.support.redis_server import RedisServer
from tests.support.s3_server import S3Server, bucket_environment, s3_server

pytestmark = [pytest.mark.soak, pytest.mark.system, pytest.mark.timeout(300)]
CALLS, OVER_S, CALL_S, BEFORE_S = 30, 3.0, 16.0, 7.0
DISK_BYTES = 40_000_000
FIGURES = ROOT / ".parley" / "recording_faults.json"
STORY = " ".join(
    f"This is sentence number {number} of a long story."
    for number in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
)


@dataclass(frozen=True)
class Run:
    """One load: what callers noticed, and what workers counted meanwhile."""

    reports: list[dict[str, Any]]
    samples: dict[str, float]

    def share(self, name: str, above_s: str) -> float:
        """The part of a histogram of frames that is above one of its bounds."""
        count = self.samples[f"{name}_count"]
        return round(1 - self.samples[f'{name}_bucket{{le="{above_s}"}}'] / count, 5)

    def total(self, name: str) -> float:
        """Of a counter, over its labels."""
        return sum(value for key, value in self.samples.items() if key.startswith(name))

    def figures(self) -> dict[str, Any]:
        gaps = [gap["duration_ms"] for report in self.reports for gap in report["gaps"]]
        lateness, jitter = "voice_agent_pacing_lateness_seconds", "voice_agent_frame_jitter_seconds"
        return {
            "calls": len(self.reports),
            "failed": sum(not report["ok"] for report in self.reports),
            "underruns": sum(report["underruns"] for report in self.reports),
            "longest_gap_ms": max(gaps, default=0.0),
            **{f"lateness above {s} s": self.share(lateness, s) for s in ("0.01", "0.04")},
            **{f"jitter above {s} s": self.share(jitter, s) for s in ("0.01", "0.02")},
            "recordings": self.total("voice_agent_recordings_total"),
            "stopped": self.total("voice_agent_recordings_stopped_total"),
            "reasons": {
                key.partition("reason=")[2].strip('"}'): value
                for key, value in self.samples.items()
                if key.startswith("voice_agent_recordings_stopped_total") and value
            },
            "blocks": self.total("voice_agent_recording_blocks_total"),
        }


@contextmanager
def running(folder: Path, redis_url: str, settings: dict[str, str]) -> Iterator[Crew]:
    crew = Crew(folder, redis_url, settings={"AGENT_RECORDING_SWEEP_S": "2", **settings})
    crew.write_agent(STORY, recording={"enabled": True})
    try:
        crew.start()
        yield crew
    finally:
        crew.stop()


def play(crew: Crew, folder: Path, trouble: Callable[[], None]) -> Run:
    """Play thirty calls at once, trouble coming in their midst."""
    before = [worker.metrics() for worker in crew.workers]
    load = crew.load(folder, CALLS, OVER_S, "--hangup-after", f"{CALL_S}")
    time.sleep(BEFORE_S)
    trouble()
    load.wait(CALL_S + 60)
    after = [worker.metrics() for worker in crew.workers]
    reports = reports_in(folder)
    return Run(reports, grown(before, after))


def note(name: str, run: Run) -> None:
    """Keep figures for people."""
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps({**known, name: run.figures()}, indent=1))


def assert_undisturbed(run: Run, *, beside: Run | None = None) -> None:
    figures = run.figures()
    assert figures["calls"] == CALLS
    assert [report["failures"] for report in run.reports if not report["ok"]] == []
    assert min(report["duration_s"] for report in run.reports) >= CALL_S - 1
    assert figures["recordings"] == CALLS
    if beside is not None:
        fine = beside.figures()
        # Of two runs on a busy machine one is always a little worse than the other.
        assert figures["lateness above 0.04 s"] <= fine["lateness above 0.04 s"] + 0.05


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.stop()


def hang(server: S3Server) -> None:
    server.signal(signal.SIGSTOP)


def die(server: S3Server) -> None:
    server.stop()


def test_a_bucket_that_hangs_or_dies_disturbs_no_call(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bucket")
    with (
        s3_server() as server,
        running(folder, redis_url, bucket_environment(server.url)) as crew,
    ):
        fine = play(crew, folder / "fine", lambda: None)
        note("bucket, fine", fine)
        assert_undisturbed(fine)
        assert fine.figures()["stopped"] == 0
        until_complete(crew, fine)

        hung = play(crew, folder / "hung", lambda: hang(server))
        server.signal(signal.SIGCONT)
        note("bucket, hanging", hung)
        assert_undisturbed(hung, beside=fine)
        assert hung.figures()["stopped"] == CALLS
        until_complete(crew, hung, is_stopped=True)

        dead = play(crew, folder / "dead", lambda: die(server))
        note("bucket, dead", dead)
        assert_undisturbed(dead, beside=fine)
        assert dead.figures()["stopped"] == CALLS


def until_complete(crew: Crew, run: Run, *, is_stopped: bool = False) -> None:
    """All that was written is there, and read."""
    deadline_s = time.monotonic() + 40
    for report in run.reports:
        url = f"{crew.url}/calls/{report['call_uuid']}/recording"
        while True:
            answer = httpx.get(url, trust_env=False, timeout=20)
            if answer.status_code == 200 and answer.json()["is_complete"]:
                break
            assert time.monotonic() < deadline_s, f"{answer.status_code}: {answer.text}"
            time.sleep(0.2)
        least_s = 0.1 if is_stopped else CALL_S - 2
        assert answer.json()["duration_ms"] >= least_s * 1000
    record = httpx.get(f"{crew.url}/calls/{run.reports[0]['call_uuid']}", trust_env=False).json()
    assert ("stopped" in record["recording"]) is is_stopped


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    options = f"size={DISK_BYTES},mode=1777"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill_up(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(100_000))


def test_a_disk_that_fills_up_disturbs_no_call(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("disk")
    with (
        small_disk(folder / "recordings") as disk,
        running(folder, redis_url, {"RECORDINGS_URL": str(disk)}) as crew,
    ):
        fine = play(crew, folder / "fine", lambda: None)
        note("disk, fine", fine)
        assert_undisturbed(fine)
        assert fine.figures()["stopped"] == 0

        full = play(crew, folder / "full", lambda: fill_up(disk))
        note("disk, full", full)
        assert_undisturbed(full, beside=fine)
        assert full.figures()["reasons"] == {"no_space": CALLS}
        (disk / "filler").unlink()
        until_complete(crew, full, is_stopped=True)
