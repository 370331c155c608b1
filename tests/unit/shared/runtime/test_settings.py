from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, model_validator

from shared.runtime.settings import DEFAULT_LINK_SECRET, ServiceSettings, load_settings


class Example(ServiceSettings):
    example_count: int = Field(1, ge=1, description="n")


def test_defaults_need_no_environment() -> None:
    settings = load_settings(Example)
    assert settings.example_count == 1
    assert settings.password is None
    assert settings.link_secret == DEFAULT_LINK_SECRET
    assert settings.has_default_link_secret


def test_empty_variables_count_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_COUNT", "")
    assert load_settings(Example).example_count == 1


def test_a_secret_may_come_in_a_file_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parley_link_secret").write_text("from a file\n")
    assert load_settings(Example, tmp_path).link_secret == "from a file"
    monkeypatch.setenv("PARLEY_LINK_SECRET", "from the environment")
    assert load_settings(Example, tmp_path).link_secret == "from the environment"


def test_bad_settings_stop_the_start_with_all_faults_and_no_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EXAMPLE_COUNT", "zero-secret")
    monkeypatch.setenv("LOG_LEVEL", "LOUD-secret")
    with pytest.raises(SystemExit) as stopped:
        load_settings(Example)
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert "EXAMPLE_COUNT" in told
    assert "LOG_LEVEL" in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://:hush@redis", "must begin with redis://"),
        ("redis://:hush@", "no host is named"),
        ("redis://:hush@redis:port", "the port is none of 1 to 65535"),
        ("redis+sentinel://:hush@redis", "the name of the set is missing"),
    ],
)
def test_an_address_that_names_no_redis_is_one_line_that_says_why_and_no_password(
    url: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was a traceback of the client's, which showed parts of the address."""
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(SystemExit) as stopped:
        load_settings(Example)
    assert stopped.value.code == 2
    _, line = capsys.readouterr().err.splitlines()
    assert line.startswith("  REDIS_URL: ")
    assert said in line
    assert "hush" not in line


def test_fault_of_several_fields_together_is_one_plain_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Paired(ServiceSettings):
        @model_validator(mode="after")
        def check(self) -> Paired:
            raise ValueError("these two don't fit")

    with pytest.raises(SystemExit):
        load_settings(Paired)
    assert "  Value error, these two don't fit" in capsys.readouterr().err.splitlines()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "hush")
    monkeypatch.setenv("REDIS_URL", "redis://:hush@redis")
    settings = load_settings(Example)
    assert settings.password == "hush"
    assert "hush" not in repr(settings)
