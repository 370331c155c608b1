"""Which providers there are, by the names that agents' files use.

A provider's options are a pydantic model, so that `parley-agent check` can say what is wrong
without its SDK; the SDK is imported when the first agent needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from services.agent.providers import base
from services.agent.providers.names import Kind

P_co = TypeVar("P_co", covariant=True)


class Secrets(Protocol):
    """Keys by the names of their environment variables."""

    def get(self, name: str) -> SecretStr | None:
        """Return a secret, None where it is not set or empty."""
        ...


class Options(BaseModel):
    """Base of every provider's options in an agent's file.

    `api_key_env` names the environment variable that holds the key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key_env: str = Field("", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")


@dataclass(frozen=True, slots=True)
class Entry(Generic[P_co]):
    """A provider of one kind.

    Attributes:
        options: the model of its options.
        open: makes it from checked options, the language it is to hear or speak and the secrets;
            imports the SDK. Raises ProviderUnavailable. What it makes may have an `aclose()`.
        needs_key: whether it is left out of a chain while the variable `api_key_env` is not set.
        is_lent: it is the worker's, who starts and ends it whoever uses it.
    """

    options: type[Options]
    open: Callable[[Any, str, Secrets], P_co]
    needs_key: bool = True
    is_lent: bool = False


@dataclass(frozen=True, slots=True)
class Registry:
    """Providers by kind and name. `livekit:<plugin>` is looked up as `livekit`."""

    stt: Mapping[str, Entry[base.Transcriber]]
    llm: Mapping[str, Entry[base.LanguageModel]]
    tts: Mapping[str, Entry[base.Synthesiser]]
    realtime: Mapping[str, Entry[base.SpeechBrain]]
    end_of_turn: Mapping[str, Entry[base.EndOfTurn]]

    def entry(self, kind: Kind, name: str) -> Entry[Any] | None:
        """Return a provider's entry; None where its module is not here."""
        entries: Mapping[str, Entry[Any]] = getattr(self, kind)
        return entries.get(name.partition(":")[0])


def read_options(entry: Entry[Any], name: str, options: Mapping[str, Any]) -> Options:
    """Return a provider's options as its own model; of `livekit:<plugin>` with the plugin's name.

    Raises:
        pydantic.ValidationError: they do not fit.
    """
    plugin = name.partition(":")[2]
    return entry.options.model_validate({**options, "plugin": plugin} if plugin else options)
