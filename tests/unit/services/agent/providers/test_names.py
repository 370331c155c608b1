from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from services.agent.providers.catalogue import make_registry
from services.agent.providers.names import PROVIDERS, Kind, is_known, key_variable
from services.agent.providers.registry import Entry, read_options
from tests.support.agents import VendorOptions, checking_registry


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("stt", "deepgram", True),
        ("llm", "deepgram", False),
        ("tts", "livekit:acme", True),
        ("tts", "livekit", False),
        ("tts", "offline:acme", False),
        ("end_of_turn", "smart_turn", True),
    ],
)
def test_a_name_is_known_for_its_kind(kind: Kind, name: str, expected: bool) -> None:
    assert is_known(kind, name) is expected


def test_a_key_goes_by_the_options_then_by_the_table_then_by_the_plugin() -> None:
    assert key_variable("llm", "openai", {"api_key_env": "OWN"}) == "OWN"
    assert key_variable("llm", "openai", {"api_key_env": ""}) == ""
    assert key_variable("llm", "openai", {}) == "OPENAI_API_KEY"
    assert key_variable("tts", "livekit:acme_x", {}) == "ACME_X_API_KEY"
    assert key_variable("stt", "offline", {}) == ""


def test_every_entry_has_its_name_and_its_key_in_the_table() -> None:
    registry = make_registry()
    for kind, names in PROVIDERS.items():
        entries: Mapping[str, Entry[Any]] = getattr(registry, kind)
        for name, entry in entries.items():
            assert name in names
            assert entry.options.model_fields["api_key_env"].default == names[name]
            assert entry.needs_key == (name == "livekit" or names[name] != "")


def test_a_plugin_is_looked_up_as_livekit_and_its_options_have_its_name() -> None:
    registry = checking_registry()
    entry = registry.entry("llm", "livekit:acme")
    assert entry is registry.llm["livekit"]
    assert read_options(entry, "livekit:acme", {"model": "m"}) == VendorOptions(
        plugin="acme", model="m"
    )
    assert read_options(entry, "openai", {}) == VendorOptions()
    assert registry.entry("end_of_turn", "smart_turn") is None
