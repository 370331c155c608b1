"""The shipped agents, for tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr

from services.agent.agents.load import Loader, load_flow
from services.agent.providers.catalogue import make_registry
from services.agent.providers.offline.flow import Flow
from services.agent.providers.registry import Entry, Options, Registry, Secrets

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "agents"


@cache
def parley_flow() -> Flow:
    """The default agent's offline dialogue."""
    return load_flow(FOLDER / "flows" / "parley.yaml")


class FixedSecrets:
    """Keys that a test sets."""

    def __init__(self, **values: str) -> None:
        self._values = values

    def get(self, name: str) -> SecretStr | None:
        value = self._values.get(name)
        return SecretStr(value) if value else None


class VendorOptions(Options):
    """Options of a vendor that does not exist."""

    plugin: str = ""
    model: str = "small"
    speed: float = Field(1.0, ge=0.5, le=2)


def _never_open(_options: object, _language: str, _secrets: Secrets) -> Any:
    raise AssertionError("nothing is opened to check a file")


def checking_registry() -> Registry:
    """The offline providers, and made-up options for `openai` and livekit's plugins."""
    vendor: Entry[Any] = Entry(VendorOptions, _never_open)
    own = make_registry()
    return Registry(
        stt={**own.stt, "openai": vendor},
        llm={"openai": vendor, "livekit": vendor},
        tts={**own.tts, "openai": vendor},
        realtime={"openai": vendor},
        end_of_turn={},
    )


def make_loader(**keys: str) -> Loader:
    """A loader that knows these keys alone."""
    return Loader(checking_registry(), FixedSecrets(**keys))
