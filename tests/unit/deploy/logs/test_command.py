"""The command itself: where it looks, what it says when there is nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.logs import sources
from deploy.logs.__main__ import main


def written(call_id: str, event: str, second: int, service: str = "gateway", **more: Any) -> str:
    at = f"2026-01-01T00:00:{second:02d}Z"
    line = {"call_id": call_id, "event": event, "timestamp": at, "service": service, **more}
    return json.dumps(line)


def write_docker(folder: Path, script: str) -> None:
    """Put a `docker` into a folder."""
    folder.mkdir()
    (folder / "docker").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "docker").chmod(0o755)


_compose_logs = sources._compose_logs


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local run's, and no containers."""
    monkeypatch.setenv("PARLEY_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(sources, "_compose_logs", lambda: None)
    return tmp_path


@pytest.fixture
def run_here(directory: Path) -> None:
    (directory / "logs").mkdir()
    gateway = [written("abc", "call_answered", 1), "noise", written("xyz", "call_answered", 5)]
    agent = [written("abc", "call_ended", 3, "agent")]
    (directory / "logs" / "gateway.log").write_text("\n".join(gateway))
    (directory / "logs" / "agent.log").write_text("\n".join(agent))


@pytest.mark.usefixtures("run_here")
def test_the_logs_of_a_local_run_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ab"]) == 0
    out = capsys.readouterr().out
    assert out.index("call_answered") < out.index("call_ended")
    assert "xyz" not in out


@pytest.mark.usefixtures("run_here")
def test_the_newest_call_is_found_without_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--last", "--json"]) == 0
    assert capsys.readouterr().out == written("xyz", "call_answered", 5) + "\n"


@pytest.mark.usefixtures("run_here")
def test_containers_are_looked_into_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"parley-gateway-1  | {written('def', 'call_answered', 2)}\n"
    monkeypatch.setattr(sources, "_compose_logs", lambda: text)
    assert main(["def"]) == 0
    assert "call_answered" in capsys.readouterr().out


def test_files_and_what_is_piped_in_are_read_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.log").write_text(written("abc", "call_answered", 1))
    monkeypatch.setattr("sys.stdin", io.StringIO(written("abc", "call_ended", 2, "agent")))
    assert main(["abc", str(tmp_path / "a.log"), "-"]) == 0
    out = capsys.readouterr().out
    assert out.index("call_answered") < out.index("call_ended")
    assert main(["--last", str(tmp_path / "a.log")]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "no line is about a call nobody"),
        (["a", "missing.log"], "missing.log can't be read: No such file"),
    ],
)
@pytest.mark.usefixtures("run_here")
def test_nothing_found_is_told_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"parley-logs: {words}")
    assert said.err.count("\n") == 1


def test_no_logs_at_all_are_told_with_where_was_looked(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--last"]) == 1
    assert str(directory / "logs") in capsys.readouterr().err


def test_a_call_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "name a call, or --last" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "written_by_containers"),
    [
        ('[ "$1 $2" = "compose --profile" ] && echo "gateway-1 | x"', "gateway-1 | x\n"),
        ("echo 'no such project' >&2; exit 1", None),
        ("exit 0", None),
    ],
)
def test_compose_is_asked_for_what_its_containers_wrote(
    script: str, written_by_containers: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_docker(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    assert _compose_logs() == written_by_containers


def test_a_machine_without_docker_has_no_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _compose_logs() is None
