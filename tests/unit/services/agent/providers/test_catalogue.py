"""Every provider there is, against the table of names that files may use."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.agent.providers.catalogue import make_registry
from services.agent.providers.errors import ProviderUnavailable
from services.agent.providers.names import PROVIDERS, Kind
from services.agent.providers.registry import read_options
from tests.support.agents import FixedSecrets
from tests.support.providers import FakeTranscriber

REGISTRY = make_registry()
KINDS: tuple[Kind, ...] = ("stt", "llm", "tts", "realtime", "end_of_turn")


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_that_files_may_use_is_there(kind: Kind) -> None:
    names = set(PROVIDERS[kind])
    if kind == "llm":
        names.remove("offline")  # the flow, which is the agent's own
    assert set(getattr(REGISTRY, kind)) == names


@pytest.mark.parametrize("kind", KINDS)
def test_who_needs_a_key_names_its_variable(kind: Kind) -> None:
    for name, entry in getattr(REGISTRY, kind).items():
        has_variable = bool(PROVIDERS[kind][name])
        assert entry.needs_key is (has_variable or name == "livekit"), name


@pytest.mark.parametrize("kind", KINDS)
def test_no_provider_takes_options_it_does_not_know(kind: Kind) -> None:
    for name, entry in getattr(REGISTRY, kind).items():
        if name == "livekit":
            continue  # each plugin has options of its own
        with pytest.raises(ValidationError, match="colour"):
            read_options(entry, name, {"colour": "blue"})


def test_a_plugin_is_looked_up_by_its_adapter() -> None:
    assert REGISTRY.entry("tts", "livekit:cartesia") is REGISTRY.tts["livekit"]
    assert REGISTRY.entry("tts", "nobody") is None


def test_the_offline_recogniser_is_the_workers_own() -> None:
    ears = FakeTranscriber()
    entry = make_registry(transcriber=ears).stt["offline"]
    options = read_options(entry, "offline", {})
    assert entry.open(options, "en-IN", FixedSecrets()) is ears
    with pytest.raises(ProviderUnavailable, match="English only, not hi"):
        entry.open(options, "hi", FixedSecrets())
    unstarted = REGISTRY.stt["offline"]
    with pytest.raises(ProviderUnavailable, match="not started"):
        unstarted.open(options, "en", FixedSecrets())
