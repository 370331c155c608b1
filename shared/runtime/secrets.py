"""Secrets by the names of their environment variables, for parts whose names come from data.

A service's own settings are fields of its settings class. A key that an agent's file names is
looked up here: in the environment, then in `.env`, then among the files of `/run/secrets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource

from shared.runtime.settings import SECRETS_DIR, ServiceSettings


class EnvironmentSecrets:
    """Every variable there is, shown to nobody.

    Args:
        values: variables by name; empty ones count as absent.
    """

    def __init__(self, values: Mapping[str, str | None]) -> None:
        self._values = {name: SecretStr(value) for name, value in values.items() if value}

    @classmethod
    def read(cls, secrets_dir: Path = SECRETS_DIR) -> EnvironmentSecrets:
        """Read the environment, and the files for what it leaves unset; once, now."""
        environment = EnvSettingsSource(BaseSettings, case_sensitive=True).env_vars
        file = DotEnvSettingsSource(
            BaseSettings, env_file=ServiceSettings.model_config.get("env_file"), case_sensitive=True
        ).env_vars
        set_here = {name: value for name, value in environment.items() if value}
        return cls({**_from_files(secrets_dir), **file, **set_here})

    def get(self, name: str) -> SecretStr | None:
        """Return a secret, None where it is not set or empty."""
        return self._values.get(name)

    def __repr__(self) -> str:
        return f"EnvironmentSecrets({len(self._values)} names)"


def _from_files(secrets_dir: Path) -> dict[str, str]:
    if not secrets_dir.is_dir():
        return {}
    files = (file for file in secrets_dir.iterdir() if file.is_file())
    return {file.name.upper(): file.read_text(encoding="utf-8").strip() for file in files}
