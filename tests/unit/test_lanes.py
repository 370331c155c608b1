"""That no test is left out or run twice by running them in lanes, and that no failure is lost."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.__main__ import merged_status, merged_summary
from tests.support.lanes import LANES, lane_of
from tests.support.machine import Machine

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("file", "lane"),
    [
        ("unit/shared/audio/test_g711.py", "rules"),
        ("system/test_resume.py", "clock"),
        ("system/test_campaigns.py", "clock"),
        ("system/test_campaign_dialling.py", "stacks"),
        ("system/test_dialer_openapi.py", "rules"),
        ("system/console/test_console.py", "clock"),
        ("contract/test_outbox.py", "stacks"),
        ("containers/test_compose.py", "stacks"),
        ("something/new/test_it.py", "clock"),
    ],
)
def test_a_file_runs_in_the_lane_of_the_nearest_place_named(file: str, lane: str) -> None:
    assert lane_of(file).name == lane


def test_every_place_named_is_there() -> None:
    files = [path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")]
    for place in [place for lane in LANES for place in lane.places]:
        assert any(file.startswith(place) for file in files), place


def test_counts_of_all_lanes_are_told_as_one_run() -> None:
    lines = [
        "===== 1 failed, 40 passed, 2 deselected in 3.00s =====",
        "== 60 passed, 1 skipped, 1 error in 1.00s ==",
        "no tests ran in 0.01s",
    ]
    told = merged_summary(lines, 3.5)
    assert told.strip("= ") == "1 failed, 1 error, 100 passed, 1 skipped, 2 deselected in 3.50s"
    told = merged_summary(lines, 3.5, passed_alone=2)
    assert told.strip("= ") == "102 passed, 1 skipped, 2 deselected in 3.50s"
    assert merged_summary(["no tests ran in 0.1s"], 1.0).strip("= ") == "no tests ran in 1.00s"


@pytest.mark.parametrize(
    ("statuses", "wanted"),
    [([0, 0, 0], 0), ([0, 1, 0], 1), ([5, 0, 5], 0), ([5, 5, 5], 5), ([0, -9, 5], 9), ([0, 2], 2)],
)
def test_any_lane_that_fails_fails_the_run(statuses: list[int], wanted: int) -> None:
    assert merged_status(statuses) == wanted


def test_a_test_that_is_alone_waits_for_all_others_and_they_for_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    seen: list[str] = []

    def hold(name: str, *, is_alone: bool) -> None:
        with machine.held(is_alone=is_alone):
            seen.append(f"{name} begins")
            time.sleep(0.1)
            seen.append(f"{name} ends")

    threads = []
    for name in ("first", "alone", "later"):
        is_alone = name == "alone"
        threads.append(threading.Thread(target=hold, args=(name,), kwargs={"is_alone": is_alone}))
        threads[-1].start()
        time.sleep(0.03)
    for thread in threads:
        thread.join()
    assert seen == [f"{name} {what}" for name in ("first", "alone", "later") for what in _BOTH]


def test_a_copy_that_a_test_leaves_of_every_open_file_holds_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    copies: list[int] = []
    with machine.held(is_alone=False):
        for number in range(3, 64):
            with suppress(OSError):
                copies.append(os.dup(number))
    try:
        with machine.held(is_alone=True):
            pass
    finally:
        for copy in copies:
            os.close(copy)


def test_tests_that_are_not_alone_share_the_machine(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    with machine.held(is_alone=False), machine.held(is_alone=False):
        pass


_BOTH = ("begins", "ends")
