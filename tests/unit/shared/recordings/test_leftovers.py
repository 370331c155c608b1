from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.recordings.leftovers import remove_leftovers
from shared.recordings.settings import RecordingSettings
from shared.recordings.store import open_store

NOW_S = 1_764_000_000.0


def written(root: Path, name: str, *, ago_s: float) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half a file")
    os.utime(path, (NOW_S - ago_s, NOW_S - ago_s))
    return path


def test_only_old_unfinished_files_are_removed(tmp_path: Path) -> None:
    """A worker that was killed while it wrote left them for good: the store does not see them."""
    gone = [
        written(tmp_path, "calls/a/audio.ulaw#1", ago_s=7200),
        written(tmp_path, "open/b/000001-000003.block#12", ago_s=7200),
    ]
    kept = [
        written(tmp_path, "calls/a/audio.ulaw", ago_s=7200),
        written(tmp_path, "calls/c/audio.ulaw#1", ago_s=60),
        written(tmp_path, "calls/d/name#x", ago_s=7200),
    ]
    assert remove_leftovers(tmp_path, NOW_S - 3600) == 2
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)
    assert not (tmp_path / "open").exists(), "nor the folders they kept open"


def test_a_file_that_is_gone_meanwhile_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = written(tmp_path, "a/one#1", ago_s=7200)

    def vanished(self: Path, missing_ok: bool = False) -> None:
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "unlink", vanished)
    assert remove_leftovers(tmp_path, NOW_S) == 0
    assert gone.exists()


async def test_a_folder_store_removes_its_own(tmp_path: Path) -> None:
    store = open_store(RecordingSettings(_env_file=None, recordings_url=str(tmp_path)))
    assert store is not None
    await store.put("calls/a/audio.ulaw", b"whole")
    left = written(tmp_path, "calls/a/audio.ulaw#1", ago_s=7200)
    assert await store.names("calls/a/") == ["calls/a/audio.ulaw"], "the store does not see it"
    assert await store.remove_leftovers(NOW_S - 3600) == 1
    assert not left.exists()
    assert await store.get("calls/a/audio.ulaw") == b"whole"
