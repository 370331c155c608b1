"""Keys and addresses of the stand-ins, as providers want them."""

from __future__ import annotations

from pydantic import SecretStr

from tests.support.standins import DEEPGRAM_KEY, OPENAI_KEY, StandIns


class FakeSecrets:
    """Secrets from a dictionary."""

    def __init__(self, **values: str) -> None:
        self.values = values

    def get(self, name: str) -> SecretStr | None:
        value = self.values.get(name)
        return SecretStr(value) if value else None


def vendor_secrets(standins: StandIns, **others: str) -> FakeSecrets:
    """Keys that the stand-ins take and where they are."""
    values = {
        "DEEPGRAM_API_KEY": DEEPGRAM_KEY,
        "DEEPGRAM_BASE_URL": standins.http_url,
        "OPENAI_API_KEY": OPENAI_KEY,
        "OPENAI_BASE_URL": standins.openai_base_url,
    }
    return FakeSecrets(**{**values, **others})
