from __future__ import annotations

from pathlib import Path

import pytest

from shared.runtime.secrets import EnvironmentSecrets
from shared.runtime.settings import ServiceSettings


def test_any_variable_is_found_by_its_exact_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKING_KEY", "k1")
    monkeypatch.setenv("EMPTY_KEY", "")
    secrets = EnvironmentSecrets.read()
    found = secrets.get("BOOKING_KEY")
    assert found is not None
    assert found.get_secret_value() == "k1"
    assert secrets.get("booking_key") is None
    assert secrets.get("EMPTY_KEY") is None
    assert secrets.get("NOT_THERE") is None


def test_a_line_of_the_env_file_serves_where_the_environment_has_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("ONE_KEY=file\nTWO_KEY='file'\nTHREE_KEY=\n")
    monkeypatch.setitem(ServiceSettings.model_config, "env_file", str(tmp_path / ".env"))
    monkeypatch.setenv("ONE_KEY", "environment")
    monkeypatch.setenv("TWO_KEY", "")
    secrets = EnvironmentSecrets.read()
    values = {name: secrets.get(name) for name in ("ONE_KEY", "TWO_KEY", "THREE_KEY")}
    assert {name: v.get_secret_value() if v else None for name, v in values.items()} == {
        "ONE_KEY": "environment",
        "TWO_KEY": "file",
        "THREE_KEY": None,
    }


def test_a_file_of_its_name_serves_where_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("file_key", "env_key"):
        (tmp_path / name).write_text("from a file\n")
    monkeypatch.setenv("ENV_KEY", "from the environment")
    secrets = EnvironmentSecrets.read(tmp_path)
    found = [secrets.get(name) for name in ("FILE_KEY", "ENV_KEY")]
    assert [key.get_secret_value() for key in found if key] == [
        "from a file",
        "from the environment",
    ]


def test_nothing_of_them_shows() -> None:
    secrets = EnvironmentSecrets({"A_KEY": "hidden-1", "B_KEY": None})
    assert "hidden-1" not in repr(secrets)
    assert "hidden-1" not in repr(secrets.get("A_KEY"))
    assert repr(secrets) == "EnvironmentSecrets(1 names)"
