"""`parley-agent` as it is installed: real files, real tools and brains, no key set."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.agent.agents.load import agent_files
from services.agent.cli.__main__ import main
from services.agent.cli.at_hand import load_at_hand
from services.agent.dialogue.brain import LanguageBrain
from services.agent.providers.errors import ProviderUnavailable
from services.agent.providers.offline.flow import FlowBrain
from tests.support.agents import FOLDER
from tests.support.workshop import FACTS

FILES = agent_files(FOLDER)
KEYS = ("DEEPGRAM_API_KEY", "OPENAI_API_KEY", "BOOKING_KEY", "AGENT_LLM", "AGENT_SYSTEM_PROMPT")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's environment nor an .env decides."""
    monkeypatch.chdir(tmp_path)
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_the_shipped_agents_conversations_pass(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["eval", str(path)])
    assert status == 0, capsys.readouterr().out


def test_the_shipped_agents_are_fine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(FOLDER)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(": fine (" in line for line in lines) == len(FILES)
    assert all(": fine (" in line or line.endswith("(warning)") for line in lines)


def write(folder: Path, text: str) -> Path:
    path = folder / "shop.yaml"
    path.write_text(text)
    return path


async def test_without_a_key_the_flow_answers(tmp_path: Path) -> None:
    agent = load_at_hand(FOLDER / "default.yaml")
    toolbox = agent.open_tools()
    async with agent.open_brain(toolbox) as brain:
        assert isinstance(brain, FlowBrain)
        pieces = [piece async for piece in brain.open(FACTS, {}).greet()]
    assert pieces
    await toolbox.aclose()


async def test_with_a_key_the_model_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHOP_KEY", "k")
    agent = load_at_hand(
        write(tmp_path, "prompt: Sell.\nproviders: {llm: [{openai: {api_key_env: SHOP_KEY}}]}\n")
    )
    async with agent.open_brain(agent.open_tools()) as brain:
        assert isinstance(brain, LanguageBrain)


async def test_who_has_neither_says_so(tmp_path: Path) -> None:
    agent = load_at_hand(write(tmp_path, "prompt: Sell.\nproviders: {llm: [openai]}\n"))
    with pytest.raises(ProviderUnavailable, match="for shop: no model, and there is no flow"):
        async with agent.open_brain(agent.open_tools()):
            pass


def test_settings_that_change_files_hold_here_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AGENT_DEFAULT", "shop")
    monkeypatch.setenv("AGENT_SYSTEM_PROMPT", "Sell more.")
    monkeypatch.setenv("AGENT_LLM", "offline")
    file = load_at_hand(write(tmp_path, "prompt: Sell.\nproviders: {llm: [openai]}\n")).file
    assert file.prompt == "Sell more."
    assert [choice.name for choice in file.providers.llm] == ["offline"]


def test_a_bad_file_says_where(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shop\.yaml:1: promt: is no field here"):
        load_at_hand(write(tmp_path, "promt: Sell.\n"))
