"""`python -m deploy.documents`: write .env.example and deploy/settings.md from the settings.

The classes are the one place where a setting is declared; a test fails when these files differ.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from shared.runtime.settings import ServiceSettings

ROOT = Path(__file__).resolve().parents[1]
CLASSES = {
    "gateway": "GatewaySettings",
    "agent": "AgentSettings",
    "dialer": "DialerSettings",
    "simulator": "SimulatorSettings",
}

# The names of the vendor's own examples, which come first, as people bring them along.
VENDOR = (
    *("VOBIZ_AUTH_ID", "VOBIZ_AUTH_TOKEN", "FROM_NUMBER", "TO_NUMBER"),
    *("PUBLIC_URL", "NGROK_AUTH_TOKEN", "HTTP_PORT", "AGENT_WS_PORT"),
    *("DEEPGRAM_API_KEY", "OPENAI_API_KEY", "OPENAI_TTS_VOICE", "AGENT_SYSTEM_PROMPT"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting: name, default as one would write it (empty: none), what it is, who reads it."""

    name: str
    default: str
    description: str
    readers: tuple[str, ...]


# What the programs around the services read: make, Compose, make_call.py and parley-dialer.
_SHELL = ("make_call.py", "parley-dialer")
AROUND = (
    Entry("TO_NUMBER", "", "whom these call when they are not told", _SHELL),
    Entry("DIALER_URL", "", "where these find the dialer; unset: this machine", _SHELL),
    Entry(
        "PARLEY_MODE",
        "auto",
        "how `make run` and `make up` start: compose, processes or auto",
        ("make",),
    ),
    Entry(
        "PARLEY_STATE_DIR", ".parley", "where local runs keep logs, data and recordings", ("make",)
    ),
    Entry("RUN_ONCE", "", "1: `make run` stops after the demonstration call", ("make",)),
    Entry("AGENT_REPLICAS", "1", "workers that `make run` and `make up` start", ("make",)),
    Entry(
        "PUBLISH_ADDRESS",
        "127.0.0.1",
        "where Compose publishes its ports; 0.0.0.0: everywhere",
        ("Compose",),
    ),
    Entry(
        "GATEWAY_PUBLISHED_PORT",
        "",
        "the gateway's port outside Compose; unset: HTTP_PORT",
        ("Compose",),
    ),
    Entry("DIALER_PUBLISHED_PORT", "5002", "the dialer's port outside Compose", ("Compose",)),
    Entry("SIMULATOR_PUBLISHED_PORT", "5003", "the simulator's port outside Compose", ("Compose",)),
    Entry("PROMETHEUS_PUBLISHED_PORT", "9090", "Prometheus' port", ("Compose", "make")),
    Entry("GRAFANA_PUBLISHED_PORT", "3000", "Grafana's port (profile grafana)", ("Compose",)),
    Entry(
        "AGENT_REQUIREMENTS",
        "agent",
        "what agent images hold; livekit: with LiveKit's plugins",
        ("Compose",),
    ),
    Entry(
        "PYTHON_IMAGE",
        "python:3.13-slim-trixie",
        "base of the images; pin by digest in production",
        ("Compose",),
    ),
)


def settings_of(service: str) -> type[ServiceSettings]:
    """The settings class of a service."""
    module = importlib.import_module(f"services.{service}.settings")
    found: type[ServiceSettings] = getattr(module, CLASSES[service])
    return found


def environment_name(field: str, info: FieldInfo) -> str:
    """The name to write in an environment: the first alias, else the field's own."""
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0]).upper()
    return str(alias or field).upper()


def entries_of(service: str) -> list[Entry]:
    """A service's settings in the order of its class, the shared ones included."""
    return [
        Entry(environment_name(field, info), _default(info), info.description or "", (service,))
        for field, info in settings_of(service).model_fields.items()
    ]


def all_entries() -> dict[str, Entry]:
    """Every setting once, by name, with all its readers."""
    found: dict[str, Entry] = {entry.name: entry for entry in AROUND}
    for service in CLASSES:
        for entry in entries_of(service):
            earlier = found.get(entry.name)
            readers = (*earlier.readers, service) if earlier else entry.readers
            kept = earlier or entry
            found[entry.name] = Entry(kept.name, kept.default, kept.description, readers)
    return found


def _default(info: FieldInfo) -> str:
    value = info.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, float) and value == int(value):
        value = int(value)
    if isinstance(value, tuple):
        value = ",".join(value)
    return "" if value is None else str(value)


def groups() -> Iterator[tuple[str, list[Entry]]]:
    """All settings under headings, each once: the vendor's, those around, shared, by service."""
    entries = all_entries()
    yield "The names of Vobiz's own examples", [entries.pop(name) for name in VENDOR]
    around = [entry.name for entry in AROUND if entry.name in entries]
    yield "Running on one machine", [entries.pop(name) for name in around]
    base = [environment_name(*item) for item in ServiceSettings.model_fields.items()]
    yield "Every service", [entries.pop(name) for name in base]
    for service in CLASSES:
        names = [entry.name for entry in entries_of(service) if entry.name in entries]
        yield f"The {service}", [entries.pop(name) for name in names]


def env_example() -> str:
    """The text of .env.example."""
    lines = [
        "# Copy to .env and take the # off the lines you set. Nothing here is needed for a trial:",
        "# `make run` works without. What stands here is the default; an empty value means none.",
        "# Made from the settings classes by `python -m deploy.documents`; don't edit by hand.",
    ]
    for heading, entries in groups():
        lines += ["", f"# --- {heading} " + "-" * (74 - len(heading))]
        for entry in entries:
            value = f'"{entry.default}"' if " " in entry.default else entry.default
            lines += ["", f"# {entry.description} ({', '.join(entry.readers)})"]
            lines += [f"#{entry.name}={value}"]
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """The text of deploy/settings.md."""
    lines = [
        "# Every setting",
        "",
        "Environment variables, or lines of `.env`. Wrong values stop a service at its start, all",
        "listed. Made by `python -m deploy.documents` from the settings classes.",
    ]
    for heading, entries in groups():
        lines += [
            "",
            f"## {heading}",
            "",
            "| Name | Default | What | Read by |",
            "|---|---|---|---|",
        ]
        for entry in entries:
            default = f"`{entry.default}`" if entry.default else ""
            readers = ", ".join(entry.readers)
            lines.append(f"| `{entry.name}` | {default} | {entry.description} | {readers} |")
    return "\n".join(lines) + "\n"


FILES = {".env.example": env_example, "deploy/settings.md": settings_page}


def main() -> int:
    """Write the files that differ."""
    for name, make in FILES.items():
        path, text = ROOT / name, make()
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
