from __future__ import annotations

from pathlib import Path

import pytest

from deploy.bench import native


def test_without_a_compiler_it_is_said_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "_BUILT", tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(native.NoCompiler) as refused:
        native.program("load")
    for part in ("path", "relay", "floors", "usual", "scaling", "soak"):
        assert part in str(refused.value)


@pytest.mark.compiler
def test_a_program_is_built_once_for_each_version_of_its_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "_BUILT", tmp_path)
    built = native.program("relay")
    made_at = built.stat().st_mtime_ns
    assert native.program("relay") == built
    assert built.stat().st_mtime_ns == made_at
    assert [path.name for path in tmp_path.iterdir()] == [built.name]
