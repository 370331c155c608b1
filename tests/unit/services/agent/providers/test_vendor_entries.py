"""The registry's entries of the vendors: options are checked without their SDKs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.agent import providers
from services.agent.providers.deepgram import entries as deepgram
from services.agent.providers.deepgram.options import DeepgramListenOptions
from services.agent.providers.openai import entries as openai
from services.agent.providers.openai.options import OpenAiChatOptions, primary_language
from services.agent.providers.registry import Entry
from tests.support.vendors import FakeSecrets

ENTRIES: dict[str, Entry[Any]] = {
    "deepgram-stt": deepgram.STT["deepgram"],
    "deepgram-tts": deepgram.TTS["deepgram"],
    "openai-stt": openai.STT["openai"],
    "openai-llm": openai.LLM["openai"],
    "openai-tts": openai.TTS["openai"],
}


def test_looking_entries_up_imports_no_sdk() -> None:
    program = (
        "import sys, services.agent.providers.deepgram.entries,"
        " services.agent.providers.openai.entries;"
        "print([m for m in ('deepgram', 'openai', 'httpx', 'websockets') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert told.stdout.decode().strip() == "[]"


@pytest.mark.parametrize("name", ENTRIES)
def test_defaults_do_but_for_a_key(name: str) -> None:
    options = ENTRIES[name].options()
    assert options.api_key_env == name.partition("-")[0].upper() + "_API_KEY"
    assert ENTRIES[name].needs_key


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize(
    "wrong",
    [
        {"modell": "x"},
        {"base_url": "ftp://example.org"},
        {"base_url": "https://user:secret@example.org"},
        {"base_url": "https://example.org/?key=secret"},
        {"api_key_env": "sk-123 456"},
    ],
)
def test_options_that_make_no_sense_are_refused(name: str, wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ENTRIES[name].options(**wrong)


def test_an_utterance_end_shorter_than_deepgram_takes_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1000"):
        DeepgramListenOptions(utterance_end_ms=500)
    assert DeepgramListenOptions(utterance_end_ms=0).utterance_end_ms == 0


@pytest.mark.parametrize("option", ["", "http://own.example:1/v1/"])
def test_the_options_address_comes_before_the_environments(option: str) -> None:
    secrets = FakeSecrets(OPENAI_BASE_URL="http://env.example/v1", DEEPGRAM_BASE_URL="http://e/")
    chat = OpenAiChatOptions(base_url=option)
    assert chat.url(secrets) == (option or "http://env.example/v1")
    listen = DeepgramListenOptions(base_url=option)
    assert listen.url(secrets) == (option.rstrip("/") or "http://e")
    assert DeepgramListenOptions().url(FakeSecrets()) == "https://api.deepgram.com"
    assert OpenAiChatOptions().url(FakeSecrets()) == "https://api.openai.com/v1"


def test_a_languages_region_is_left_out() -> None:
    assert [primary_language(tag) for tag in ("en-IN", "HI", "", "pt-BR")] == ["en", "hi", "", "pt"]


@pytest.mark.parametrize("name", ENTRIES)
def test_the_page_on_vendors_lists_every_option_with_its_default(name: str) -> None:
    vendor, _, kind = name.partition("-")
    page = (Path(providers.__path__[0]) / "vendors.md").read_text(encoding="utf-8")
    section = page.partition(f"## {kind}: {vendor}\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.MULTILINE))
    fields = ENTRIES[name].options.model_fields
    assert set(rows) == set(fields) - {"api_key_env", "base_url"}
    for option, told in rows.items():
        default = fields[option].get_default(call_default_factory=True)
        if told.startswith("`"):
            assert told.strip("`") == str(default).lower()
        else:
            assert default in ("", None, (), {})
