"""parley-agent check."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.agent.cli.__main__ import main
from tests.support.agents import FOLDER


def test_the_shipped_agents_are_fine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPGRAM_API_KEY", "k")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert main(["check", str(FOLDER)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "fine" in line]) == 4
    assert (
        f"{FOLDER}/default.yaml: fine (en; stt deepgram, offline; llm openai, offline;"
        " tts openai, offline; flow parley-1; 1 tool)"
    ) in lines


def test_a_fault_is_one_line_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = tmp_path / "bad.yaml", tmp_path / "good.yaml"
    bad.write_text("greting: Hi\n")
    good.write_text("greeting: Hi\nflow: {steps: {a: {prompt: What}}}\ntools: []\n")
    assert main(["check", str(bad), str(good)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{bad}:1: greting: is no field here; did you mean greeting?",
        f"{good}: fine (en; stt offline; llm offline; tts offline; flow good)",
    ]


def test_a_warning_is_told_and_does_no_harm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("prompt: Hi\nproviders: {llm: [openai], realtime: openai}\n")
    assert main(["check", str(path)]) == 0
    *warnings, last = capsys.readouterr().out.splitlines()
    assert len(warnings) == 3
    assert all(line.endswith(" (warning)") for line in warnings)
    assert (
        last == f"{path}: fine (en; stt offline; llm openai; tts offline; realtime openai; 1 tool)"
    )


def test_an_empty_folder_lacks_its_default_agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path)]) == 1
    assert "default.yaml:1: can't be read" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["check"], ["chek", "x"]])
def test_a_wrong_use_is_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
