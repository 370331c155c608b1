"""PURE. The names of all providers by kind, with the environment variable that holds their key.

A file may name any of these wherever its SDK is not installed: what is not there is left out of
the chain. The options of each are in its own module, see registry.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["stt", "llm", "tts", "realtime", "end_of_turn"]

# Kind, name, variable of the key; empty: none is needed, or (livekit) it depends on the plugin.
PROVIDERS: Mapping[Kind, Mapping[str, str]] = {
    "stt": {
        "offline": "",
        "deepgram": "DEEPGRAM_API_KEY",
        "openai": "OPENAI_API_KEY",
        "livekit": "",
    },
    "llm": {"offline": "", "openai": "OPENAI_API_KEY", "livekit": ""},
    "tts": {
        "offline": "",
        "deepgram": "DEEPGRAM_API_KEY",
        "openai": "OPENAI_API_KEY",
        "livekit": "",
    },
    "realtime": {"openai": "OPENAI_API_KEY"},
    "end_of_turn": {"smart_turn": ""},
}


def is_known(kind: Kind, name: str) -> bool:
    """Whether a file may name this provider; `livekit:<plugin>` counts as `livekit`."""
    base, _, plugin = name.partition(":")
    return base in PROVIDERS[kind] and (base == "livekit") == bool(plugin)


def key_variable(kind: Kind, name: str, options: Mapping[str, Any]) -> str:
    """Return the variable that holds a provider's key; empty: it needs none.

    The options' own `api_key_env` comes first (empty: a server that wants none), then the table;
    a plugin `livekit:acme` goes by ACME_API_KEY.
    """
    given = options.get("api_key_env")
    if isinstance(given, str):
        return given
    base, _, plugin = name.partition(":")
    if base == "livekit":
        return f"{plugin.upper()}_API_KEY"
    return PROVIDERS[kind].get(base, "")
