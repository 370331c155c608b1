from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import install


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory of its own, with a virtual environment that answers."""
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "requirements").mkdir()
    for group in ("local", "dev"):
        (tmp_path / "requirements" / f"{group}.txt").write_text(f"{group}==1\n")
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "VENV", venv)
    monkeypatch.setattr(install, "VENV_PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(install, "_STAMP", venv / "stamp.json")
    return tmp_path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The groups that pip was asked for, in order."""
    groups: list[str] = []
    monkeypatch.setattr(install, "_pip_install", groups.append)
    return groups


@pytest.mark.usefixtures("place")
def test_a_group_is_installed_once(installed: list[str]) -> None:
    install.ensure("dev")
    install.ensure("dev")
    assert installed == ["dev"]


def test_a_changed_file_is_installed_again(place: Path, installed: list[str]) -> None:
    install.ensure("dev")
    (place / "requirements" / "dev.txt").write_text("dev==2\n")
    install.ensure("dev")
    assert installed == ["dev", "dev"]


@pytest.mark.usefixtures("place")
def test_who_has_the_development_tools_needs_nothing_more_for_a_run(installed: list[str]) -> None:
    install.ensure("dev")
    install.ensure("local")
    assert installed == ["dev"]


@pytest.mark.usefixtures("place")
def test_a_run_does_not_count_as_the_development_tools(installed: list[str]) -> None:
    install.ensure("local")
    install.ensure("dev")
    assert installed == ["local", "dev"]


def test_a_failed_installation_is_tried_again(place: Path, installed: list[str]) -> None:
    (place / ".venv" / "stamp.json").write_text("{ damaged")
    install.ensure("local")
    assert installed == ["local"]


def test_a_python_without_venv_is_told_in_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's python3 lacks the module until python3-venv is installed."""
    python = place / "python3"
    python.write_text("#!/bin/sh\necho 'ensurepip is not available.'\nexit 1\n")
    python.chmod(0o755)
    (place / ".venv" / "bin" / "python").unlink()
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(install.InstallFailed) as caught:
        install.ensure("local")
    line = str(caught.value)
    assert "apt-get install python3-venv" in line
    assert "ensurepip is not available" in line
    assert "\n" not in line
    assert not (place / ".venv").exists()


@pytest.mark.usefixtures("installed")
def test_the_command_of_agents_owners_runs_from_anywhere(place: Path) -> None:
    (place / "services" / "agent" / "cli").mkdir(parents=True)
    (place / "services" / "agent" / "cli" / "__main__.py").write_text(
        "import sys; print(sys.argv[1:])\n"
    )
    install.ensure("dev")
    command = place / ".venv" / "bin" / "parley-agent"
    result = subprocess.run(
        [command, "check", "a file"], cwd="/", capture_output=True, text=True, check=True
    )
    assert result.stdout == "['check', 'a file']\n"
    assert "-m deploy.logs" in (place / ".venv" / "bin" / "parley-logs").read_text()
