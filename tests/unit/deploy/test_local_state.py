from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.local.state import Running, State, StateFile, began


def test_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    states = StateFile(tmp_path / "not-there-yet")
    state = State("processes", (Running("redis", 7, "99", "x.log"),), (("gateway", "http://x"),))
    states.write(state)
    assert states.read() == state
    states.forget()
    assert states.read() is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"mode": "processes"}', '{"processes": 1}'])
def test_a_damaged_state_file_counts_as_nothing_running(tmp_path: Path, damage: str) -> None:
    (tmp_path / "state.json").write_text(damage)
    assert StateFile(tmp_path).read() is None


def test_a_process_is_ours_only_by_id_and_start_time() -> None:
    """A reused id would have us stop a stranger's process."""
    started = began(os.getpid())
    assert started is not None
    assert Running("me", os.getpid(), started, "").is_alive
    assert not Running("somebody else", os.getpid(), started + "0", "").is_alive


def test_there_is_no_process_by_an_impossible_id() -> None:
    assert began(2**22 + 1) is None
    assert not Running("gone", 2**22 + 1, "", "").is_alive
